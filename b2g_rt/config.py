"""Typed configuration of the service: configs/*.yaml, and ``--set key=value`` on top.

Every key is described here once; the JSON schema for editors comes from these descriptions. Every error names
the file, the key, what was found and what is expected.
"""

from __future__ import annotations

import json
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from b2g_rt.errors import ConfigError

# What PyYAML lets through of a date, number or tag that is none: 2026-13-45, 0x_, !!int '', [[[[...
_NO_YAML = (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError)
# More than these can only be a slip, and would fill the memory or wait for ever.
_MAX_WAIT_S = 86400.0
_MAX_RATE_HZ = 1000.0
_MAX_THREADS = 1024


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class StreamConfig(_Section):
    """Which LSL stream is meant; empty keys match anything, but exactly one stream must fit."""

    name: str = Field(description="Stream name.")
    type: str = Field("", description="Stream type, e.g. MUA or Markers.")
    source_id: str = Field(
        "", description="The device's source_id; tells two streams of one name apart."
    )
    host: str = Field("", description="Name of the computer that streams.")

    @model_validator(mode="after")
    def _says_which(self) -> StreamConfig:
        if not (self.name or self.type or self.source_id or self.host):
            raise ValueError("expected at least one of name, type, source_id and host")
        return self


class StreamsConfig(_Section):
    """What is read."""

    mua: StreamConfig = Field(
        StreamConfig(name="mua", type="", source_id="", host=""),
        description="The MUA: float32, 1 kHz, one column per electrode.",
    )
    markers: StreamConfig | None = Field(
        StreamConfig(name="stimuli", type="", source_id="", host=""),
        description="Onset markers (strings); null for free-running decoding without them.",
    )
    marker_pattern: str = Field(
        r"(?P<stimulus>.+)",
        description="Regular expression that an onset marker matches whole; the group 'stimulus' is its id. "
        "Other markers are recorded and counted, and start no trial.",
    )
    resolve_timeout_s: float = Field(
        10.0,
        gt=0,
        le=_MAX_WAIT_S,
        description="How long to look for a stream before saying which ones are there, s.",
    )
    wait: bool = Field(
        True,
        description="Go on looking when no stream fits (service); false: give up (tests, scripts).",
    )
    stale_after_s: float = Field(
        1.0, gt=0, le=_MAX_WAIT_S, description="No sample for this long: 'stalled', s."
    )
    gap_threshold_ms: float | None = Field(
        None,
        gt=0,
        le=60_000,
        description="Time stamps that jump farther are a gap, ms; null: from the measured jitter.",
    )
    lsl_config: Path | None = Field(
        None,
        description="A liblsl configuration file (lsl_api.cfg): other subnets, session id, ports.",
    )


class InferenceConfig(_Section):
    """Where the networks run."""

    provider: Literal["auto", "cpu", "cuda", "tensorrt"] = Field(
        "auto",
        description="auto: the best that works, and it is shown which. Any other: that one or an error.",
    )
    device_id: int = Field(0, ge=0, le=127, description="GPU number.")
    decoder_threads: int = Field(
        1,
        ge=1,
        le=_MAX_THREADS,
        description="CPU threads of the decoder; one is fastest for one window.",
    )
    generator_threads: int = Field(
        1, ge=1, le=_MAX_THREADS, description="CPU threads of the generator."
    )
    gpu_mem_limit_mb: int = Field(
        0, ge=0, le=1 << 20, description="Limit of each session's GPU arena, MiB; 0: none."
    )
    tensorrt_cache: Path = Field(
        Path(".b2g-cache/tensorrt"), description="Folder for built TensorRT engines."
    )
    cuda_graph: bool = Field(
        False,
        description="On a GPU: replay each model's run as one captured CUDA graph, where it can be captured.",
    )
    generator: bool = Field(True, description="Render pictures; false: latents only.")
    latent_gain: float = Field(
        1.0,
        gt=0,
        le=100,
        description="Decoded latents are stretched from the mean by this before rendering; shown when not 1.",
    )


class WindowsConfig(_Section):
    """What may be missing in a window before there is no latent."""

    max_lost_share: float = Field(
        0.2, ge=0, le=1, description="Share of a window's samples that may be lost."
    )
    max_bad_channel_share: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Share of channels that may be NaN or infinite; they count as 0.",
    )


