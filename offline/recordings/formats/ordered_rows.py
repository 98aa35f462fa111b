"""What formats without late samples are written from: rows in the order of the sample clock, markers, labels.

Late rows stand at their place, doubled ones once. In memory: 16 bytes a sample, and what is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ARRAY_COLS, ChannelMap
from offline.recordings.formats.placement import positions
from offline.recordings.formats.reader import RecordingReader

BLOCK_BYTES = 16 << 20
"""Most that is held at once, unless a single row is larger."""


def rows_per_block(n_columns: int) -> int:
    """Return how many rows are read at once."""
    return max(1, BLOCK_BYTES // (4 * n_columns))


class OrderedRows:
    """A recording's rows, sorted.

    Parameters
    ----------
    reader : RecordingReader

    Attributes
    ----------
    index : int64, axes (sample,)
        On the sample clock, ascending; a jump is a gap.
    """

    def __init__(self, reader: RecordingReader) -> None:
        self._reader = reader
        # Of doubled rows the first that came.
        self.index, first = np.unique(reader.index(), return_index=True)
        self._order = first.astype(np.int64)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.index)

    def time_s(self) -> NDArray[np.float64]:
        """Return the stamps, float64, axes (sample,), s."""
        return self._reader.time_s()[self._order]

    def positions(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where times of the recording's clock lie on its sample clock, fractional samples."""
        info = self._reader.info
        per_s = (info.rate_hz or 1.0) * info.speed
        return positions(times, self._reader.time_s(), self._reader.index(), per_s)

    def stretches(self) -> list[tuple[int, int]]:
        """Return rows [start, stop) without a gap between them."""
        edges = np.r_[0, np.flatnonzero(np.diff(self.index) != 1) + 1, len(self)]
        return [(int(a), int(b)) for a, b in zip(edges[:-1], edges[1:], strict=True) if a < b]

    def columns(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return rows [start, stop) of this order, dead columns included, float32, axes (sample, column)."""
        part = self._order[start:stop]
        runs = np.split(part, np.flatnonzero(np.diff(part) != 1) + 1)
        read = [self._reader.columns(int(r[0]), int(r[-1]) + 1) for r in runs if len(r)]
        if len(read) == 1:
            return read[0]
        empty = np.zeros((0, self._reader.info.n_columns), np.float32)
        return np.concatenate([empty, *read])

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[NDArray[np.float32]]:
        """Yield rows [start, stop) in blocks of bounded size; all by default."""
        stop = len(self) if stop is None else stop
        rows = rows_per_block(self._reader.info.n_columns)
        for first in range(start, stop, rows):
            yield self.columns(first, min(first + rows, stop))


def markers_of(reader: RecordingReader) -> list[tuple[float, str]]:
    """Return the markers, or where there are none the onsets, by time."""
    told = [(m.time_s, m.text) for m in reader.markers() if np.isfinite(m.time_s)]
    if not told:
        trials = reader.trials()
        told = list(zip(trials.onset_s.tolist(), trials.stimulus, strict=True))
    return sorted(told)


def labels_of(channels: ChannelMap) -> list[str]:
    """Return a label for each column: ROI, array and position in the array; a dead one says so."""
    labels = ["dead"] * channels.n_stream_channels
    places = zip(
        channels.stream_idx.tolist(),
        channels.roi,
        channels.array.tolist(),
        (channels.row * ARRAY_COLS + channels.col).tolist(),
        strict=True,
    )
    for column, roi, array, electrode in places:
        labels[column] = f"{roi}-{array}-{electrode}"
    return labels
