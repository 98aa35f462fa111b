"""Workers: what does independent pieces of work, one piece per window, fold or block, on one processor each.

Both kinds answer alike, and a piece gives the same bits on either (on the same kind of processor): each runs with
one thread of BLAS, because the sum of a product depends on how many share it. Knows nothing of what is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

Shared = TypeVar("Shared")
Item = TypeVar("Item")
Result = TypeVar("Result")


class Workers(Protocol):
    """Does pieces of work side by side."""

    @property
    def here(self) -> bool:
        """Whether the work is done in this process, whose memory it shares."""

    @property
    def n_slots(self) -> int:
        """How many pieces are done at once, at most."""

    @property
    def slots_per_process(self) -> int:
        """How many of them share the memory of one process, at most."""

    def run(
        self,
        function: Callable[[Shared, Item], Result],
        items: Iterable[Item],
        *,
        shared: Shared,
        at_once: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Iterator[Result]:
        """Yield ``function(shared, item)`` of each item, in order.

        Parameters
        ----------
        function : callable
            Of a module that the workers have too. Changes neither argument.
        items : iterable
            Taken only when there is room: no more than ``at_once`` items and results are held.
        shared : object
            What every piece needs; goes to each process once.
        at_once : int, optional
            Pieces that are under way together, at most; ``n_slots`` by default.
        progress : callable, optional
            Called with 1 after each result.

        Raises
        ------
        SchedulerError
            The cluster is gone, or a piece ended every worker that tried it.
        """


@contextmanager
def open_workers(address: str | None = None) -> Iterator[Workers]:
    """Yield the workers of a Dask cluster, or threads of this process; close them afterwards.

    Parameters
    ----------
    address : str, optional
        Of the scheduler, ``tcp://host:8786``; None: one thread per processor.

    Raises
    ------
    SchedulerError
        Nothing answers there, it has no workers, or they run other versions than this process.
    SetupError
        Dask is not installed.
    """
    if address is None:
        from offline.scheduling.local_workers import LocalWorkers

        yield LocalWorkers()
        return
    from offline.scheduling.dask_workers import connected

    with connected(address) as workers:
        yield workers
