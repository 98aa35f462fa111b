"""Filtering that looks both ways, over a recording of any length in bounded memory.

A stretch of samples comes in pieces; each block of it is filtered together with an overlap on both sides that is as
long as the filter's memory, and only the block is kept. The filter itself is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

CHANNELS_AT_ONCE = 96


class OverlappedFilter:
    """One filter over one stretch without gaps.

    Parameters
    ----------
    run : callable
        Filters float64, axes (sample, channel), to the same shape.
    n_channels : int
    start : int
        Index of the first sample.
    block : int
        Samples filtered at once, without the overlap.
    reach : int
        Samples beyond which the filter feels nothing.
    marked : int
        Outputs closer than this to a non-finite sample are NaN; at least those samples' own. At most ``reach``.
    step : int
        Only samples whose index is a multiple of it are kept; ``next_index`` then counts these.

    Attributes
    ----------
    next_index : int
        Index of the next output.
    """

    def __init__(
        self,
        run: Callable[[NDArray[np.float64]], NDArray[np.float64]],
        n_channels: int,
        start: int,
        *,
        block: int,
        reach: int,
        marked: int,
        step: int = 1,
    ) -> None:
        self._run = run
        self._block, self._reach, self._marked, self._step = block, reach, marked, step
        self._held = np.empty((block + 2 * reach, n_channels), np.float32)
        self._start = start
        self._n_held = 0
        self._done = start
        self.next_index = -(-start // step)

    @staticmethod
    def working_bytes(n_channels: int, block: int, reach: int) -> int:
        """Return how much memory a filter needs at most: what it holds, its output, one strip of channels at work."""
        n_rows = block + 2 * reach
        # The strip in float64, what is finite of it, padded copies of two filters.
        return n_rows * (2 * 4 * n_channels + 5 * 8 * min(n_channels, CHANNELS_AT_ONCE))

    def push(self, rows: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """Take the next samples, axes (sample, channel); yield the outputs of the blocks that they complete."""
        at = 0
        while at < len(rows):
            n = min(len(rows) - at, len(self._held) - self._n_held)
            self._held[self._n_held : self._n_held + n] = rows[at : at + n]
            self._n_held += n
            at += n
            stop = self._start + self._n_held
            if self._n_held == len(self._held):
                yield self._filtered(stop - self._reach)
                self._forget(stop - 2 * self._reach)

    def finish(self) -> Iterator[NDArray[np.float32]]:
        """Yield what is left: the stretch ends here."""
        if self._n_held:
            yield self._filtered(self._start + self._n_held)
        self._n_held = 0

    def _filtered(self, stop: int) -> NDArray[np.float32]:
        """Return the outputs in [done, stop)."""
        first = -(-self._done // self._step) * self._step
        kept = np.arange(first, stop, self._step) - self._start
        held = self._held[: self._n_held]
        out = np.empty((len(kept), held.shape[1]), np.float32)
        for left in range(0, held.shape[1], CHANNELS_AT_ONCE):
            columns = slice(left, left + CHANNELS_AT_ONCE)
            strip = held[:, columns].astype(np.float64)
            finite = np.isfinite(strip)
            if not finite.all():
                _bridge(strip, finite)
            out[:, columns] = self._run(strip)[kept]
            if not finite.all():
                out[:, columns][self._near(~finite, kept)] = np.nan
        self._done = stop
        self.next_index += len(kept)
        return out

    def _near(self, bad: NDArray[np.bool_], kept: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether a bad sample is within reach of the mark, axes (kept sample, channel)."""
        count = np.vstack([np.zeros((1, bad.shape[1]), np.int64), np.cumsum(bad, axis=0)])
        after = np.minimum(kept + self._marked + 1, len(bad))
        return np.asarray(count[after] > count[np.maximum(kept - self._marked, 0)])

    def _forget(self, start: int) -> None:
        dropped = start - self._start
        self._held[: self._n_held - dropped] = self._held[dropped : self._n_held].copy()
        self._n_held -= dropped
        self._start = start


def _bridge(strip: NDArray[np.float64], finite: NDArray[np.bool_]) -> None:
    """Replace what is not finite with the channel's last finite value (before the first: with that), in place."""
    rows = np.where(finite, np.arange(len(strip))[:, None], -1)
    last = np.maximum.accumulate(rows, axis=0)
    last = np.where(last >= 0, last, finite.argmax(axis=0))
    strip[:] = np.take_along_axis(strip, last, axis=0)
    strip[:, ~finite.any(axis=0)] = 0.0
