"""Puts rows on the sample clock: moves the time axis, remembers the slots, says what was new, late or repeated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from b2g_rt.sources.placed import Kind, Placed
from b2g_rt.sources.slot_memory import SlotMemory
from b2g_rt.sources.time_axis import TimeAxis


class Placer:
    """Writes to one axis and one slot memory; stamps are float64, axes (sample,), s, rows float32."""

    def __init__(self, axis: TimeAxis, slots: SlotMemory) -> None:
        self._axis = axis
        self._slots = slots

    def followed(
        self, placed: list[Placed], stamps: NDArray[np.float64], rows: NDArray[np.float32]
    ) -> None:
        """Add rows that the axis has just counted."""
        if len(stamps):
            first = self._axis.stop - len(stamps)
            self._slots.keep(first, rows)
            placed.append(Placed(first, "new", stamps, rows))

    def put(
        self,
        placed: list[Placed],
        index: int,
        stamps: NDArray[np.float64],
        rows: NDArray[np.float32],
        *,
        step_s: float = 0.0,
        restart: bool = False,
    ) -> None:
        """Add rows at [index, index + n): slots that have passed are late or repeated, the rest new."""
        n_old = min(max(0, self._axis.stop - index), len(stamps))
        for a, b, was_lost in self._slots.fill(index, rows[:n_old]):
            kind: Kind = "late" if was_lost else "duplicate"
            part = slice(a - index, b - index)
            placed.append(Placed(a, kind, stamps[part], rows[part], restart=restart))
            restart = False
        if n_old == len(stamps):
            return
        first = index + n_old
        stamps, rows = stamps[n_old:], rows[n_old:]
        n_lost = first - self._axis.stop
        if n_lost:
            self._slots.lose(self._axis.stop, first)
            self._axis.skip_to(first)
        self._axis.count(stamps)
        self._slots.keep(first, rows)
        placed.append(Placed(first, "new", stamps, rows, n_lost, step_s, restart))
