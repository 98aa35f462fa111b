"""NWB through pynwb: one ElectricalSeries or TimeSeries, the electrodes table, the trials table, in blocks.

What `nwb_writer` writes comes back exactly. Files of others need a trials table with a column of stimulus ids and,
where their electrodes table has no array, row and col, a channel map from the user.
"""

from __future__ import annotations

import json
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.session import SessionMarker
from b2g_rt.errors import SessionError
from offline.recordings.formats.gaps import GapPolicy, GapReport
from offline.recordings.formats.nwb_electrodes import read_electrodes
from offline.recordings.formats.placement import place
from offline.recordings.formats.placement import positions as positions_of
from offline.recordings.formats.reader import (
    FAULTS,
    Kind,
    ReaderOptions,
    RecordingInfo,
    RecordingReader,
    Stimuli,
    faults_told,
    needed,
    one_line,
)
from offline.recordings.formats.trial_table import (
    UNKNOWN_DAY,
    TrialTable,
    no_trials,
    onsets_of,
    rounded,
    unsorted_trials,
)

NAME = "nwb"
MUA = "MUA"
MARKERS = "markers"
LATENTS = "stimulus_latents"
MODULE = "stimuli"
_STIMULUS = ("stimulus", "stimulus_id", "stimulus_name", "image_id", "image_name", "image")


