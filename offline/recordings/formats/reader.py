"""The one interface of all recording formats: describe, read rows [start, stop), list trials; nothing is read before.

Rows are samples in the order in which the file holds them; ``index`` says where each lies on the sample clock, and a
jump there is a gap. Three kinds of recording answer alike:

- ``continuous``: a stream with markers (our HDF5, NWB, XDF, Blackrock).
- ``trials``: stretches of equal length around each onset, laid one behind the other (TVSD). Between two trials the
  clock jumps by a trial's length, so that no window reaches from one into the next.
- ``responses``: one row per stimulus, no time axis (``rate_hz`` is None; the Brain2GAN and TVSD normMUA matrices).

A format implements ``_columns`` (rows as stored, dead columns included), ``index``, ``time_s`` and ``trials``; the
channel map is applied here, once for all. Satisfies ``offline.recordings.recording.Recording``.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.contracts.session import SessionMarker
from b2g_rt.errors import ChannelMapError, SessionError
from offline.recordings.formats.gaps import GapPolicy, GapReport
from offline.recordings.formats.trial_table import TrialTable
from offline.recordings.recording import BLOCK_SAMPLES, Block

FAULTS = (
    OSError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    RuntimeError,
    ArithmeticError,
    MemoryError,
    EOFError,
    struct.error,
)
"""What reading a damaged file can raise."""

_MOST_SHOWN = 200
Kind = Literal["continuous", "trials", "responses"]
SIMULATED = "simulated"
"""Format of what is made while it is read, and is no file."""

Stimuli = tuple[list[str], NDArray[np.float32]]
"""Ids, axes (stimulus,), and latents, float32, axes (stimulus, latent)."""


@dataclass(frozen=True, slots=True)
class ReaderOptions:
    """What a user may have to say about a file; every format takes what concerns it.

    Attributes
    ----------
    channels : ChannelMap, optional
        Which column is which electrode; needed where the file does not say.
    gaps : GapPolicy
    marker_pattern : str, optional
        Regular expression of onset markers with a group 'stimulus'; the service's default.
    stream : str, optional
        Which signal, where the file holds several: XDF stream, NWB series, Blackrock extension (ns2 ... ns6).
    markers : str, optional
        Which XDF marker stream, where the file holds several.
    mapping : Path, optional
        TVSD's file of how the channels are scrambled; by default looked for beside the trials.
    monkey : str, optional
        TVSD: 'N' or 'F'; by default taken from the path.
    latents : Path, optional
        Brain2GAN: the ``*_w.pickle`` of the stimuli; by default looked for beside the responses.
    """

    channels: ChannelMap | None = None
    gaps: GapPolicy = GapPolicy()
    marker_pattern: str | None = None
    stream: str | None = None
    markers: str | None = None
    mapping: Path | None = None
    monkey: str | None = None
    latents: Path | None = None


@dataclass(frozen=True, slots=True)
class RecordingInfo:
    """What a recording says about itself.

    Attributes
    ----------
    path : Path
    format : str
        As in ``opening.FORMATS``.
    kind : {'continuous', 'trials', 'responses'}
    unit : str
        Of the values: 'uV', 'z', or '' where the file does not say.
    rate_hz : float or None
        Samples per second of recorded time; None without a time axis.
    n_columns : int
        Columns as stored, dead electrodes included.
    simulated : bool
    speed : float
        Seconds of recorded time per second of the stamps' clock; 1 unless it is a replay.
    facts : tuple of (name, value)
        What else is worth showing.
    """

    path: Path
    format: str
    kind: Kind
    unit: str
    rate_hz: float | None
    n_columns: int
    simulated: bool = False
    speed: float = 1.0
    facts: tuple[tuple[str, str], ...] = ()


class RecordingReader(ABC):
    """A recording, opened for reading.

    Attributes
    ----------
    info : RecordingInfo
    channels : ChannelMap
    n_samples : int
        Rows in all.
    gaps : GapReport
    opened_by : (Path, ReaderOptions, str), optional
        What ``open_recording`` was given. A reader that is sent to another process opens the file there with it.
    """

    info: RecordingInfo
    channels: ChannelMap
    n_samples: int
    gaps: GapReport
    opened_by: tuple[Path, ReaderOptions, str] | None = None

    @abstractmethod
    def _columns(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return rows [start, stop), dead columns included, float32, axes (sample, column); the rows are there."""

    @abstractmethod
    def index(self, start: int = 0, stop: int | None = None) -> NDArray[np.int64]:
        """Return the places of rows [start, stop) on the sample clock, int64, axes (sample,); all by default."""

    @abstractmethod
    def time_s(self, start: int = 0, stop: int | None = None) -> NDArray[np.float64]:
        """Return the stamps of rows [start, stop), float64, axes (sample,), s; NaN without a time axis."""

    @abstractmethod
    def trials(self) -> TrialTable:
        """Return the trials, in the order of presentation.

        Raises
        ------
        SessionError
            The marker pattern is none.
        """

    def markers(self) -> list[SessionMarker]:
        """Return the markers as recorded; none in formats without."""
        return []

    def day_starts(self) -> list[int]:
        """Return with which samples (sample clock) the service began days while it recorded; empty in other files."""
        return []

    def stimuli(self) -> Stimuli | None:
        """Return the latents of the stimuli, or None where the file has none."""
        return None

    def provenance(self) -> dict[str, object]:
        """Return where the data come from, plain data."""
        return {"file": self.info.path.name, "format": self.info.format}

    def created(self) -> datetime | None:
        """Return when the recording was made, by the wall clock; None where the file does not say."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Close the file; twice is harmless."""

    def columns(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return rows [start, stop) as stored, dead columns included; otherwise as ``read``.

        Raises
        ------
        SessionError
            Rows that are not there, or cannot be read.
        """
        if not 0 <= start <= stop <= self.n_samples:
            raise SessionError(
                f"{self.info.path}: rows {start} to {stop}, expected within 0 to {self.n_samples}."
            )
        # A damaged value beyond float32 becomes infinite, and what comes after counts it as bad.
        with (
            faults_told(f"{self.info.path}: rows {start} to {stop}", self.info.format),
            np.errstate(over="ignore", invalid="ignore"),
        ):
            return self._columns(start, stop)

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return rows [start, stop), channel map applied.

        Parameters
        ----------
        start, stop : int
            Half open; 0 <= start <= stop <= n_samples.

        Returns
        -------
        float32, axes (sample, channel), in the unit of ``info``

        Raises
        ------
        SessionError
            Rows that are not there, or cannot be read.
        """
        return self.channels.pick(self.columns(start, stop))

    def blocks(self, n_samples: int = BLOCK_SAMPLES) -> Iterator[Block]:
        """Yield the recording from its first row, at most ``n_samples`` rows at a time."""
        for start in range(0, self.n_samples, n_samples):
            stop = min(start + n_samples, self.n_samples)
            yield Block(self.index(start, stop), self.read(start, stop))

    def __reduce__(self) -> tuple[Callable[..., RecordingReader], tuple[object, ...]]:
        """Return how another process opens the recording there: nothing of it is sent.

        Raises
        ------
        TypeError
            It was not opened by ``open_recording``.
        """
        from offline.recordings.formats.opening import open_recording

        if self.opened_by is None:
            raise TypeError(
                f"{self.info.path}: not opened by open_recording, cannot be opened elsewhere."
            )
        return open_recording, self.opened_by

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the file."""
        self.close()


def sample_rate(info: RecordingInfo, what_to_do: str) -> float:
    """Return a recording's rate, Hz, for a format that holds streams only.

    Raises
    ------
    SessionError
        Responses without a time axis; ``what_to_do`` ends the line.
    """
    if info.rate_hz is None:
        raise SessionError(
            f"{info.path}: responses without a time axis, expected a recording with samples. {what_to_do}"
        )
    return info.rate_hz


def fitting(channels: ChannelMap, n_columns: int, path: Path) -> ChannelMap:
    """Return the channel map, or refuse one for another number of columns.

    Raises
    ------
    ChannelMapError
    """
    if channels.n_stream_channels != n_columns:
        raise ChannelMapError(
            f"{path}: {n_columns} columns, the channel map expects {channels.n_stream_channels}. Give the map of this "
            "recording with --channels FILE.yaml."
        )
    return channels


def needed(channels: ChannelMap | None, n_columns: int, path: Path) -> ChannelMap:
    """Return the channel map of a format that has none of its own.

    Raises
    ------
    ChannelMapError
        None was given, or one for another number of columns.
    """
    if channels is None:
        raise ChannelMapError(
            f"{path}: does not say which of its {n_columns} columns is which electrode, expected a channel map. Give "
            "it with --channels FILE.yaml (see configs/channels)."
        )
    return fitting(channels, n_columns, path)


@contextmanager
def faults_told(where: str, format: str) -> Iterator[None]:
    """Turn what libraries raise over damaged files into one line.

    Parameters
    ----------
    where : str
        Opens the line.
    format : str
        What was expected.

    Raises
    ------
    SessionError
        Anything was raised inside that is no error of ours.
    """
    try:
        yield
    except FAULTS as error:
        raise SessionError(
            f"{where}: cannot be read ({one_line(error)[:_MOST_SHOWN]}), expected {format} data. The file is damaged: "
            "copy it again."
        ) from None


def one_line(error: BaseException) -> str:
    """Return an exception's text as one line."""
    return " ".join(str(error).split()) or type(error).__name__
