"""MUA made of a recording of voltage, as a recording that any writer takes: any row, as often as asked for.

Made once, front to back, into a file without a name beside what will be written; it goes when this is closed, however
the program ends. All columns are made, dead ones too, because the channel map applies when a file is read, and the
written file may be read with another. In memory: what the chain needs (``mua_chain.working_bytes``), a block of
voltage, and 32 bytes per MUA sample for index and stamps.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.session import SessionMarker
from b2g_rt.errors import SessionError
from b2g_rt.mua.filter_design import MuaSpec, design
from offline.recordings.formats.placement import by_index
from offline.recordings.formats.reader import RecordingReader, Stimuli, one_line
from offline.recordings.formats.trial_table import TrialTable
from offline.recordings.mua_chain import MuaRecording, Phase, mua_onsets
from offline.recordings.recording import BLOCK_SAMPLES, Block

NOTES: dict[Phase, str] = {
    "zero": "zero: filtered forward and backward as the paper did; looks ahead, so no live decoder gets these samples",
    "causal": "causal: filtered forward as live; no sample knows what comes after it",
}

_STAMPS_AT_ONCE = 300_000


class MadeMua(RecordingReader):
    """MUA of a recording of voltage.

    Parameters
    ----------
    voltage : RecordingReader
        At ``spec.raw_rate_hz``; stays the caller's to close.
    phase : {'zero', 'causal'}
    folder : Path
        Where there is room for the MUA: 4 bytes per sample and column.
    progress : callable, optional
        Called with the number of MUA samples done since the last call, ``n_mua_samples`` in all.
    spec : MuaSpec, optional

    Raises
    ------
    SessionError
        Another rate, no whole MUA sample, voltage that cannot be read, or no room.
    """

    def __init__(
        self,
        voltage: RecordingReader,
        phase: Phase,
        folder: Path,
        progress: Callable[[int], None] | None = None,
        spec: MuaSpec | None = None,
    ) -> None:
        spec = spec or MuaSpec()
        check_voltage(voltage, spec)
        info = voltage.info
        self._voltage, self._spec, self._phase = voltage, spec, phase
        self.channels = voltage.channels
        self.info = replace(info, rate_hz=spec.rate_hz)
        n_bytes = 4 * info.n_columns * (voltage.n_samples // spec.factor)
        try:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (closed by close)
            try:
                self._index = self._made(progress)
                self._time_s = _stamps(voltage, self._index, spec)
            except BaseException:
                self._file.close()
                raise
        except OSError as error:
            raise SessionError(
                f"{folder}: {error.strerror or one_line(error)}, expected room for {n_bytes / 1e6:.0f} MB of MUA on "
                "the way. Make room or choose another folder."
            ) from None
        self.n_samples = len(self._index)
        self.gaps = replace(
            by_index(self._index, self._time_s, spec.rate_hz), truncation=voltage.gaps.truncation
        )

    def _made(self, progress: Callable[[int], None] | None) -> NDArray[np.int64]:
        """Run the chain into the file; return the index."""
        index = [np.zeros(0, np.int64)]
        for block in MuaRecording(_AllColumns(self._voltage), self._spec, self._phase).blocks():
            self._file.write(np.ascontiguousarray(block.values, np.float32).data)
            index.append(block.index)
            if progress:
                progress(len(block.index))
        self._file.flush()
        return np.concatenate(index)

    def _columns(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return rows [start, stop), axes (sample, column)."""
        rows = np.empty((stop - start, self.info.n_columns), np.float32)
        self._file.seek(start * rows.itemsize * self.info.n_columns)
        view, done = rows.reshape(-1).view(np.uint8).data, 0
        while done < len(view):
            n = self._file.readinto(view[done:])
            if not n:
                raise OSError("the MUA on the way ends early")
            done += n
        return rows

    def index(self, start: int = 0, stop: int | None = None) -> NDArray[np.int64]:
        """Return the places on the MUA's sample clock; gaps of the voltage are gaps."""
        return self._index[start:stop]

    def time_s(self, start: int = 0, stop: int | None = None) -> NDArray[np.float64]:
        """Return the stamps: those of the voltage at the same place."""
        return self._time_s[start:stop]

    def trials(self) -> TrialTable:
        """Return the voltage's trials, onsets on the MUA's sample clock."""
        trials = self._voltage.trials()
        return replace(trials, onset_idx=mua_onsets(trials.onset_idx, self._spec))

    def markers(self) -> list[SessionMarker]:
        """Return the markers as recorded."""
        return self._voltage.markers()

    def stimuli(self) -> Stimuli | None:
        """Return the latents of the stimuli, or None."""
        return self._voltage.stimuli()

    @property
    def lag_ms(self) -> float:
        """By how much a sample is behind the voltage: 0 of the zero-phase chain."""
        return 0.0 if self._phase == "zero" else 1000.0 * design(self._spec).lag_s

    def provenance(self) -> dict[str, object]:
        """Return the voltage's, with how the MUA was made."""
        gaps = self._voltage.gaps.lines()
        return {
            **self._voltage.provenance(),
            "mua": NOTES[self._phase],
            "mua_looks_ahead": self._phase == "zero",
            "mua_lag_ms": round(self.lag_ms, 3),
            "mua_chain": self._spec.to_dict(),
            **({"voltage_gaps": gaps} if gaps else {}),
        }

    def created(self) -> datetime | None:
        """Return when the voltage was recorded."""
        return self._voltage.created()

    def close(self) -> None:
        """Close the file, which is its end; twice is harmless. The voltage stays open."""
        self._file.close()


