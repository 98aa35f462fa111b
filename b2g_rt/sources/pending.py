"""Samples whose stamps jumped, held until it is clear what the jump was.

A jump may be a late push (the stamps return to the line), an outlet that stalled and catches up (they fall back
steadily), or a gap (they stay away: flat). Judged sample by sample, from stamps alone, so that the verdict does
not depend on how the samples were chunked. Knows no LSL.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Stamps inside one pushed chunk are deduced from the nominal rate and so are regular to float rounding; a step
# larger than this starts another push.
SAME_PUSH_S = 1e-6
# One late push shifts all of its samples alike; only several pushes show a gap.
MIN_PUSHES = 3
# While a stalled outlet catches up, a few small pushes may look flat: more must be seen then.
AFTER_FALL = 4


@dataclass(slots=True)
class _Tail:
    """The newest samples that agree with each other."""

    start: int
    total: float
    n_pushes: int
    n_after_first: int = 0


class Pending:
    """The held samples; index ``first`` is where they would lie if nothing were lost.

    Parameters
    ----------
    first : int
        The clock's ``stop`` when the jump came.
    certain : bool
        After a reconnect: a gap for sure, its length is still to be measured.
    """

    def __init__(self, first: int, *, certain: bool = False) -> None:
        self.first = first
        self.certain = certain
        self.residuals: list[float] = []
        self._stamps: list[float] = []
        self._pieces: list[NDArray[np.float32]] = []
        self._tail = _Tail(0, 0.0, 0)

    def __len__(self) -> int:
        """Return the number of samples held."""
        return len(self.residuals)

    def hold(self, stamp: float, residual: float, tolerance_s: float) -> None:
        """Add a sample; ``residual`` is its stamp minus the line at its contiguous index, s."""
        tail, n = self._tail, len(self.residuals)
        if n == 0 or abs(residual - tail.total / (n - tail.start)) > tolerance_s:
            self._tail = _Tail(n, residual, 1)
        else:
            tail.total += residual
            tail.n_pushes += abs(residual - self.residuals[-1]) > SAME_PUSH_S
            tail.n_after_first += tail.n_pushes > 1
        self.residuals.append(residual)
        self._stamps.append(stamp)

    def hold_rows(self, rows: NDArray[np.float32]) -> None:
        """Keep the rows of the samples that were added."""
        if len(rows):
            self._pieces.append(rows)

    def settled(self, n_needed: int, trend_s: float, *, any_push: bool) -> bool:
        """Whether the newest samples lie flat: enough of them, from several pushes, without trend.

        ``any_push``: the stream's stamps are so regular that pushes cannot be told apart.
        """
        start = self._tail.start
        n = len(self.residuals) - start
        times = AFTER_FALL if start and self.residuals[start - 1] > self.residuals[start] > 0 else 1
        # Within one push stamps are deduced: only what follows the first one shows that time goes on.
        n_shown = n if any_push else self._tail.n_after_first
        if n_shown < times * n_needed or (
            self._tail.n_pushes < times * MIN_PUSHES and not any_push
        ):
            return False
        tail = self.residuals[start:]
        half = n // 2
        return abs(sum(tail[half:]) / (n - half) - sum(tail[:half]) / half) <= trend_s

    def falls(self, by_s: float) -> bool:
        """Whether the residuals come down towards the line: a stalled outlet catches up."""
        third = max(1, len(self.residuals) // 3)
        head, tail = self.residuals[:third], self.residuals[-third:]
        return float(np.median(head)) - float(np.median(tail)) > by_s and tail[-1] > 0

    def tail_residual(self, n_at_most: int | None = None) -> float:
        """Return the median residual of the flat tail, or of the newest ``n_at_most``, s."""
        tail = (
            self.residuals[self._tail.start :] if n_at_most is None else self.residuals[-n_at_most:]
        )
        return float(np.median(tail))

    def shifts(self, period_s: float) -> list[tuple[int, int, int]] | None:
        """Place each regular run by its own stamps.

        Returns
        -------
        list of (first sample, sample after the last, shift), or None
            The shift in samples from the contiguous place; None when two runs would share a slot.
        """
        residuals = np.array(self.residuals)
        edges = np.flatnonzero(np.abs(np.diff(residuals)) > 0.5 * period_s) + 1
        runs = [
            (int(a), int(b), half_up(float(np.median(residuals[a:b])) / period_s))
            for a, b in zip([0, *edges], [*edges, len(residuals)], strict=True)
        ]
        slots = sorted((a + shift, b + shift) for a, b, shift in runs)
        if any(stop > start for (_, stop), (start, _) in zip(slots, slots[1:], strict=False)):
            return None
        return runs

    def stamps(self) -> NDArray[np.float64]:
        """Return the held stamps, s, axes (sample,)."""
        return np.array(self._stamps, np.float64)

    def rows(self) -> NDArray[np.float32]:
        """Return the held rows, float32, axes (sample, stream column)."""
        return self._pieces[0] if len(self._pieces) == 1 else np.concatenate(self._pieces)


def half_up(value: float) -> int:
    """Round to the nearest whole number, halves up."""
    return math.floor(value + 0.5)
