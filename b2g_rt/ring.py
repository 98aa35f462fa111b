"""The last seconds of normalised samples, addressed by the sample clock.

A write index that only grows; the array is never rolled. Lost samples are rows of NaN with their mark set: a gap
is visible, never closed. One thread writes; others may read: what is overwritten during a read is noticed and
raised, never returned. Knows nothing of where samples come from.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.samples import Samples, check_extent


class Ring:
    """Samples [start, stop) of the sample clock, at most ``capacity`` of them.

    Parameters
    ----------
    capacity : int
        Samples kept.
    n_channels : int
    start : int, optional
        Index of the first sample that will be written.

    Raises
    ------
    ValueError
        ``capacity`` or ``n_channels`` below 1, or a block with another number of channels.
    """

    def __init__(self, capacity: int, n_channels: int, start: int = 0) -> None:
        if capacity < 1 or n_channels < 1:
            raise ValueError(
                f"ring: {capacity} samples x {n_channels} channels, expected at least 1 x 1."
            )
        self._values = np.full((capacity, n_channels), np.nan, np.float32)
        self._lost = np.ones(capacity, np.bool_)
        self._start = start
        self._stop = start
        self._n_fill_ignored = 0

    @property
    def capacity(self) -> int:
        """Samples that are kept."""
        return len(self._values)

    @property
    def start(self) -> int:
        """Index of the oldest sample kept."""
        return self._start

    @property
    def stop(self) -> int:
        """Index after the newest sample."""
        return self._stop

    @property
    def n_fill_ignored(self) -> int:
        """Late samples that came after their slot had left the ring."""
        return self._n_fill_ignored

    def append(self, block: NDArray[np.float32]) -> None:
        """Write the next samples; float32, axes (sample, channel)."""
        self._check_columns(block)
        stop = self._stop + len(block)
        first = self._make_room(stop)
        kept = block[first - self._stop :]
        for at, rows in self._pieces(first, stop):
            self._values[rows] = kept[at]
            self._lost[rows] = False
        self._stop = stop

    def append_lost(self, n: int) -> None:
        """Let ``n`` samples pass that never arrived; ``n`` may exceed the capacity."""
        stop = self._stop + n
        first = self._make_room(stop)
        for _, rows in self._pieces(first, stop):
            self._values[rows] = np.nan
            self._lost[rows] = True
        self._stop = stop

    def fill(self, index: int, rows: NDArray[np.float32]) -> int:
        """Write late samples into slots that were declared lost.

        Parameters
        ----------
        index : int
            Of the first row.
        rows : float32, axes (sample, channel)

        Returns
        -------
        int
            Rows written; those whose slot has left the ring are counted in ``n_fill_ignored``.

        Raises
        ------
        ValueError
            The rows reach beyond ``stop``: they are new, not late.
        """
        self._check_columns(rows)
        stop = index + len(rows)
        if stop > self._stop:
            raise ValueError(f"ring: late samples up to {stop - 1}, newest is {self._stop - 1}.")
        first = min(max(index, self._start), stop)
        self._n_fill_ignored += first - index
        for at, slots in self._pieces(first, stop):
            self._values[slots] = rows[first - index :][at]
            self._lost[slots] = False
        return stop - first

    def read(self, start: int, stop: int) -> Samples:
        """Return a copy of samples [start, stop).

        Raises
        ------
        WindowNotReady, WindowOverwritten
            The ring does not hold all of them (any more).
        """
        check_extent(start, stop, self._start, self._stop)
        n = max(0, stop - start)
        values = np.empty((n, self._values.shape[1]), np.float32)
        lost = np.empty(n, np.bool_)
        for at, rows in self._pieces(start, stop):
            values[at] = self._values[rows]
            lost[at] = self._lost[rows]
        check_extent(start, stop, self._start, self._stop)
        return Samples(start, values, lost)

    def latest_mean(self, n: int) -> NDArray[np.float32]:
        """Return each channel's mean over the newest ``n`` samples, float32, axes (channel,).

        Lost samples and values that are not finite are left out; NaN where nothing is left.
        """
        newest = self.read(max(self._start, self._stop - n), self._stop).values
        finite = np.isfinite(newest)
        count = finite.sum(axis=0)
        total = np.where(finite, newest, np.float32(0)).sum(axis=0, dtype=np.float64)
        mean = np.full(newest.shape[1], np.nan, np.float32)
        np.divide(total, count, out=mean, where=count > 0, casting="same_kind")
        return mean

    def _make_room(self, stop: int) -> int:
        # The start moves before anything is overwritten, so that a reader in another thread notices.
        first = max(self._stop, stop - self.capacity)
        self._start = max(self._start, stop - self.capacity)
        return first

    def _pieces(self, start: int, stop: int) -> list[tuple[slice, slice]]:
        """Split [start, stop) at the wrap point: (slice of the block, slice of the array) each."""
        if stop <= start:
            return []
        n, row = stop - start, start % self.capacity
        head = min(n, self.capacity - row)
        pieces = [(slice(0, head), slice(row, row + head))]
        if head < n:
            pieces.append((slice(head, n), slice(0, n - head)))
        return pieces

    def _check_columns(self, block: NDArray[np.float32]) -> None:
        if block.ndim != 2 or block.shape[1] != self._values.shape[1]:
            raise ValueError(
                f"ring: block of shape {block.shape}, expected (sample, {self._values.shape[1]})."
            )