class NwbReader(RecordingReader):
    """One series of an NWB file; in memory are its stamps, if it has any, and one block.

    Parameters
    ----------
    path : Path
    options : ReaderOptions
        ``stream``: the series, where there are several of several channels.

    Raises
    ------
    SessionError, ChannelMapError
    """

    def __init__(self, path: Path, options: ReaderOptions) -> None:
        self._io, self._nwb = _opened(path)
        try:
            self._options = options
            self._own = _own_notes(self._nwb)
            self._series = _series(self._nwb, options.stream, path)
            self.n_samples, n_columns = (int(n) for n in self._series.data.shape)
            self.channels = (
                read_electrodes(self._nwb, self._series, n_columns, path)
                if options.channels is None
                else needed(options.channels, n_columns, path)
            )
            self._scale, self._offset, unit = _scale(self._series, n_columns)
            self._times(path)
            self.info = RecordingInfo(
                path=path,
                format=NAME,
                kind=self._kind,
                unit=unit,
                rate_hz=self._per_s / self._speed,
                n_columns=n_columns,
                simulated=bool(self._own.get("simulated", False)),
                speed=self._speed,
                facts=(
                    ("series", f"{self._series.name} ({type(self._series).__name__})"),
                    ("session start", str(self._nwb.session_start_time)),
                    ("description", str(self._nwb.session_description)),
                ),
            )
        except FAULTS as error:
            self._io.close()
            raise SessionError(
                f"{path}: {one_line(error)}, expected an NWB file that pynwb can read. The file is damaged."
            ) from None
        except BaseException:
            self._io.close()
            raise

    def _times(self, path: Path) -> None:
        """Take the series' times, as a rate or as stamps."""
        self._start_s = float(self._own.get("start_s", 0.0))
        self._speed = float(self._own.get("speed", 1.0))
        self._kind: Kind = "trials" if self._own.get("kind") == "trials" else "continuous"
        self._stamps: NDArray[np.float64] | None = None
        self._index: NDArray[np.int64] | None = None
        self.gaps = GapReport(self.n_samples)
        if self._series.rate is not None:
            self._per_s = float(self._series.rate)
            self._first_s = float(self._series.starting_time or 0.0) + self._start_s
        else:
            self._stamps = np.asarray(self._series.timestamps[:], np.float64)
            told = float(self._own.get("rate_hz", 0.0)) * self._speed
            self._per_s = told or _nominal_rate(self._stamps, path)
            if len(self._stamps) != self.n_samples:
                raise SessionError(
                    f"{path}: {len(self._stamps)} timestamps, expected {self.n_samples} as there are samples."
                )
            trials = self._kind == "trials"
            policy = GapPolicy("segment") if trials else self._options.gaps
            placed = place(self._stamps, self._per_s, policy, str(path))
            self._stamps = self._stamps + self._start_s
            self._index = placed.index
            # What lies between trials was never recorded: nothing is lost.
            self.gaps = GapReport(self.n_samples) if trials else placed.report
        if not 0 < self._per_s < np.inf:
            raise SessionError(f"{path}: rate {self._per_s} Hz, expected more than 0.")

    def _columns(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return rows [start, stop), axes (sample, column)."""
        rows = np.asarray(self._series.data[start:stop])
        if self._scale is None:
            return rows.astype(np.float32, copy=False)
        return (rows * self._scale + self._offset).astype(np.float32)

    def index(self, start: int = 0, stop: int | None = None) -> NDArray[np.int64]:
        """Return the places by stamps, or the row numbers of a regular series."""
        if self._index is not None:
            return self._index[start:stop]
        return np.arange(*slice(start, stop).indices(self.n_samples), dtype=np.int64)

    def time_s(self, start: int = 0, stop: int | None = None) -> NDArray[np.float64]:
        """Return the stamps: s after the session's start, in our own files the LSL clock."""
        if self._stamps is not None:
            return self._stamps[start:stop]
        return self._first_s + self.index(start, stop) / self._per_s

    def markers(self) -> list[SessionMarker]:
        """Return annotated events (an EventsTable, or the older AnnotationSeries): 'markers', or the only ones."""
        with faults_told(f"{self.info.path}: events", NAME):
            found = _annotations(self._nwb)
        if MARKERS not in found and len(found) != 1:
            return []
        times, texts = found.get(MARKERS) or next(iter(found.values()))
        return [
            SessionMarker(float(time) + self._start_s, str(text))
            for time, text in zip(times, texts, strict=True)
        ]

    def trials(self) -> TrialTable:
        """Return the trials table, else the onset markers."""
        where = str(self.info.path)
        table = self._nwb.trials
        if table is None or self._options.marker_pattern is not None:
            stimulus, onset_s = onsets_of(self.markers(), self._options.marker_pattern, where)
            if not stimulus:
                return no_trials()
            return unsorted_trials(stimulus, self._places(onset_s), onset_s)
        column = next((c for c in _STIMULUS if c in table.colnames), None)
        if column is None:
            raise SessionError(
                f"{where}: trials table with {', '.join(table.colnames)}, expected a column 'stimulus'."
            )
        with faults_told(f"{where}: trials", NAME):
            onset_s = np.asarray(table["start_time"][:], np.float64) + self._start_s
            ids = tuple(str(x) for x in table[column][:])
            n = len(onset_s)
            split = [str(x) for x in table["split"][:]] if "split" in table.colnames else [""] * n
            day = table["day"][:] if "day" in table.colnames else np.full(n, UNKNOWN_DAY)
            days = np.asarray(day, np.int64)
        return TrialTable(ids, self._places(onset_s), onset_s, tuple(split), days)

    def _places(self, times: NDArray[np.float64]) -> NDArray[np.int64]:
        if self._index is None or self._stamps is None:
            return rounded((times - self._first_s) * self._per_s)
        return rounded(positions_of(times, self._stamps, self._index, self._per_s))

    def stimuli(self) -> Stimuli | None:
        """Return ids and latents of our own files."""
        module = self._nwb.processing.get(MODULE)
        if module is None or LATENTS not in module.data_interfaces:
            return None
        with faults_told(f"{self.info.path}: {LATENTS}", NAME):
            table = module[LATENTS]
            ids = [str(i) for i in table["stimulus"][:]]
            return ids, np.asarray(table["latent"][:], np.float32)

    def provenance(self) -> dict[str, object]:
        """Return what our own files say, else the file's name and identifier."""
        told = self._own.get("provenance")
        if isinstance(told, dict):
            return told
        return {"file": self.info.path.name, "format": NAME, "identifier": self._nwb.identifier}

    def created(self) -> datetime | None:
        """Return the session's start."""
        return self._nwb.session_start_time

    def close(self) -> None:
        """Close the file; twice is harmless."""
        self._io.close()


def _opened(path: Path) -> tuple[Any, Any]:
    from pynwb import NWBHDF5IO

    if not path.is_file():
        raise SessionError(f"{path}: no such file, expected an NWB file. Check the path.")
    io = None
    try:
        with warnings.catch_warnings():
            # pynwb tells of namespaces that are cached in the file: nothing a user could mend.
            warnings.simplefilter("ignore")
            io = NWBHDF5IO(str(path), "r")
            return io, io.read()
    except Exception as error:  # pynwb and hdmf raise whatever their parts raise
        if io is not None:
            io.close()
        raise SessionError(
            f"{path}: {one_line(error)[:200]}, expected an NWB file (HDF5). If it was copied or downloaded, compare "
            "its size with the original's."
        ) from None


def _annotations(nwb: Any) -> dict[str, tuple[Any, Any]]:
    """Return times and texts of all tables and series of annotated events, by name."""
    from pynwb.misc import AnnotationSeries

    found = {
        o.name: (o.timestamps[:], o.data[:])
        for o in nwb.objects.values()
        if isinstance(o, AnnotationSeries)
    }
    for name, table in nwb.events.items():
        if "annotation" in table.colnames:
            found[name] = (table["timestamp"][:], table["annotation"][:])
    return found


def _own_notes(nwb: Any) -> dict[str, Any]:
    """Return what `nwb_writer` noted beside the data."""
    try:
        notes = json.loads(nwb.notes or "{}")
    except ValueError:
        return {}
    own = notes.get("b2g") if isinstance(notes, dict) else None
    return own if isinstance(own, dict) else {}


def _series(nwb: Any, name: str | None, path: Path) -> Any:
    from pynwb import TimeSeries

    found = [
        o
        for o in nwb.objects.values()
        if isinstance(o, TimeSeries)
        and getattr(o.data, "ndim", 0) == 2
        and np.dtype(o.data.dtype).kind in "fiu"
        and o.data.shape[1] > 1
    ]
    wanted = [o for o in found if o.name == (name or MUA)]
    if name is None and not wanted:
        wanted = found
    if len(wanted) != 1:
        names = ", ".join(f"'{o.name}' {tuple(o.data.shape)}" for o in found) or "none"
        raise SessionError(
            f"{path}: {len(wanted)} series fit, expected one of several channels; there are {names}. Choose with "
            "--stream NAME."
        )
    return wanted[0]


def _scale(series: Any, n_columns: int) -> tuple[Any, float, str]:
    """Return factor (None: 1), offset and unit of the values as they are read."""
    conversion = float(series.conversion)
    offset = float(series.offset or 0.0)
    unit = str(series.unit)
    if unit.lower() in ("volts", "volt", "v"):
        conversion, offset, unit = conversion * 1e6, offset * 1e6, "uV"
    per_channel = getattr(series, "channel_conversion", None)
    if per_channel is not None:
        factors = np.asarray(per_channel[:], np.float64) * conversion
        if len(factors) != n_columns:
            raise ValueError(f"{len(factors)} channel conversions for {n_columns} channels")
        return factors, offset, unit
    if abs(conversion - 1.0) < 1e-9 and not offset:
        return None, 0.0, unit
    return conversion, offset, unit


def _nominal_rate(stamps: NDArray[np.float64], path: Path) -> float:
    if len(stamps) < 2 or not np.median(np.diff(stamps)) > 0:
        raise SessionError(f"{path}: {len(stamps)} timestamps that do not grow, expected seconds.")
    rate = 1.0 / float(np.median(np.diff(stamps)))
    # Stamps of 1 kHz differ by .0009999999 s or so.
    return float(round(rate)) if abs(rate - round(rate)) < 1e-3 * rate and rate > 1 else rate
