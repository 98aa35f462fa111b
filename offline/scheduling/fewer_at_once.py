"""Workers of which fewer pieces at once are asked than they could do: those that memory allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from offline.scheduling.workers import Workers

Shared = TypeVar("Shared")
Item = TypeVar("Item")
Result = TypeVar("Result")


class FewerAtOnce:
    """Workers, with a bound on the pieces under way.

    Parameters
    ----------
    workers : Workers
    n_at_once : int
        All of them may come to one process.
    """

    def __init__(self, workers: Workers, n_at_once: int) -> None:
        self._workers, self._n = workers, n_at_once

    @property
    def here(self) -> bool:
        """Whether the work is done in this process."""
        return self._workers.here

    @property
    def n_slots(self) -> int:
        """How many pieces are done at once, at most."""
        return min(self._workers.n_slots, self._n)

    @property
    def slots_per_process(self) -> int:
        """How many of them share the memory of one process, at most."""
        return min(self._workers.slots_per_process, self._n)

    def run(
        self,
        function: Callable[[Shared, Item], Result],
        items: Iterable[Item],
        *,
        shared: Shared,
        at_once: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Iterator[Result]:
        """See ``Workers.run``."""
        n = min(at_once or self.n_slots, self.n_slots)
        return self._workers.run(function, items, shared=shared, at_once=n, progress=progress)
