from __future__ import annotations

import gc
import threading
import time
import weakref

import pytest

from b2g_rt.inference.session_thread import SessionThread


def test_all_calls_run_on_one_thread_that_is_not_the_caller_s():
    thread = SessionThread("session")
    idents = {thread.call(threading.get_ident) for _ in range(5)}
    assert len(idents) == 1
    assert threading.get_ident() not in idents


def test_what_a_call_raises_is_raised_and_the_next_one_runs():
    thread = SessionThread("session")
    with pytest.raises(TimeoutError, match="its own"):
        thread.call(lambda: raise_(TimeoutError("its own")), lambda waited_s: None)
    assert thread.call(lambda: 3) == 3


def raise_(error: Exception) -> None:
    raise error


def test_a_long_call_is_waited_for_with_a_word_now_and_then():
    thread, go_on, waits = SessionThread("session"), threading.Event(), []

    def waiting(waited_s: float) -> None:
        waits.append(waited_s)
        if len(waits) == 3:
            go_on.set()

    assert thread.call(lambda: go_on.wait(20), waiting, every_s=0.01)
    assert len(waits) >= 3
    assert waits == sorted(waits)
    assert waits[0] >= 0.01


def ended(name: str) -> bool:
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(20)
            return not thread.is_alive()
    return True


def test_its_thread_ends_when_nobody_needs_it():
    thread = SessionThread("forgotten")
    thread.call(int)
    del thread
    gc.collect()
    assert ended("forgotten")
    closed = SessionThread("closed")
    closed.close()
    assert ended("closed")


def test_what_failed_is_not_kept():
    class Memory:
        pass

    thread, held = SessionThread("session"), []

    def failing() -> None:
        memory = Memory()
        held.append(weakref.ref(memory))
        raise RuntimeError(f"no room for {memory}")

    with pytest.raises(RuntimeError):
        thread.call(failing)
    # The caller may be woken before the thread lets go.
    deadline = time.monotonic() + 20
    while held[0]() is not None:
        assert time.monotonic() < deadline
        time.sleep(0.001)
        gc.collect()