class ServiceConfig(_Section):
    """Buffers of the service."""

    ring_s: float = Field(30.0, ge=1, le=600, description="Samples kept for late markers, s.")
    decode_queue: int = Field(
        4096,
        ge=16,
        le=1_000_000,
        description="Windows that may wait for the decoder; none is ever dropped.",
    )
    activity_hz: float = Field(20.0, gt=0, le=_MAX_RATE_HZ, description="Array maps per second.")
    status_hz: float = Field(4.0, gt=0, le=_MAX_RATE_HZ, description="Status messages per second.")


class PublishConfig(_Section):
    """ZeroMQ sockets, one per topic."""

    enabled: bool = Field(True, description="Publish at all.")
    host: str = Field(
        "127.0.0.1", description="Address to bind; anything beyond loopback requires curve_keys."
    )
    pictures_port: int = Field(17501, ge=0, le=65535, description="Newest picture; 0: a free port.")
    events_port: int = Field(
        17502, ge=0, le=65535, description="Every frame (no pixels), trial, stimulus, event."
    )
    activity_port: int = Field(17503, ge=0, le=65535, description="Array maps.")
    status_port: int = Field(17504, ge=0, le=65535, description="State of the service.")
    control_host: str = Field(
        "127.0.0.1",
        description="Address on which commands are taken (b2g-rt adapt); anything beyond loopback requires curve_keys.",
    )
    control_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Its port; 0: a free one; null: the one after status_port, free when that is.",
    )
    endpoints_file: Path | None = Field(
        None, description="Where to write the addresses in use (JSON)."
    )
    jpeg_quality: int = Field(
        0, ge=0, le=100, description="JPEG quality of pictures; 0: raw pixels."
    )
    curve_keys: Path | None = Field(
        None,
        description="Folder with the server's secret key (server.key_secret) and clients/ (allowed public keys).",
    )


class AdaptationConfig(_Section):
    """What the service learns while it runs."""

    day_start: Literal["stream", "none"] = Field(
        "stream",
        description="Running normalisation starts a day with the stream's first sample, or only when told to.",
    )
    day_weight_s: float = Field(
        0.0,
        ge=0,
        le=_MAX_WAIT_S,
        description="For how many seconds of a new day the statistics before it count; 0: its first second replaces "
        "them.",
    )
    online_ridge: bool = Field(
        False,
        description="Refine the decoder trial by trial, towards the bundle's latents; can be started later too.",
    )
    prior_trials: float = Field(
        1000.0,
        gt=0,
        le=1e9,
        description="How strongly the bundle's decoder is held on to: as if so many trials had confirmed it.",
    )
    forgetting: float = Field(
        1.0, ge=0.5, le=1, description="What a learnt trial counts one trial later; 1: as before."
    )
    test_stimuli: list[str] = Field(
        [], description="Stimuli that are never learnt from, besides those the bundle names."
    )
    test_pattern: str | None = Field(
        None, description="Regular expression; stimuli that match it whole are never learnt from."
    )
    checkpoint_trials: int = Field(
        50, ge=1, le=1_000_000, description="A stand to roll back to is kept every so many trials."
    )
    checkpoints: int = Field(
        3,
        ge=1,
        le=1000,
        description="How many are kept; each takes 100 MB with 960 electrodes, 512 latents and 9 windows.",
    )


class OutletsConfig(_Section):
    """LSL outlets of the service."""

    enabled: bool = Field(True, description="Open them at all.")
    latents: str = Field(
        "b2g-latents", min_length=1, description="Name of the latent stream (irregular, float32)."
    )
    events: str = Field(
        "b2g-events", min_length=1, description="Name of the decoder event stream (strings, JSON)."
    )


class RecordConfig(_Section):
    """What is written."""

    path: Path | None = Field(
        None,
        description="Session file (HDF5) to write, or null. An existing file is never overwritten.",
    )
    flush_s: float = Field(
        0.5,
        gt=0,
        le=0.8,
        description="Time between flushes, s; with the writing itself, a kill loses at most one second.",
    )
    images: Literal["none", "jpeg"] = Field(
        "jpeg",
        description="Whether shown pictures are written; they can be made again from latents.",
    )


class DisplayConfig(_Section):
    """The display process."""

    endpoints_file: Path | None = Field(
        None, description="Addresses written by the service; default: ports of 'publish'."
    )
    stale_after_s: float = Field(
        1.0, gt=0, le=_MAX_WAIT_S, description="A picture older than this is greyed, s."
    )
    server_key: Path | None = Field(None, description="Public CURVE key of the service.")
    client_key: Path | None = Field(None, description="This display's secret CURVE key.")