def check_voltage(reader: RecordingReader, spec: MuaSpec | None = None) -> None:
    """Refuse what MUA cannot be made of.

    Raises
    ------
    SessionError
        Another rate than the voltage's, or less than one MUA sample.
    """
    spec = spec or MuaSpec()
    info = reader.info
    if info.rate_hz != spec.raw_rate_hz:
        found = "no time axis" if info.rate_hz is None else f"{info.rate_hz:g} Hz"
        raise SessionError(
            f"{info.path}: {found}, --mua expects voltage at {spec.raw_rate_hz:g} Hz. Leave --mua out if it is MUA "
            "already, choose another --stream, or resample it."
        )
    if reader.n_samples < spec.factor:
        raise SessionError(
            f"{info.path}: {reader.n_samples} samples of voltage, expected at least {spec.factor} for one of MUA. The "
            "recording was stopped at once."
        )


class _AllColumns:
    """A recording's voltage as stored, dead columns included; a ``Recording`` for the chain."""

    def __init__(self, reader: RecordingReader) -> None:
        self._reader = reader
        self.channels = reader.channels
        self.n_samples = reader.n_samples

    def blocks(self, n_samples: int = BLOCK_SAMPLES) -> Iterator[Block]:
        for start in range(0, self.n_samples, n_samples):
            stop = min(start + n_samples, self.n_samples)
            yield Block(self._reader.index(start, stop), self._reader.columns(start, stop))


def _stamps(
    voltage: RecordingReader, index: NDArray[np.int64], spec: MuaSpec
) -> NDArray[np.float64]:
    """Return the stamp of each MUA sample: the voltage's at that place, at the nominal rate where none was received."""
    places, times = [np.zeros(0, np.int64)], [np.zeros(0)]
    newest = -1
    for start in range(0, voltage.n_samples, _STAMPS_AT_ONCE):
        stop = min(start + _STAMPS_AT_ONCE, voltage.n_samples)
        at = voltage.index(start, stop)
        before = np.maximum.accumulate(np.r_[newest, at[:-1]])
        newest = max(newest, int(at.max()))
        chosen = (at > before) & (at % spec.factor == 0)
        places.append(at[chosen] // spec.factor)
        times.append(voltage.time_s(start, stop)[chosen])
    place, time_s = np.concatenate(places), np.concatenate(times)
    per_s = spec.rate_hz * voltage.info.speed
    if not len(place) or not len(index):
        raise SessionError(
            f"{voltage.info.path}: gaps everywhere, expected a whole millisecond of voltage. Check the recording."
        )
    nearest = np.maximum(np.searchsorted(place, index, side="right") - 1, 0)
    return np.asarray(time_s[nearest] + (index - place[nearest]) / per_s, np.float64)
