from __future__ import annotations

from threading import Event

import pytest

from offline.recordings.side_by_side import side_by_side


def test_results_come_in_the_order_of_the_sessions_and_every_sample_is_counted():
    counted: list[int] = []
    second_is_done = Event()

    def one(position, tick):
        if position == 0:
            # The first one ends last.
            assert second_is_done.wait(20)
        tick(10 + position)
        if position == 1:
            second_is_done.set()
        return f"session {position}"

    assert side_by_side(one, 3, counted.append) == [f"session {i}" for i in range(3)]
    assert sorted(counted) == [10, 11, 12]


def test_an_error_in_one_session_ends_the_other_one_and_begins_no_more():
    begun: list[int] = []
    other_is_running, stopped = Event(), Event()

    def one(position, tick):
        begun.append(position)
        if position == 0:
            assert other_is_running.wait(20)
            raise ValueError("the first one fails")
        other_is_running.set()
        try:
            while not stopped.wait(0.001):
                tick(1)
        except InterruptedError:
            stopped.set()
            raise

    with pytest.raises(ValueError, match="the first one fails"):
        side_by_side(one, 50, lambda n: None)
    assert stopped.is_set()
    assert len(begun) < 50