class Config(_Section):
    """Everything that can be set."""

    bundle: str = Field(
        "simulated-faces", description="Model bundle: a directory, or the name of a shipped one."
    )
    encoder: Path | None = Field(
        None,
        description="Directory of an encoder (b2g-offline encode): its prediction is shown beside each trial's MUA.",
    )
    channels: Path | None = Field(
        None,
        description="Channel map of the stream (YAML); null: the stream carries the bundle's channels as trained.",
    )
    normalisation: Literal["bundle", "frozen", "running"] = Field(
        "bundle", description="How MUA becomes z units; bundle: as the manifest says."
    )
    streams: StreamsConfig = Field(StreamsConfig(), description="LSL streams.")
    windows: WindowsConfig = Field(WindowsConfig(), description="Missing data.")
    inference: InferenceConfig = Field(InferenceConfig(), description="ONNX Runtime.")
    service: ServiceConfig = Field(ServiceConfig(), description="Buffers.")
    publish: PublishConfig = Field(PublishConfig(), description="ZeroMQ.")
    adaptation: AdaptationConfig = Field(AdaptationConfig(), description="Learning while it runs.")
    outlets: OutletsConfig = Field(OutletsConfig(), description="LSL outlets.")
    record: RecordConfig = Field(RecordConfig(), description="Recorder.")
    display: DisplayConfig = Field(DisplayConfig(), description="Display.")


def control_port(publish: PublishConfig) -> int:
    """Return the port of commands; 0 for a free one."""
    if publish.control_port is not None:
        return publish.control_port
    # Free where that is: several services of one machine are told apart by one setting.
    return publish.status_port + 1 if 0 < publish.status_port < 65535 else 0


def load_config(path: Path | None = None, sets: list[str] | None = None) -> Config:
    """Read a configuration file and apply ``--set`` on top.

    Parameters
    ----------
    path : Path, optional
        YAML; None for the defaults.
    sets : list of 'key=value', optional
        Dotted keys; values are YAML.

    Raises
    ------
    ConfigError
        No such file, no YAML, unknown key, wrong type or value; the line names file and key.
    """
    data = _read_yaml(path) if path else {}
    where = str(path) if path else "configuration"
    config = _validate(data, where)
    for assignment in sets or []:
        key, separator, text = assignment.partition("=")
        if not separator:
            raise ConfigError(
                f"--set {assignment}: no '=', expected key=value. For example --set service.ring_s=60."
            )
        _put(data, key.strip(), _yaml_value(text, assignment), f"--set {assignment}")
        config = _validate(data, f"--set {assignment}")
    return config


def schema_json() -> str:
    """Return the JSON schema of the configuration, for editors."""
    return json.dumps(Config.model_json_schema(), indent=2) + "\n"


def read_yaml_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping; ConfigError on anything else."""
    return _read_yaml(path)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror or error}, expected a YAML file. Check the path."
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: {error.reason} at byte {error.start}, expected UTF-8 text."
        ) from None
    try:
        data = yaml.safe_load(text)
    except _NO_YAML as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}, expected YAML.") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: a {type(data).__name__}, expected a mapping of keys.")
    return data


def _yaml_value(text: str, assignment: str) -> Any:
    try:
        return yaml.safe_load(text) if text else ""
    except _NO_YAML:
        raise ConfigError(f"--set {assignment}: the value is no YAML. Put it in quotes.") from None


def _put(data: dict[str, Any], key: str, value: Any, where: str) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        inner = data.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"{where}: '{parent}' is no section, so it has no key '{last}'.")
        data = inner
    data[last] = value


def _validate(data: dict[str, Any], where: str) -> Config:
    try:
        # Over the defaults, so that naming one key of a section leaves its other keys alone.
        return Config.model_validate(_merged(Config().model_dump(), data))
    except ValidationError as error:
        raise ConfigError(f"{where}: {_explain(error)}") from None


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    both = dict(under)
    for key, value in over.items():
        inner = under.get(key)
        nested = isinstance(inner, dict) and isinstance(value, dict)
        both[key] = _merged(inner, value) if nested and inner is not None else value
    return both


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    key = ".".join(path)
    if first["type"] == "extra_forbidden":
        known = _keys_at(path[:-1])
        near = get_close_matches(path[-1], known, n=1)
        hint = f"Did you mean '{near[0]}'?" if near else f"Known here: {', '.join(sorted(known))}."
        return f"{key}: unknown key. {hint}"
    message = first["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    return f"{key}: {first['input']!r}, {message}."


def _keys_at(path: list[str]) -> list[str]:
    model: type[BaseModel] = Config
    for part in path:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        options = [annotation, *getattr(annotation, "__args__", ())]
        model = next(
            (o for o in options if isinstance(o, type) and issubclass(o, BaseModel)), model
        )
    return list(model.model_fields)
