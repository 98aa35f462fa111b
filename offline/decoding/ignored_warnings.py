"""Warnings ignored by several threads at once.

`warnings.catch_warnings` belongs to the process: a thread that leaves it brings back the warnings of all others. Here
the first thread that comes sets the filter, and the last one that leaves takes it back.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_lock = threading.Lock()
_inside: dict[type[Warning], tuple[int, ExitStack]] = {}


@contextmanager
def ignored(category: type[Warning]) -> Iterator[None]:
    """Ignore a kind of warning, in all threads, until the last one leaves."""
    with _lock:
        if category not in _inside:
            stack = ExitStack()
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore", category)
            _inside[category] = (0, stack)
        n, stack = _inside[category]
        _inside[category] = (n + 1, stack)
    try:
        yield
    finally:
        with _lock:
            n, stack = _inside[category]
            _inside[category] = (n - 1, stack)
            if n == 1:
                del _inside[category]
                stack.close()
