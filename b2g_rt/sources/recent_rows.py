"""What was received lately, in brief: enough to tell a repeated row from a new one with an old stamp.

A few columns of each row are kept, compared bit for bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_N_COLUMNS = 8


class RecentRows:
    """Remembers rows by their index on the sample clock, the newest ``memory`` of them."""

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._bits: NDArray[np.uint32] | None = None
        self._index = np.full(memory, -1, np.int64)

    def remember(self, index: int, rows: NDArray[np.float32]) -> None:
        """Keep rows [index, index + n); float32, axes (sample, stream column)."""
        skipped = max(0, len(rows) - self._memory)
        bits = self._brief(rows[skipped:])
        if self._bits is None:
            self._bits = np.zeros((self._memory, bits.shape[1]), np.uint32)
        slot = (index + skipped) % self._memory
        head = min(len(bits), self._memory - slot)
        self._bits[slot : slot + head] = bits[:head]
        self._bits[: len(bits) - head] = bits[head:]
        numbers = np.arange(index + skipped, index + len(rows))
        self._index[slot : slot + head] = numbers[:head]
        self._index[: len(bits) - head] = numbers[head:]

    def are_repeats(self, index: int, rows: NDArray[np.float32]) -> bool:
        """Whether every one of the rows was received before at [index, index + n)."""
        if self._bits is None or len(rows) > self._memory:
            return False
        numbers = np.arange(index, index + len(rows))
        slots = numbers % self._memory
        known = bool((self._index[slots] == numbers).all())
        return known and bool((self._bits[slots] == self._brief(rows)).all())

    @staticmethod
    def _brief(rows: NDArray[np.float32]) -> NDArray[np.uint32]:
        step = max(1, rows.shape[1] // _N_COLUMNS)
        return np.ascontiguousarray(rows[:, ::step][:, :_N_COLUMNS]).view(np.uint32)
