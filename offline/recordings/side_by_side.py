"""Simulated sessions two at a time: drawing noise leaves Python's lock. Knows nothing of what is made of them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TypeVar

Made = TypeVar("Made")
Progress = Callable[[int], None]

N_THREADS = 2


def side_by_side(
    one: Callable[[int, Progress], Made], n_sessions: int, done: Progress
) -> list[Made]:
    """Make every session; Ctrl-C and errors end both threads.

    Parameters
    ----------
    one : callable
        Given a session's position and what is called with samples done; a call of the latter may raise, which ends
        the session.
    n_sessions : int
    done : callable
        Called with the number of samples done since the last call.

    Returns
    -------
    list
        In the order of the sessions.
    """
    stopping = Event()

    def go_on(n_samples: int) -> None:
        if stopping.is_set():
            raise InterruptedError
        done(n_samples)

    with ThreadPoolExecutor(N_THREADS) as pool:
        try:
            return list(pool.map(lambda position: one(position, go_on), range(n_sessions)))
        except BaseException:
            stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
