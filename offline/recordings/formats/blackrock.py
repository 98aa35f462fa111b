"""Blackrock's NSx (signals) and NEV (digital inputs, comments) through neo; values are read in blocks.

A pause, a lost packet or a new synchronisation begins a new block of data in the file; each block has the
amplifier's own stamp, and from these stamps come the gaps. Times are the amplifier's, in seconds. neo leaves out the
last row of the oldest layout (2.1), which has no stamps and cannot have gaps.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.session import SessionMarker
from b2g_rt.errors import SessionError
from offline.recordings.formats.blackrock_files import (
    check_counts,
    check_head,
    events_of,
    signals_of,
)
from offline.recordings.formats.gaps import MAX_JITTER_S, Gap, GapPolicy, GapReport, check
from offline.recordings.formats.reader import (
    FAULTS,
    ReaderOptions,
    RecordingInfo,
    RecordingReader,
    needed,
    one_line,
)
from offline.recordings.formats.trial_table import TrialTable, onsets_of, rounded, unsorted_trials

NAME = "blackrock"
_TO_UV = {"uv": 1.0, "mv": 1e3, "v": 1e6}


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Rows [row, row + n) of one neo segment: amplifier's time of the first, its place on the sample clock."""

    row: int
    n: int
    time_s: float
    index: int


