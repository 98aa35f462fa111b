"""What became of the slots of the sample clock lately: received, and with which values, or lost.

Tells repeated rows from new ones with old stamps, and late rows from both.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from b2g_rt.sources.lost_slots import LostSlots
from b2g_rt.sources.recent_rows import RecentRows

Run = tuple[int, int, int]
"""Held samples [a, b) and their shift from the contiguous place, in samples."""


class SlotMemory:
    """Remembers ``memory`` slots behind the newest; rows are float32, axes (sample, stream column)."""

    def __init__(self, memory: int) -> None:
        self._lost = LostSlots(memory)
        self._recent = RecentRows(memory)

    def keep(self, index: int, rows: NDArray[np.float32]) -> None:
        """Note rows received at [index, index + n)."""
        self._recent.remember(index, rows)

    def lose(self, start: int, stop: int) -> None:
        """Declare [start, stop) lost."""
        self._lost.add(start, stop)
        self._lost.forget(stop)

    def fill(self, index: int, rows: NDArray[np.float32]) -> list[tuple[int, int, bool]]:
        """Put rows on slots that have passed; return (start, stop, was lost) for each part."""
        parts = self._lost.take(index, index + len(rows)) if len(rows) else []
        for start, stop, was_lost in parts:
            if was_lost:
                self._recent.remember(start, rows[start - index : stop - index])
        return parts

    def without_false_repeats(
        self, first: int, rows: NDArray[np.float32], runs: list[Run], stop: int, reach: int
    ) -> list[Run] | None:
        """Check runs that fall on slots before ``stop``: received ones must hold the very same values.

        Parameters
        ----------
        first : int
            Contiguous place of the first held row.
        rows : float32, axes (sample, stream column)
        runs : list of Run
        stop : int
            Index after the newest sample.
        reach : int
            A single run may be moved by up to this many slots to match: its shift is known no better.

        Returns
        -------
        list of Run, or None
            None when the rows are no repeats: then their stamps are wrong, not their place.
        """
        if all(first + a + shift >= stop for a, _, shift in runs):
            return runs
        for off in sorted(range(-reach, reach + 1), key=abs):
            moved = [(a, b, shift + off) for a, b, shift in runs]
            overlaps = any(first + a + shift < stop for a, _, shift in moved)
            if overlaps and all(self._fits(first + a + s, rows[a:b], stop) for a, b, s in moved):
                return moved
        return None

    def _fits(self, index: int, rows: NDArray[np.float32], stop: int) -> bool:
        end = min(index + len(rows), stop)
        return all(
            was_lost or self._recent.are_repeats(a, rows[a - index : b - index])
            for a, b, was_lost in (self._lost.split(index, end) if index < end else [])
        )
