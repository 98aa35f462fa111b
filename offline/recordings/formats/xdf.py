"""XDF as LabRecorder writes it: one signal stream and its markers on one clock; values are read in blocks.

`xdf_chunks` finds what lies where and whether anything is damaged or missing; pyxdf, given the whole chunks alone,
brings the stamps of all streams onto the recorder's clock (clock offsets, clock resets) and reads the markers. Its
own dejittering is off: what is a gap and what is jitter is decided in `gaps`, for all formats alike.

A recorder that crashed leaves no footer. Then all samples that were written whole are there, and the file loads; a
chunk that was begun, damage, or a footer that names another number of samples is a truncation, which the policy
``error`` refuses.
"""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.contracts.session import SessionMarker
from b2g_rt.errors import SessionError
from offline.recordings.formats.gaps import GapReport
from offline.recordings.formats.gaps import check as check_gaps
from offline.recordings.formats.placement import place
from offline.recordings.formats.placement import positions as positions_of
from offline.recordings.formats.reader import (
    FAULTS,
    ReaderOptions,
    RecordingInfo,
    RecordingReader,
    needed,
    one_line,
)
from offline.recordings.formats.trial_table import TrialTable, onsets_of, rounded, unsorted_trials
from offline.recordings.formats.xdf_chunks import FORMATS, XdfStream, offsets, walk
from offline.recordings.formats.xdf_whole_chunks import WholeChunks

NAME = "xdf"
_PREFERRED_TYPE = "MUA"
# pyxdf asks for a byte, then eight, then a row.
_BUFFER_BYTES = 1 << 20


