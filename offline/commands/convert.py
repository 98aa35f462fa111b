"""`b2g-offline convert`: a recording of any format as our own HDF5 session, as NWB, or as what other programs read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from offline.stages import Stage, stages

if TYPE_CHECKING:
    from offline.recordings.formats.reader import RecordingReader


class Target(StrEnum):
    """Formats that are written."""

    session = "b2g-session"
    nwb = "nwb"
    xdf = "xdf"
    blackrock = "blackrock"
    brain2gan = "brain2gan"
    tvsd_trials = "tvsd-trials"
    tvsd_responses = "tvsd-responses"


class MuaPhase(StrEnum):
    """How voltage becomes MUA."""

    zero = "zero"
    causal = "causal"


_SUFFIXES = {
    ".h5": Target.session,
    ".hdf5": Target.session,
    ".nwb": Target.nwb,
    ".xdf": Target.xdf,
    **{f".ns{n}": Target.blackrock for n in range(1, 7)},
}


def convert(
    file: Annotated[Path, typer.Argument(help="Recording of any format.")],
    out: Annotated[
        Path,
        typer.Argument(help="File to write: .h5 (session), .nwb, .xdf, .ns2 (Blackrock), .mat."),
    ],
    to: Annotated[
        Target | None, typer.Option(help="What to write; by default as the ending of OUT says.")
    ] = None,
    mua: Annotated[
        MuaPhase | None,
        typer.Option(
            help="Of voltage at 30 kHz: write MUA at 1 kHz. causal: as the live service makes it. zero: forward and "
            "backward as the paper did, which looks ahead. By default voltage stays voltage."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is there.")
    ] = False,
    format_: FormatOption = None,
    channels: ChannelsOption = None,
    gaps: Annotated[
        Gaps,
        typer.Option(
            help="error: refuse a recording with gaps, or cut short. segment: keep gaps as gaps. tolerate: close those "
            "up to --tolerance-ms."
        ),
    ] = Gaps.error,
    tolerance_ms: ToleranceOption = 100.0,
    stream: StreamOption = None,
    markers: MarkersOption = None,
    marker_pattern: PatternOption = None,
    mapping: MappingOption = None,
    monkey: MonkeyOption = None,
    latents: WPickleOption = None,
    subject: Annotated[str | None, typer.Option(help="NWB: id of the animal.")] = None,
    age: Annotated[
        str | None,
        typer.Option(help="NWB: age of the animal as ISO 8601 duration, P9Y for nine years."),
    ] = None,
) -> None:
    """Write a recording as our own HDF5 session, which fit, evaluate and replay read, or as another format.

    XDF and Blackrock files do not hold latents, sets and days; Brain2GAN's and TVSD's hold stretches or means around
    onsets. What is not held is lost, so keep the session.

    From the amplifier: b2g-offline convert monday.xdf monday.h5 --channels configs/channels/brain2gan-1024.yaml

    From voltage: b2g-offline convert monday.ns6 monday.h5 --mua causal --channels configs/channels/brain2gan-1024.yaml

    For others: b2g-offline convert recordings/monday.h5 monday.nwb

    As the paper's files: b2g-offline convert recordings/monday.h5 monday_MUA.mat --to brain2gan
    """
    from offline.destinations import check_file
    from offline.recordings.formats.opening import open_recording

    target = to or _SUFFIXES.get(out.suffix.lower())
    if target is None:
        raise ConfigError(
            f"{out}: ends in '{out.suffix}', expected .h5, .nwb, .xdf or .ns2. Or say what to write with --to."
        )
    check_file("OUT", out)
    if out.exists() and file.exists() and out.samefile(file):
        raise ConfigError(f"{out}: a recording onto itself, expected another file. Name another.")
    if out.exists() and not overwrite:
        raise ConfigError(
            f"{out}: is there already, expected a new file. Add --overwrite, or name another."
        )
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
    with (
        open_recording(file, options, format_) as recording,
        stages(console) as stage,
        _as_asked(recording, mua, out, stage) as reader,
    ):
        done = stage(f"{reader.info.format} to {target}", reader.n_samples)
        _write(reader, out, target, done, subject, age)
        for line in recording.gaps.lines():
            say(f"gaps: {line}")
        n_samples, n_trials = reader.n_samples, reader.trials().n_trials
        about = _about_mua(reader)
    size = out.stat().st_size / 1e6
    say(f"written: {out} ({target}, {n_samples} samples, {n_trials} trials, {size:.1f} MB)")
    if about:
        say(about)


@contextmanager
def _as_asked(
    recording: RecordingReader, mua: MuaPhase | None, out: Path, stage: Stage
) -> Iterator[RecordingReader]:
    """Yield the recording, or the MUA that is made of it."""
    from b2g_rt.mua.filter_design import MuaSpec
    from offline.recordings.made_mua import MadeMua, check_voltage

    if mua is None:
        yield recording
        return
    check_voltage(recording)
    done = stage(f"MUA, {mua}", recording.n_samples // MuaSpec().factor)
    with MadeMua(recording, mua.value, out.absolute().parent, done) as made:
        yield made


def _about_mua(reader: RecordingReader) -> str:
    """Say how the MUA was made, or that it was not."""
    from b2g_rt.mua.filter_design import MuaSpec
    from offline.recordings.made_mua import MadeMua

    if isinstance(reader, MadeMua):
        lag = f"{reader.lag_ms:.2f} ms behind the voltage" if reader.lag_ms else "no lag"
        return f"mua: {reader.provenance()['mua']}; {lag}"
    if reader.info.rate_hz != MuaSpec().raw_rate_hz:
        return ""
    return (
        "voltage, written as it is; fit makes causal MUA of it. To write MUA at 1 kHz add --mua causal (as live) or "
        "--mua zero (as the paper, looks ahead)."
    )


def _write(
    reader: RecordingReader,
    out: Path,
    target: Target,
    done: Callable[[int], None],
    subject: str | None,
    age: str | None,
) -> None:
    if target == Target.nwb:
        from offline.recordings.formats.nwb_writer import write_nwb

        write_nwb(reader, out, done, subject=subject, age=age)
    elif target == Target.xdf:
        from offline.recordings.formats.xdf_writer import write_xdf

        write_xdf(reader, out, done)
    elif target == Target.blackrock:
        from offline.recordings.formats.blackrock_writer import write_blackrock

        write_blackrock(reader, out, done)
    elif target == Target.brain2gan:
        from offline.recordings.formats.brain2gan_writer import write_brain2gan

        write_brain2gan([reader], out, done)
    elif target == Target.tvsd_trials:
        from offline.recordings.formats.tvsd_writer import write_tvsd_trials

        write_tvsd_trials([reader], out, done)
    elif target == Target.tvsd_responses:
        from offline.recordings.formats.tvsd_writer import write_tvsd_responses

        write_tvsd_responses([reader], out, done)
    else:
        from offline.recordings.formats.session_hdf5_writer import write_session_hdf5

        write_session_hdf5(reader, out, done)
