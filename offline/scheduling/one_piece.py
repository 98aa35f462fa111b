"""One piece of work: done with one thread of BLAS, and told how many processors it may use.

The number of BLAS threads belongs to the process, not to the piece, and threadpoolctl lets one thread of the process
set it. So here the thread that hands out the work sets it and sets it back; the process of a Dask worker keeps it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

Shared = TypeVar("Shared")
Item = TypeVar("Item")
Result = TypeVar("Result")

_share: ContextVar[int | None] = ContextVar("share", default=None)
_lock = threading.Lock()
_kept: list[Any] = []


def share_of_piece() -> int | None:
    """Return how many processors the piece that asks may use; None outside a piece: all, and all threads of BLAS."""
    return _share.get()


def n_processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0))


def do_piece(
    function: Callable[[Shared, Item], Result], shared: Shared, item: Item, share: int
) -> Result:
    """Return ``function(shared, item)``, done as a piece of work; BLAS is limited around it."""
    token = _share.set(share)
    try:
        return function(shared, item)
    finally:
        _share.reset(token)


def do_piece_in_worker(
    function: Callable[[Shared, Item], Result], shared: Shared, item: Item
) -> Result:
    """Return ``function(shared, item)``, done in the process of a Dask worker."""
    with _lock:
        if not _kept:
            limited = one_blas_thread()
            limited.__enter__()
            _kept.append(limited)
    return do_piece(function, shared, item, 1)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Limit BLAS of this process to one thread; left by the thread that entered."""
    # A library that is loaded later would not be limited: SciPy brings a BLAS of its own.
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, "blas"):
        yield
