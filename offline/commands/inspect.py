"""`b2g-offline inspect`: what is in a recording of any format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from b2g_rt.errors import ConfigError
from offline.commands.console import console, say
from offline.commands.options import PatternOption
from offline.commands.recording_options import (
    ChannelsOption,
    FormatOption,
    Gaps,
    MappingOption,
    MarkersOption,
    MonkeyOption,
    StreamOption,
    ToleranceOption,
    WPickleOption,
    reader_options,
)
from offline.stages import stages

if TYPE_CHECKING:
    from offline.recordings.formats.reader import RecordingReader


def inspect(
    file: Annotated[Path, typer.Argument(help="Recording of any format.")],
    format_: FormatOption = None,
    channels: ChannelsOption = None,
    gaps: Annotated[
        Gaps, typer.Option(help="error: refuse a recording with gaps, or cut short.")
    ] = Gaps.segment,
    tolerance_ms: ToleranceOption = 100.0,
    stream: StreamOption = None,
    markers: MarkersOption = None,
    marker_pattern: PatternOption = None,
    mapping: MappingOption = None,
    monkey: MonkeyOption = None,
    latents: WPickleOption = None,
    electrodes: Annotated[
        bool,
        typer.Option(
            "--electrodes",
            help="Read the values, and say which electrodes are dead, burst, or repeat well.",
        ),
    ] = False,
    write_channels: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.yaml",
            help="With --electrodes: write the channel map without dead and bursting electrodes, for --channels and "
            "the live configuration.",
        ),
    ] = None,
    reliability: Annotated[
        float | None,
        typer.Option(
            min=-1,
            max=1,
            help="With --electrodes: electrodes that repeat no better are left out, too. Papers take 0.3.",
        ),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Say what is in a recording: format, rate, channels, trials, repetitions, gaps; with --electrodes which are bad.

    Example: b2g-offline inspect recordings/monday.h5

    Without the bad ones: b2g-offline inspect monday.h5 --electrodes --reliability 0.3 --write-channels good.yaml

    An amplifier's file: b2g-offline inspect monday.ns6 --channels configs/channels/brain2gan-1024.yaml
    """
    from offline.commands import inspect_electrodes
    from offline.recordings.formats.opening import open_recording

    if not electrodes and (write_channels is not None or reliability is not None):
        given = "--write-channels" if write_channels is not None else "--reliability"
        raise ConfigError(f"{given}: values are not read, expected --electrodes beside it. Add it.")
    inspect_electrodes.check_target(write_channels)
    written = ""
    options = reader_options(
        channels=channels,
        gaps=gaps,
        tolerance_ms=tolerance_ms,
        stream=stream,
        markers=markers,
        marker_pattern=marker_pattern,
        mapping=mapping,
        monkey=monkey,
        latents=latents,
    )
    with open_recording(file, options, format_) as reader:
        found = described(reader)
        if electrodes:
            from offline.recordings.electrode_findings import electrode_findings

            with stages(console, quiet=json_) as stage:
                judged = electrode_findings(reader, stage)
            if json_:
                found["electrodes"] = inspect_electrodes.data(judged, reliability)
            else:
                found.update(inspect_electrodes.lines(judged, reliability))
            if write_channels is not None:
                written = inspect_electrodes.write_channels(
                    judged, reliability, write_channels, file
                )
                found.update({"written": str(write_channels)} if json_ else {})
    if json_:
        typer.echo(json.dumps(found, indent=1))
        return
    width = max(len(name) for name in found) + 2
    for name, value in found.items():
        label = f"{name}:"
        for line in value if isinstance(value, list) else [value]:
            say(f"{label:<{width}}{line}")
            label = ""
    if written:
        say(written)


def described(reader: RecordingReader) -> dict[str, Any]:
    """Return what a recording holds, a name and a line (or lines) each."""
    info = reader.info
    channels = reader.channels
    found: dict[str, Any] = {
        "file": str(info.path),
        "format": info.format,
        "kind": info.kind + (", simulated" if info.simulated else ""),
        "rows": _rows(reader),
        "unit": info.unit or "not said",
        "channels": f"{channels.n_channels} of {info.n_columns} columns: "
        + ", ".join(f"{roi} {len(channels.channels_of(roi))}" for roi in channels.rois()),
    }
    found.update(_trials(reader))
    n_markers = len(reader.markers())
    if n_markers:
        found["markers"] = str(n_markers)
    stimuli = reader.stimuli()
    if stimuli is not None:
        found["latents"] = f"{stimuli[1].shape[0]} stimuli x {stimuli[1].shape[1]}"
    if info.kind == "continuous":
        found["gaps"] = reader.gaps.lines() or "none"
        if reader.gaps.n_segments > 1:
            found["segments"] = str(reader.gaps.n_segments)
    made = reader.provenance().get("mua")
    if isinstance(made, str):
        found["mua"] = made
    found.update({name: value for name, value in info.facts if name not in found})
    return found


def _rows(reader: RecordingReader) -> str:
    n, rate_hz = reader.n_samples, reader.info.rate_hz
    if rate_hz is None:
        return f"{n} responses, no time axis"
    if reader.info.kind == "trials":
        return f"{n} samples at {rate_hz:g} Hz in {reader.trials().n_trials} trials"
    return f"{n} samples at {rate_hz:g} Hz, {n / rate_hz:.1f} s"


def _trials(reader: RecordingReader) -> dict[str, str]:
    trials = reader.trials()
    counts = sorted(set(trials.n_repetitions().values()))
    found = {"trials": str(trials.n_trials)}
    if counts:
        span = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        found["stimuli"] = f"{len(trials.n_repetitions())}, shown {span} times each"
    splits = [s for s in ("train", "test") if s in trials.split]
    if splits:
        found["sets"] = ", ".join(f"{s} {trials.split.count(s)} trials" for s in splits)
    days = sorted({int(d) for d in trials.day} - {-1})
    if days:
        found["days"] = f"{len(days)}"
    return found
