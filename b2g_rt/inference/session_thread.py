"""A thread that a session lives on, and waiting for it with a word now and then.

ONNX Runtime's CUDA provider keeps a captured graph, and cuBLAS's and cuDNN's handles, for each thread that calls it
(PerThreadContext in its sources). A session that is opened and warmed on one thread and run on another would
build them again in the first live window, while other threads use the GPU, which spoils a capture. So a GPU's
session does everything on one thread of its own. Knows nothing of ONNX Runtime.
"""

from __future__ import annotations

import queue
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

_Call = tuple["Future[Any]", Callable[[], Any]]


class SessionThread:
    """Runs calls one after the other; its thread ends with it.

    Parameters
    ----------
    name : str
        Of the thread.
    """

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        # A daemon: building an engine cannot be interrupted, and must not keep Ctrl-C from ending the program.
        threading.Thread(target=_work, args=(self._calls,), name=name, daemon=True).start()
        self.close = weakref.finalize(self, self._calls.put, None)
        """End the thread; a call that is under way still ends."""

    def call(
        self,
        function: Callable[[], T],
        waiting: Callable[[float], None] | None = None,
        every_s: float = 1.0,
    ) -> T:
        """Run a function there and return what it returns, or raise what it raises.

        Parameters
        ----------
        function : callable
        waiting : callable, optional
            Called with the seconds so far, every ``every_s`` seconds, until the function has ended.
        """
        future: Future[T] = Future()
        self._calls.put((future, function))
        if waiting:
            started = time.monotonic()
            while not _ended(future, every_s):
                waiting(time.monotonic() - started)
        return future.result()


def _ended(future: Future[Any], timeout_s: float) -> bool:
    # Not by result(timeout): a TimeoutError could be the function's own.
    try:
        future.exception(timeout_s)
    except TimeoutError:
        return future.done()
    return True


def _work(calls: queue.SimpleQueue[_Call | None]) -> None:
    while call := calls.get():
        future, function = call
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)
        # What failed must not be kept alive until the next call: it may hold a GPU's memory.
        del call, future, function
