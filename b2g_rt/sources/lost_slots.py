"""The slots of the sample clock that were declared lost and may still be filled. Plain intervals, half open."""

from __future__ import annotations


class LostSlots:
    """Remembers lost slots for ``memory`` samples behind the newest."""

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._spans: list[tuple[int, int]] = []

    def add(self, start: int, stop: int) -> None:
        """Declare [start, stop) lost; ``start`` is not before what was added last."""
        self._spans.append((start, stop))

    def forget(self, newest: int) -> None:
        """Drop what lies more than ``memory`` before ``newest``."""
        oldest = newest - self._memory
        if self._spans and self._spans[0][1] <= oldest:
            self._spans = [span for span in self._spans if span[1] > oldest]

    def split(self, start: int, stop: int) -> list[tuple[int, int, bool]]:
        """Split [start, stop) into (start, stop, is lost)."""
        spans = self._spans
        parts = self.take(start, stop)
        self._spans = spans
        return parts

    def take(self, start: int, stop: int) -> list[tuple[int, int, bool]]:
        """Split [start, stop) into (start, stop, was lost); what was lost is so no longer."""
        parts: list[tuple[int, int, bool]] = []
        kept: list[tuple[int, int]] = []
        at = start
        for a, b in self._spans:
            low, high = max(a, start), min(b, stop)
            if low >= high:
                kept.append((a, b))
                continue
            if at < low:
                parts.append((at, low, False))
            parts.append((low, high, True))
            at = high
            kept += [(x, y) for x, y in ((a, low), (high, b)) if x < y]
        if at < stop:
            parts.append((at, stop, False))
        self._spans = kept
        return parts
