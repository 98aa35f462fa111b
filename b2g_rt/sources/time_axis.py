"""The time axis of a stream: its samples counted, and a line fitted to their stamps block by block.

Constant within a block of 100 samples and a function of the samples alone, so that chunk sizes change nothing.
After a clock step or a restart a new piece begins; times before it keep the old line. Knows no LSL, no rows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import WindowNotReady
from b2g_rt.sources.clock_line import Line, LineFit
from b2g_rt.sources.stamp_jitter import StampJitter

BLOCK = 100
# Beyond this from the newest sample, a time belongs to an older piece (before a clock step).
_AHEAD_S = 10.0
_MAX_PIECES = 64


class TimeAxis:
    """Samples [start, stop) with their times.

    Parameters
    ----------
    nominal_rate_hz : float
    jitter : StampJitter
        Says which stamps count for the line.
    """

    def __init__(self, nominal_rate_hz: float, jitter: StampJitter) -> None:
        self._rate_hz = nominal_rate_hz
        self._fit = LineFit(1.0 / nominal_rate_hz)
        self._jitter = jitter
        self._pieces: list[tuple[int, Line]] = []
        self._piece_start = 0
        self.stop = 0
        self.started = False
        # Residuals of the current block, by slot; NaN where nothing that counts was received.
        self._block = np.full(BLOCK, np.nan)
        self._block_start = 0
        self._n_beyond = 0
        self._ramp = np.arange(BLOCK, dtype=np.float64)
        self._line_s = self._ramp.copy()

    @property
    def line(self) -> Line:
        """The line that holds for the newest samples."""
        return self._fit.line

    def start(self, index: int, time_s: float) -> None:
        """Begin at the first sample."""
        self.started = True
        self.stop = self._piece_start = index
        self._fit.anchor(index, time_s)
        self._lay_out()

    def follow(self, stamps: NDArray[np.float64], at: int) -> int:
        """Count contiguous samples on the line from position ``at``; return the first that jumps."""
        while at < len(stamps):
            slot = self.stop - self._block_start
            count = min(len(stamps) - at, BLOCK - slot)
            # Relative to the block, never to the chunk: else rounding would depend on chunk sizes.
            residuals = stamps[at : at + count] - self._line_s[slot : slot + count]
            beyond = np.abs(residuals) > self._jitter.threshold_s
            first = int(beyond.argmax())
            good = first if beyond[first] else count
            self._block[slot : slot + good] = residuals[:good]
            self.stop += good
            at += good
            if slot + good == BLOCK:
                self._close_block()
            if good < count:
                break
        return at

    def skip_to(self, index: int) -> None:
        """Let lost samples pass."""
        self.stop = index
        if index - self._block_start >= BLOCK:
            self._close_block()

    def count(self, stamps: NDArray[np.float64]) -> None:
        """Count contiguous samples whatever their stamps; those beyond the threshold move no line."""
        at = 0
        while at < len(stamps):
            slot = self.stop - self._block_start
            n = min(len(stamps) - at, BLOCK - slot)
            residuals = stamps[at : at + n] - self._line_s[slot : slot + n]
            beyond = np.abs(residuals) > self._jitter.threshold_s
            self._n_beyond += int(np.count_nonzero(beyond))
            self._block[slot : slot + n] = np.where(beyond, np.nan, residuals)
            self.stop += n
            at += n
            if slot + n == BLOCK:
                self._close_block()

    def new_piece(self, index: int, time_s: float) -> None:
        """Lay a new line through a point, with the slope known so far; times before keep the old one."""
        self._close_block()
        self._pieces = [*self._pieces, (self._piece_start, self._fit.line)][-_MAX_PIECES:]
        self._piece_start = index
        self._fit.anchor(index, time_s)
        self._lay_out()

    def time_of(self, index: float) -> float:
        """Return the fitted time of an index, s; WindowNotReady before the first sample."""
        self._need_start()
        line = self._fit.line
        if index < self._piece_start:
            older = (old for start, old in reversed(self._pieces) if index >= start)
            line = next(older, self._pieces[0][1] if self._pieces else line)
        return line.time_of(index)

    def position_of(self, time_s: float) -> float:
        """Return the fractional index at a time; WindowNotReady before the first sample.

        Notes
        -----
        After a step back, a time beyond the newest sample has two places: where samples are still to come (a marker
        ahead of them), and before the step (a marker that came late). The one closer to the newest sample holds.
        """
        self._need_start()
        newest = self._fit.line.position_of(time_s)
        if not self._pieces or self._piece_start - 0.5 <= newest < self.stop:
            return newest
        older = self._older_position_of(time_s)
        if older is None:
            return newest
        ahead = newest - self.stop
        is_ahead = 0.0 <= ahead <= min(self.stop - older, _AHEAD_S * self._rate_hz)
        return newest if is_ahead else older

    def _older_position_of(self, time_s: float) -> float | None:
        """Return the index at a time on the newest piece before this one that contains it."""
        end = self._piece_start
        for start, line in reversed(self._pieces):
            position = line.position_of(time_s)
            if start - 0.5 <= position < end + 0.5:
                return position
            end = start
        return None

    def _close_block(self) -> None:
        """Fit the line to the block that is complete, or left behind by a gap, and lay out the next."""
        received = np.flatnonzero(~np.isnan(self._block))
        residuals = self._block[received]
        self._jitter.add(residuals, self._n_beyond)
        if len(received):
            idx = self._block_start + float(received.mean())
            mean_s = self._fit.line.time_of(idx) + float(residuals.mean())
            rms_s = self._jitter.rms_s or 0.0
            self._fit.add(idx, mean_s, len(received) / BLOCK, rms_s * rms_s)
        self._block.fill(np.nan)
        self._n_beyond = 0
        self._lay_out()

    def _lay_out(self) -> None:
        self._block_start = self.stop // BLOCK * BLOCK
        line = self._fit.line
        self._line_s = line.time_of(self._block_start) + line.period_s * self._ramp

    def _need_start(self) -> None:
        if not self.started:
            raise WindowNotReady("sample clock: no sample yet. Ask again when one has arrived.")
