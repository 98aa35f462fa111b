"""Any recording as MUA at the rate that windows are cut at: as it is, or made from its voltage.

Voltage goes through the causal chain, because that is what a live decoder gets. For fit and evaluate; knows nothing
of windows or decoders.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import SessionError
from b2g_rt.mua.filter_design import MuaSpec
from offline.recordings.formats.reader import RecordingReader
from offline.recordings.formats.trial_table import TrialTable
from offline.recordings.mua_chain import MuaRecording, mua_onsets
from offline.recordings.recording import BLOCK_SAMPLES, Block, Recording

_PLACES_AT_ONCE = 1_000_000


class RecordingPart:
    """The rows [start, stop) of a recording: a day of several, say. A ``Recording``.

    Parameters
    ----------
    reader : RecordingReader
    start, stop : int
    """

    def __init__(self, reader: RecordingReader, start: int, stop: int) -> None:
        self._reader = reader
        self._start, self._stop = start, stop
        self.info = reader.info
        self.channels = reader.channels
        self.n_samples = stop - start

    def index(self, start: int = 0, stop: int | None = None) -> NDArray[np.int64]:
        """Return the places of rows [start, stop) on the sample clock, int64, axes (sample,); all by default."""
        first, last, _ = slice(start, stop).indices(self.n_samples)
        return self._reader.index(self._start + first, self._start + last)

    def blocks(self, n_samples: int = BLOCK_SAMPLES) -> Iterator[Block]:
        """Yield the part from its first row, at most ``n_samples`` rows at a time."""
        for start in range(self._start, self._stop, n_samples):
            stop = min(start + n_samples, self._stop)
            yield Block(self._reader.index(start, stop), self._reader.read(start, stop))


@dataclass(frozen=True, slots=True, eq=False)
class MuaTrials:
    """MUA, and where its trials are.

    Attributes
    ----------
    recording : Recording
    onsets : int64, axes (trial,)
        On the MUA's sample clock.
    first, stop : int
        The recording's span on it: [first, stop).
    day_starts : tuple of int
        With which samples days begin, counted from the first one.
    """

    recording: Recording
    onsets: NDArray[np.int64]
    first: int
    stop: int
    day_starts: tuple[int, ...] = (0,)


def mua_of(
    reader: RecordingReader | RecordingPart, onsets: NDArray[np.int64], rate_hz: float
) -> MuaTrials:
    """Return the recording's MUA and trials.

    Parameters
    ----------
    reader : RecordingReader or RecordingPart
        With a time axis, and samples.
    onsets : int64, axes (trial,)
        On the recording's sample clock.
    rate_hz : float
        The MUA's.

    Raises
    ------
    SessionError
        It is neither MUA at that rate nor voltage from which it can be made.
    """
    first, stop = _span(reader)
    if reader.info.rate_hz == rate_hz:
        return MuaTrials(reader, onsets, first, stop)
    spec = MuaSpec()
    if reader.info.rate_hz != spec.raw_rate_hz or spec.rate_hz != rate_hz:
        raise SessionError(
            f"{reader.info.path}: {reader.info.rate_hz} Hz, expected MUA at {rate_hz:g} Hz or voltage at "
            f"{spec.raw_rate_hz:g} Hz. Choose another --stream, or resample it."
        )
    mua = MuaRecording(reader, spec, "causal")
    return MuaTrials(mua, mua_onsets(onsets, spec), first // spec.factor, stop // spec.factor)


def _span(reader: RecordingReader | RecordingPart) -> tuple[int, int]:
    """Return the first place and the one after the last; piece by piece, an hour of voltage has 10^8 rows."""
    if not reader.n_samples:
        raise SessionError(f"{reader.info.path}: no samples, expected some. Check the recording.")
    firsts, lasts = [], []
    for start in range(0, reader.n_samples, _PLACES_AT_ONCE):
        index = reader.index(start, min(start + _PLACES_AT_ONCE, reader.n_samples))
        firsts.append(int(index.min()))
        lasts.append(int(index.max()))
    return min(firsts), max(lasts) + 1


def days_of(reader: RecordingReader, table: TrialTable) -> list[tuple[int, int, NDArray[np.intp]]]:
    """Split a recording into the days that its trial table tells of.

    Returns
    -------
    list of (first row, row after the last, trials)
        One where the table tells of none, or of days that do not follow each other. A day begins halfway between its
        first onset and the last one of the day before.
    """
    order = np.argsort(table.onset_idx, kind="stable")
    onsets = table.onset_idx[order]
    new_day = np.flatnonzero(np.diff(table.day[order])) + 1
    if len(new_day) + 1 != len(np.unique(table.day)):
        new_day = new_day[:0]
    if not len(new_day):
        return [(0, reader.n_samples, np.sort(order))]
    halfway = (onsets[new_day - 1] + onsets[new_day]) // 2
    rows = np.searchsorted(np.maximum.accumulate(reader.index()), halfway)
    edges = [0, *rows.tolist(), reader.n_samples]
    days = zip(edges[:-1], edges[1:], np.split(order, new_day), strict=True)
    return [(start, stop, np.sort(trials)) for start, stop, trials in days]
