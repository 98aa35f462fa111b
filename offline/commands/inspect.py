"""`b2g-offline inspect`: what is in a recording of any format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from offline.commands.console import say
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
    json_: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Say what is in a recording: format, rate, channels, trials, repetitions, gaps. Values are not read.

    Example: b2g-offline inspect recordings/monday.h5

    An amplifier's file: b2g-offline inspect monday.ns6 --channels configs/channels/brain2gan-1024.yaml
    """
    from offline.recordings.formats.opening import open_recording

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
    if json_:
        typer.echo(json.dumps(found, indent=1))
        return
    width = max(len(name) for name in found) + 2
    for name, value in found.items():
        for line in value if isinstance(value, list) else [value]:
            say(f"{name + ':':<{width}}{line}")
            name = ""


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
