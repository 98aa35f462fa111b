from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from b2g_rt.config import Config, load_config, schema_json
from b2g_rt.contracts.channels import ChannelMap, brain2gan_channels
from b2g_rt.errors import ConfigError

CONFIGS = Path(__file__).parents[2] / "configs"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "live.yaml"
    path.write_text(text)
    return path


def test_without_a_file_everything_has_a_default():
    assert load_config() == Config()


def test_a_file_and_set_override_single_keys_and_leave_the_others(tmp_path):
    path = write(tmp_path, "streams:\n  mua:\n    name: rig-mua\n")
    config = load_config(
        path, ["streams.mua.host=rig1", "service.ring_s=60", "streams.markers=null"]
    )
    assert (config.streams.mua.name, config.streams.mua.host) == ("rig-mua", "rig1")
    assert config.service.ring_s == 60
    assert config.streams.markers is None
    assert config.publish == Config().publish


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("servise:\n  ring_s: 3\n", "servise: unknown key. Did you mean 'service'?"),
        ("service:\n  rings: 3\n", "service.rings: unknown key. Did you mean 'ring_s'?"),
        ("service:\n  ring_s: long\n", "service.ring_s: 'long'"),
        ("inference: {provider: gpu}\n", "inference.provider: 'gpu'"),
        ("- 1\n", "a list, expected a mapping"),
        ("a: [1\n", "expected YAML"),
        ("bundle: 2026-13-45\n", "expected YAML"),
        ("bundle: 0x_\n", "expected YAML"),
        ("bundle: !!int ''\n", "expected YAML"),
        ("bundle: !!timestamp soon\n", "expected YAML"),
        ("bundle: " + "[" * 5000 + "\n", "expected YAML"),
        ("service: {ring_s: .inf}\n", "service.ring_s: inf, input should be a finite number"),
        ("service: {ring_s: 1.0e+9}\n", "service.ring_s: 1000000000.0, input should be less than"),
        ("outlets: {latents: ''}\n", "outlets.latents: ''"),
        ("streams: {mua: {name: ''}}\n", "expected at least one of name, type, source_id and"),
    ],
    ids=["section", "key", "type", "choice", "list", "broken", "date", "number", "tag"]
    + ["time", "deep", "infinite", "huge", "nameless", "any stream"],
)
def test_a_wrong_file_is_one_line_that_names_file_and_key(tmp_path, text, says):
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    line = str(caught.value)
    assert line.startswith(str(path))
    assert says in line
    assert "\n" not in line


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        load_config(tmp_path / "none.yaml")


@pytest.mark.parametrize("assignment", ["service.ring_s", "x=1", "service.ring_s.more=1"])
def test_a_wrong_set_is_named(assignment):
    with pytest.raises(ConfigError, match=f"--set {assignment}"):
        load_config(None, [assignment])


@pytest.mark.parametrize(
    "assignment",
    [
        "bundle=0x_",
        "bundle=2026-13-45",
        "bundle=!!bool maybe",
        f"service.ring_s={'9' * 5000}",
        "service.ring_s=.inf",
        "service.ring_s=.nan",
        "service.ring_s=1e9",
        "service.decode_queue=100000000000",
        "service.activity_hz=1e6",
        "inference.decoder_threads=1000000",
        "streams.resolve_timeout_s=1e12",
        "display.stale_after_s=.inf",
        "outlets.latents=",
        "outlets.events=",
        "streams.mua.name=",
    ],
)
def test_a_value_that_can_only_be_a_slip_is_one_line(assignment):
    with pytest.raises(ConfigError) as caught:
        load_config(None, [assignment])
    assert str(caught.value).startswith(f"--set {assignment}: ")
    assert "\n" not in str(caught.value)


def test_a_stream_may_be_meant_by_its_type_alone():
    config = load_config(None, ["streams.mua={name: '', type: MUA}"])
    assert (config.streams.mua.name, config.streams.mua.type) == ("", "MUA")


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("live*.yaml")), ids=lambda p: p.name)
def test_shipped_configurations_load_and_fit_the_schema(path):
    load_config(path)
    jsonschema.validate(yaml.safe_load(path.read_text()), json.loads(schema_json()))


def test_the_shipped_schema_is_the_one_of_the_code():
    assert (CONFIGS / "schema.json").read_text() == schema_json()


def test_every_key_is_described():
    schema = json.loads(schema_json())
    objects = [schema, *schema["$defs"].values()]
    missing = [
        name
        for each in objects
        for name, field in each.get("properties", {}).items()
        if not field.get("description")
    ]
    assert missing == []


def test_the_shipped_file_names_every_key_with_its_default():
    assert load_config(CONFIGS / "live.yaml") == Config()

    def keys(data: dict) -> set[str]:
        return {k for k in data} | {
            f"{k}.{sub}" for k, v in data.items() if isinstance(v, dict) for sub in keys(v)
        }

    shipped = yaml.safe_load((CONFIGS / "live.yaml").read_text())
    assert keys(shipped) == keys(json.loads(Config().model_dump_json()))


@pytest.mark.parametrize("n_columns", [960, 1024])
def test_shipped_channel_maps_are_the_paper_s(n_columns):
    data = yaml.safe_load((CONFIGS / "channels" / f"brain2gan-{n_columns}.yaml").read_text())
    assert ChannelMap.from_dict(data) == brain2gan_channels(n_columns)
