"""Threads of this process, which NumPy's products and decompositions leave to run side by side."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from offline.scheduling.one_piece import do_piece, n_processors, one_blas_thread

Shared = TypeVar("Shared")
Item = TypeVar("Item")
Result = TypeVar("Result")


class LocalWorkers:
    """Workers of this process.

    Parameters
    ----------
    n_threads : int, optional
        One per processor by default.
    """

    def __init__(self, n_threads: int | None = None) -> None:
        self._n_threads = n_threads or n_processors()

    @property
    def here(self) -> bool:
        """True: threads share this process's memory."""
        return True

    @property
    def n_slots(self) -> int:
        """The number of threads."""
        return self._n_threads

    @property
    def slots_per_process(self) -> int:
        """All of them."""
        return self._n_threads

    def run(
        self,
        function: Callable[[Shared, Item], Result],
        items: Iterable[Item],
        *,
        shared: Shared,
        at_once: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Iterator[Result]:
        """See ``Workers.run``; whoever stops (Ctrl-C) waits for the pieces under way, the others are not begun."""
        n = max(1, min(at_once or self._n_threads, self._n_threads))
        share = max(1, n_processors() // n)
        waiting: deque[Future[Result]] = deque()
        with one_blas_thread():
            pool = ThreadPoolExecutor(n, thread_name_prefix="piece")
            try:
                for item in items:
                    waiting.append(pool.submit(do_piece, function, shared, item, share))
                    del item
                    if len(waiting) == n:
                        yield _next(waiting, progress)
                while waiting:
                    yield _next(waiting, progress)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


def _next(waiting: deque[Future[Result]], progress: Callable[[int], None] | None) -> Result:
    result = waiting.popleft().result()
    if progress:
        progress(1)
    return result