class XdfReader(RecordingReader):
    """One signal stream of an XDF file; in memory are its stamps and one block.

    Parameters
    ----------
    path : Path
    options : ReaderOptions
        ``channels`` is needed; ``stream`` and ``markers`` where there are several.

    Raises
    ------
    SessionError, ChannelMapError
    """

    def __init__(self, path: Path, options: ReaderOptions) -> None:
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise SessionError(f"{path}: {error.strerror}, expected an XDF file.") from None
        try:
            found = walk(self._file, path.stat().st_size, path)
            streams = list(found.streams.values())
            self._stream = _signal(streams, options.stream, path)
            marker_stream = _marker_stream(streams, options.markers, path)
            self.channels: ChannelMap = needed(options.channels, self._stream.n_channels, path)
            loaded = self._load(found.good, path)
            self._time_s = np.asarray(loaded[self._stream.stream_id]["time_stamps"], np.float64)
            self._markers = (
                [] if marker_stream is None else _markers(loaded[marker_stream.stream_id])
            )
            self.n_samples = self._stream.n_samples
            if len(self._time_s) != self.n_samples:
                raise SessionError(
                    f"{path}: {len(self._time_s)} stamps, expected {self.n_samples} as there are samples."
                )
            self._options = options
            self._chunk_rows = np.array([c.row for c in self._stream.chunks], np.int64)
            truncation = _truncation(self._stream, found.damage)
            check_gaps(GapReport(self.n_samples, truncation=truncation), options.gaps, str(path))
            placed = place(self._time_s, self._stream.rate_hz, options.gaps, str(path))
            self._index = placed.index
            report = placed.report
            self.gaps = GapReport(
                report.n_samples,
                report.gaps,
                report.n_backward,
                report.backward_s,
                report.n_late,
                truncation,
            )
            self.info = self._described(path, marker_stream)
        except BaseException:
            self._file.close()
            raise

    def _load(self, good: list[tuple[int, int]], path: Path) -> dict[int, dict[str, Any]]:
        """Let pyxdf read headers, stamps and markers; the signals' values are let go chunk by chunk."""
        import pyxdf

        def without_values(values: Any, stamps: Any, stream: Any, _: Any) -> tuple[Any, Any, Any]:
            # Not a slice: that would keep the whole.
            if isinstance(values, np.ndarray):
                values = np.empty((len(values), 0), values.dtype)
            return values, stamps, stream

        try:
            streams, _ = pyxdf.load_xdf(
                io.BufferedReader(WholeChunks(self._file, good), _BUFFER_BYTES),
                on_chunk=without_values,
                dejitter_timestamps=False,
            )
            return {int(s["info"]["stream_id"]): s for s in streams}
        except (*FAULTS, ET.ParseError) as error:
            raise SessionError(
                f"{path}: {one_line(error)}, expected an XDF file that pyxdf can read. The file is damaged."
            ) from None

    def _described(self, path: Path, marker_stream: XdfStream | None) -> RecordingInfo:
        header = self._stream.header
        speed = _number(header.findtext("desc/b2g/speed"), 1.0)
        ended = self._stream.footer_samples is not None
        return RecordingInfo(
            path=path,
            format=NAME,
            kind="continuous",
            unit=(header.findtext("desc/channels/channel/unit") or "").strip(),
            rate_hz=self._stream.rate_hz / speed,
            n_columns=self._stream.n_channels,
            simulated=header.findtext("desc/b2g/simulated") == "1",
            speed=speed,
            facts=(
                ("stream", f"{self._stream.name} ({self._stream.type or 'no type'})"),
                ("marker stream", "none" if marker_stream is None else marker_stream.name),
                ("footer", "there" if ended else "missing: the recorder did not end by itself"),
            ),
        )

    def _columns(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return rows [start, stop), axes (sample, column)."""
        stream = self._stream
        rows = np.empty((stop - start, stream.n_channels), np.float32)
        at = start
        while at < stop:
            chunk = stream.chunks[int(np.searchsorted(self._chunk_rows, at, side="right")) - 1]
            values = self._values(chunk.start, chunk.length, chunk.n)
            offset = at - chunk.row
            n = min(stop - at, chunk.n - offset)
            rows[at - start : at - start + n] = values[offset : offset + n]
            at += n
        return rows

    def _values(self, start: int, length: int, n: int) -> NDArray[Any]:
        stream = self._stream
        self._file.seek(start)
        data = self._file.read(length)
        begins = offsets(data, n, stream.row_bytes)
        if begins is None:
            raise SessionError(f"{self.info.path}: changed while it was read.")
        raw = np.frombuffer(data, np.uint8)
        if n > 1 and (np.diff(begins) == begins[1] - begins[0]).all():
            stride = int(begins[1] - begins[0])
            first = int(begins[0])
            view = np.lib.stride_tricks.as_strided(
                raw[first:], (n, stream.row_bytes), (stride, 1), writeable=False
            )
            table = np.ascontiguousarray(view)
        else:
            table = np.stack([raw[b : b + stream.row_bytes] for b in begins.tolist()])
        return table.view(FORMATS[stream.format])

    def index(self, start: int = 0, stop: int | None = None) -> NDArray[np.int64]:
        """Return the places by stamps."""
        return self._index[start:stop]

    def time_s(self, start: int = 0, stop: int | None = None) -> NDArray[np.float64]:
        """Return the stamps on the recorder's clock, not dejittered."""
        return self._time_s[start:stop]

    def markers(self) -> list[SessionMarker]:
        """Return the markers."""
        return self._markers

    def trials(self) -> TrialTable:
        """Return the onset markers."""
        stimulus, onset_s = onsets_of(
            self._markers, self._options.marker_pattern, str(self.info.path)
        )
        if stimulus and not self.n_samples:
            raise SessionError(f"{self.info.path}: no samples, expected some beside the markers.")
        where = positions_of(onset_s, self._time_s, self._index, self._stream.rate_hz)
        return unsorted_trials(stimulus, rounded(where), onset_s)

    def close(self) -> None:
        """Close the file; twice is harmless."""
        self._file.close()


def _signal(streams: list[XdfStream], name: str | None, path: Path) -> XdfStream:
    signals = [s for s in streams if s.format != "string" and s.rate_hz > 0]
    chosen = [s for s in signals if s.name == name] if name is not None else signals
    if name is None and len(chosen) > 1:
        chosen = [s for s in signals if s.type == _PREFERRED_TYPE] or signals
    return _only(chosen, signals, "signal stream of regular rate", "--stream", path)


def _marker_stream(streams: list[XdfStream], name: str | None, path: Path) -> XdfStream | None:
    texts = [s for s in streams if s.format == "string"]
    if name is None and not texts:
        return None
    chosen = texts if name is None else [s for s in texts if s.name == name]
    if name is None and len(chosen) > 1:
        chosen = [s for s in texts if s.n_samples] or texts
    return _only(chosen, texts, "marker stream", "--markers", path)


def _only(
    chosen: list[XdfStream], there: list[XdfStream], what: str, option: str, path: Path
) -> XdfStream:
    if len(chosen) == 1:
        return chosen[0]
    names = ", ".join(f"'{s.name}'" for s in there) or "none"
    raise SessionError(
        f"{path}: {len(chosen)} streams fit, expected one {what}; there are {names}. Choose with {option} NAME."
    )


def _markers(stream: dict[str, Any]) -> list[SessionMarker]:
    return [
        SessionMarker(float(time), str(texts[0]))
        for time, texts in zip(stream["time_stamps"], stream["time_series"], strict=True)
    ]


def _truncation(stream: XdfStream, damage: list[str]) -> str:
    found = list(damage)
    if stream.footer_samples is not None and stream.footer_samples != stream.n_samples:
        found.append(
            f"{stream.n_samples} samples of '{stream.name}', its footer says {stream.footer_samples}"
        )
    return ", ".join(found)


def _number(text: str | None, default: float) -> float:
    try:
        value = float(text or "")
    except ValueError:
        return default
    return value if 0 < value < np.inf else default
