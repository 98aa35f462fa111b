"""Options of the commands that open a recording of any format."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from b2g_rt.contracts.channels import ChannelMap
    from offline.recordings.formats.reader import ReaderOptions


class Gaps(StrEnum):
    """Gap policies."""

    error = "error"
    segment = "segment"
    tolerate = "tolerate"


FormatOption = Annotated[
    str | None, typer.Option("--format", help="Format of the file; found out by default.")
]
ChannelsOption = Annotated[
    Path | None,
    typer.Option(
        help="Channel map (YAML, see configs/channels), where the file does not say which column is which electrode."
    ),
]
ToleranceOption = Annotated[
    float, typer.Option(min=0.001, help="Longest gap that --gaps tolerate closes, ms.")
]
StreamOption = Annotated[
    str | None,
    typer.Option(
        help="Which signal, where there are several: XDF stream, NWB series, Blackrock extension (ns6)."
    ),
]
MarkersOption = Annotated[
    str | None, typer.Option(help="Which XDF marker stream, where there are several.")
]
MappingOption = Annotated[
    Path | None,
    typer.Option(help="TVSD: mapping file of the channels; by default beside the trials."),
]
MonkeyOption = Annotated[
    str | None, typer.Option(help="TVSD: N or F; by default as the path says (monkeyN, monkeyF).")
]
WPickleOption = Annotated[
    Path | None,
    typer.Option(
        "--latents",
        help="Brain2GAN: *_w.pickle of the stimuli; by default the one beside the file.",
    ),
]


SegmentOption = Annotated[
    Gaps,
    typer.Option(
        "--gaps",
        help="segment: windows with a gap in them are left out. error: refuse a recording with gaps. tolerate: close "
        "those up to --tolerance-ms.",
    ),
]


def reader_options(
    *,
    channels: Path | None,
    gaps: Gaps,
    tolerance_ms: float,
    stream: str | None,
    markers: str | None,
    marker_pattern: str | None,
    mapping: Path | None,
    monkey: str | None,
    latents: Path | None,
) -> ReaderOptions:
    """Return the options as readers take them.

    Raises
    ------
    ConfigError, ChannelMapError
        The channel map cannot be read, or is none.
    """
    from offline.recordings.formats.gaps import GapPolicy
    from offline.recordings.formats.reader import ReaderOptions

    return ReaderOptions(
        channels=None if channels is None else read_channel_map(channels),
        gaps=GapPolicy(gaps.value, tolerance_ms / 1000.0),
        marker_pattern=marker_pattern,
        stream=stream,
        markers=markers,
        mapping=mapping,
        monkey=monkey,
        latents=latents,
    )


def read_channel_map(path: Path) -> ChannelMap:
    """Read a channel map from YAML.

    Raises
    ------
    ConfigError
        It cannot be read, or is no YAML.
    ChannelMapError
        It is no channel map.
    """
    from b2g_rt.config import read_yaml_mapping
    from b2g_rt.contracts.channels import ChannelMap
    from b2g_rt.errors import ChannelMapError

    try:
        return ChannelMap.from_dict(read_yaml_mapping(path))
    except ChannelMapError as error:
        raise ChannelMapError(f"{path}: {error}") from None