class BlackrockReader(RecordingReader):
    """One NSx file and, where there is one beside it, the NEV file.

    Parameters
    ----------
    path : Path
        The .nsN or the .nev file.
    options : ReaderOptions
        ``channels`` is needed; ``stream`` ('ns6') where several NSx files lie beside the NEV.

    Raises
    ------
    SessionError, ChannelMapError
    """

    def __init__(self, path: Path, options: ReaderOptions) -> None:
        signals = signals_of(path, options.stream)
        self._raw = _opened(signals)
        header = self._raw.header
        if not len(header["signal_channels"]):
            raise SessionError(f"{signals}: no channels, expected a recording.")
        self._options = options
        channels = header["signal_channels"]
        self._to_uv = np.array(
            [_TO_UV.get(str(u).strip("\x00 ").lower(), 1.0) for u in channels["units"]], np.float64
        )
        self._gain = channels["gain"] * self._to_uv
        self._offset = channels["offset"] * self._to_uv
        self._rate_hz = float(channels["sampling_rate"][0])
        self.channels = needed(options.channels, len(channels), path)
        truncation = _cut(self._raw, signals, len(channels))
        self._stretches, self.gaps = _placed(
            self._raw, self._rate_hz, options.gaps, truncation, str(signals)
        )
        self._rows = np.array([s.row for s in self._stretches], np.int64)
        self.n_samples = self.gaps.n_samples
        self._nev = events_of(signals)
        self.info = RecordingInfo(
            path=path,
            format=NAME,
            kind="continuous",
            unit="uV",
            rate_hz=self._rate_hz,
            n_columns=len(channels),
            facts=(
                ("signals", signals.name),
                ("events", "no NEV file" if self._nev is None else self._nev.name),
            ),
        )

    def _columns(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return rows [start, stop), uV, axes (sample, column)."""
        rows = np.empty((stop - start, self.info.n_columns), np.float32)
        at = start
        while at < stop:
            segment = int(np.searchsorted(self._rows, at, side="right")) - 1
            stretch = self._stretches[segment]
            offset = at - stretch.row
            n = min(stop - at, stretch.n - offset)
            try:
                raw = self._raw.get_analogsignal_chunk(
                    block_index=0,
                    seg_index=segment,
                    i_start=offset,
                    i_stop=offset + n,
                    stream_index=0,
                )
            except FAULTS as error:
                raise OSError(one_line(error)) from None
            rows[at - start : at - start + n] = raw * self._gain + self._offset
            at += n
        return rows

    def index(self, start: int = 0, stop: int | None = None) -> NDArray[np.int64]:
        """Return the places by the amplifier's stamps."""
        row, stretch = self._located(start, stop)
        first = np.array([s.index - s.row for s in self._stretches], np.int64)
        return row + first[stretch] if len(row) else row

    def time_s(self, start: int = 0, stop: int | None = None) -> NDArray[np.float64]:
        """Return the amplifier's time of each row, s."""
        row, stretch = self._located(start, stop)
        if not len(row):
            return np.zeros(0)
        begins = np.array([s.time_s for s in self._stretches])
        return begins[stretch] + (row - self._rows[stretch]) / self._rate_hz

    def _located(self, start: int, stop: int | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        row = np.arange(*slice(start, stop).indices(self.n_samples), dtype=np.int64)
        return row, (np.searchsorted(self._rows, row, side="right") - 1).astype(np.int64)

    def markers(self) -> list[SessionMarker]:
        """Return digital inputs (their number as text) and comments, in order of time.

        Raises
        ------
        SessionError
            The NEV file cannot be read.
        """
        return [] if self._nev is None else _events(self._nev)

    def trials(self) -> TrialTable:
        """Return the onset markers."""
        stimulus, onset_s = onsets_of(
            self.markers(), self._options.marker_pattern, str(self.info.path)
        )
        places = np.array([self._place(t) for t in onset_s], np.float64)
        return unsorted_trials(stimulus, rounded(places), onset_s)

    def _place(self, time_s: float) -> float:
        """Where a time lies on the sample clock: after the last stretch that had begun."""
        begun = [s for s in self._stretches if s.time_s <= time_s + 0.5 / self._rate_hz]
        stretch = begun[-1] if begun else self._stretches[0]
        place = stretch.index + (time_s - stretch.time_s) * self._rate_hz
        closed = [gap for gap in self.gaps.gaps if gap.closed]
        return min(place, stretch.index + stretch.n) if closed and begun else place

    def close(self) -> None:
        """Close the files; twice is harmless."""
        for file in getattr(self._raw, "_nsx_fids", {}).values():
            file.close()


def _opened(signals: Path) -> Any:
    from neo.rawio import BlackrockRawIO

    check_counts(signals)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            raw = BlackrockRawIO(
                filename=str(signals.with_suffix("")),
                nsx_to_load=int(signals.suffix[-1]),
                load_nev=False,
                gap_tolerance_ms=0.0,
            )
            raw.parse_header()
        return raw
    except FAULTS as error:
        raise SessionError(
            f"{signals}: {one_line(error)}, expected a Blackrock NSx file of version 2.1 to 3.0. The file is damaged "
            "or cut short: copy it again."
        ) from None


def _cut(raw: Any, signals: Path, n_columns: int) -> str:
    """Shorten the last block to what the file holds; return what is missing.

    neo takes the number of rows from the block's header, and fails only when they are read.
    """
    blocks = raw._nsx_data_header[int(signals.suffix[-1])]
    size = signals.stat().st_size
    last = blocks[max(blocks)] if isinstance(blocks, dict) else blocks[-1]
    layout = last["memmap_kwargs"]
    row_bytes = layout.get("packet_size") or 2 * n_columns
    there = max(0, (size - int(layout["offset"])) // row_bytes)
    told = int(layout["num_samples"])
    if there >= told:
        left = size - int(layout["offset"]) - told * row_bytes
        # The oldest layout: whole rows to the end of the file, one of which neo leaves out.
        odd = (
            left % row_bytes if last.get("timestamp") is None and "packet_size" not in layout else 0
        )
        return f"{odd} bytes behind the last whole row" if odd else ""
    layout["num_samples"] = last["nb_data_points"] = there
    return f"{there} rows in the last block, its header says {told}"


def _placed(
    raw: Any, rate_hz: float, policy: GapPolicy, truncation: str, where: str
) -> tuple[list[_Stretch], GapReport]:
    stretches: list[_Stretch] = []
    gaps: list[Gap] = []
    backward: list[float] = []
    row, index = 0, 0
    for segment in range(raw.segment_count(0)):
        n = int(raw.get_signal_size(0, segment, 0))
        time_s = float(raw.get_signal_t_start(0, segment, 0))
        if stretches:
            before = stretches[-1]
            step = time_s - (before.time_s + before.n / rate_hz)
            lost = round(step * rate_hz)
            closed = policy.kind == "tolerate" and abs(step) <= policy.tolerance_s
            if lost > 0:
                gaps.append(Gap(row, time_s, lost, step, closed))
                index += 0 if closed else lost
            elif step < -MAX_JITTER_S:
                gaps.append(Gap(row, time_s, 0, step, closed))
                index += 0 if closed else round(rate_hz)
            elif lost < 0:
                backward.append(-step)
        stretches.append(_Stretch(row, n, time_s, index))
        row, index = row + n, index + n
    report = GapReport(row, tuple(gaps), len(backward), max(backward, default=0.0), 0, truncation)
    check(report, policy, where)
    if not row:
        raise SessionError(f"{where}: no samples, expected a recording. It was stopped at once.")
    return stretches, report


def _events(nev: Path) -> list[SessionMarker]:
    from neo.rawio import BlackrockRawIO

    check_head(nev)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            raw = BlackrockRawIO(filename=str(nev.with_suffix("")), nsx_to_load=[])
            raw.parse_header()
            found = []
            for channel in range(raw.event_channels_count()):
                for segment in range(raw.segment_count(0)):
                    stamps, _, labels = raw.get_event_timestamps(0, segment, channel)
                    times = raw.rescale_event_timestamp(stamps, "float64", channel)
                    found += [
                        SessionMarker(float(t), str(label).strip("\x00 "))
                        for t, label in zip(times, labels, strict=True)
                    ]
    except FAULTS as error:
        raise SessionError(
            f"{nev}: {one_line(error)}, expected a Blackrock NEV file. The file is damaged or cut short."
        ) from None
    return sorted(found, key=lambda marker: marker.time_s)
