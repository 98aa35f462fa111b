"""Our own HDF5 session, read: the layout of `b2g_rt.contracts.session`, and the trials that `convert` puts beside it.

    /trials/stimulus_*   text column (optional)
    /trials/onset_idx    int64, axes (trial,), sample clock
    /trials/onset_s      float64, axes (trial,)
    /trials/split_*      text column: train, test or empty
    /trials/day          int64, axes (trial,), -1: not known

Without that group, as in what the live service records, trials are the onset markers.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.recorded_frames import read_day_starts
from b2g_rt.contracts.session import SessionFile, SessionMarker, read_text_column
from b2g_rt.errors import SessionError
from offline.recordings.formats.gaps import GapReport, check
from offline.recordings.formats.placement import by_index, close_gaps
from offline.recordings.formats.placement import positions as positions_of
from offline.recordings.formats.reader import (
    FAULTS,
    Kind,
    ReaderOptions,
    RecordingInfo,
    RecordingReader,
    Stimuli,
    faults_told,
    fitting,
    one_line,
)
from offline.recordings.formats.trial_table import TrialTable, onsets_of, rounded, unsorted_trials

NAME = "b2g-session"
TRIALS = "trials"


class SessionReader(RecordingReader):
    """A session file.

    Parameters
    ----------
    path : Path
    options : ReaderOptions

    Raises
    ------
    SessionError
        See ``SessionFile``; or gaps that the policy refuses.
    ChannelMapError
        The map given does not fit the file's columns.
    """

    def __init__(self, path: Path, options: ReaderOptions) -> None:
        self._file = SessionFile(path)
        try:
            info = self._file.info
            self._options = options
            self.n_samples = self._file.n_samples
            self.channels = fitting(
                options.channels or info.channel_map, self._file.n_columns, path
            )
            self._time_s = self._file.time_s()
            kind = _kind(info.provenance)
            if kind == "trials":
                # What lies between trials was never recorded: nothing is lost, nothing to close.
                self._index, self.gaps = self._file.index(), GapReport(self.n_samples)
            else:
                report = by_index(self._file.index(), self._time_s, info.rate_hz)
                check(report, options.gaps, str(path))
                self._index, self.gaps = close_gaps(self._file.index(), report, options.gaps)
            self.info = RecordingInfo(
                path=path,
                format=NAME,
                kind=kind,
                unit=info.unit,
                rate_hz=info.rate_hz,
                n_columns=self._file.n_columns,
                simulated=info.simulated,
                speed=info.speed,
                facts=tuple((k, str(v)) for k, v in _facts(info.provenance).items()),
            )
        except BaseException:
            self._file.close()
            raise

    def _columns(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return rows [start, stop), axes (sample, column)."""
        return self._file.mua(start, stop)

    def index(self, start: int = 0, stop: int | None = None) -> NDArray[np.int64]:
        """Return the recorded index; tolerated gaps are closed."""
        return self._index[start:stop]

    def time_s(self, start: int = 0, stop: int | None = None) -> NDArray[np.float64]:
        """Return the stamps, LSL clock."""
        return self._time_s[start:stop]

    def markers(self) -> list[SessionMarker]:
        """Return the markers as received."""
        with faults_told(f"{self.info.path}: markers", NAME):
            return self._file.markers()

    def trials(self) -> TrialTable:
        """Return the stored trials, else the onset markers."""
        where = str(self.info.path)
        with faults_told(where, NAME):
            group = self._file.group(TRIALS)
        if group is None or self._options.marker_pattern is not None:
            stimulus, onset_s = onsets_of(self.markers(), self._options.marker_pattern, where)
            return unsorted_trials(stimulus, rounded(self._positions(onset_s)), onset_s)
        try:
            onset_s = np.asarray(group["onset_s"][:], np.float64)
            stored = np.asarray(group["onset_idx"][:], np.int64)
            closed = self.gaps.gaps and any(gap.closed for gap in self.gaps.gaps)
            return TrialTable(
                tuple(t.decode() for t in read_text_column(group, "stimulus")),
                rounded(self._positions(onset_s)) if closed else stored,
                onset_s,
                tuple(t.decode() for t in read_text_column(group, "split")),
                np.asarray(group["day"][:], np.int64),
            )
        except FAULTS as error:
            raise SessionError(
                f"{where}: /{TRIALS}: {one_line(error)}, expected stimulus, onset_idx, onset_s, split and day."
            ) from None

    def _positions(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        if not self.n_samples:
            raise SessionError(f"{self.info.path}: no samples, expected some beside the markers.")
        info = self._file.info
        return positions_of(times, self._time_s, self._index, info.rate_hz * info.speed)

    def day_starts(self) -> list[int]:
        """Return what the service's events say."""
        with faults_told(f"{self.info.path}: events", NAME):
            return read_day_starts(self._file)

    def stimuli(self) -> Stimuli | None:
        """Return ids and latents of the stimuli."""
        with faults_told(f"{self.info.path}: stimuli", NAME):
            return self._file.stimuli()

    def provenance(self) -> dict[str, object]:
        """Return the file's provenance."""
        return dict(self._file.info.provenance)

    def created(self) -> datetime | None:
        """Return when the file was begun."""
        try:
            made = datetime.fromisoformat(str(self._file.file.attrs.get("created", "")))
        except ValueError:
            return None
        return made if made.tzinfo else made.replace(tzinfo=UTC)

    def close(self) -> None:
        """Close the file; twice is harmless."""
        self._file.close()


def _kind(provenance: dict[str, object]) -> Kind:
    """Return the kind of the recording that the session was converted from."""
    told = provenance.get("converted_from")
    return "trials" if isinstance(told, dict) and told.get("kind") == "trials" else "continuous"


def _facts(provenance: dict[str, object]) -> dict[str, object]:
    return {k: v for k, v in provenance.items() if isinstance(v, (str, int, float))}
