"""What became of the slots: against a plain dictionary."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from b2g_rt.sources.lost_slots import LostSlots
from b2g_rt.sources.recent_rows import RecentRows
from b2g_rt.sources.slot_memory import SlotMemory


def rows(values):
    return np.repeat(np.asarray(values, np.float32)[:, None], 20, axis=1)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), max_size=12),
    st.lists(st.tuples(st.integers(0, 150), st.integers(1, 40)), max_size=8),
)
def test_splitting_and_taking_agree_with_a_set_of_slots(spans, takes):
    lost, truth, at = LostSlots(10_000), set(), 0
    for skip, n in spans:
        lost.add(at + skip, at + skip + n)
        truth |= set(range(at + skip, at + skip + n))
        at += skip + n
    for start, n in takes:
        split = lost.split(start, start + n)
        assert lost.take(start, start + n) == split
        assert [i for a, b, _ in split for i in range(a, b)] == list(range(start, start + n))
        assert {i for a, b, was in split if was for i in range(a, b)} == truth & set(
            range(start, start + n)
        )
        truth -= set(range(start, start + n))


def test_what_lies_too_far_back_is_forgotten():
    lost = LostSlots(100)
    lost.add(0, 10)
    lost.add(50, 60)
    lost.forget(120)
    assert lost.split(0, 60) == [(0, 50, False), (50, 60, True)]


def test_only_the_very_same_rows_at_the_very_same_place_are_repeats():
    recent = RecentRows(50)
    recent.remember(0, rows(range(130)))
    assert recent.are_repeats(100, rows(range(100, 130)))
    assert not recent.are_repeats(101, rows(range(100, 129)))
    assert not recent.are_repeats(100, rows([100, 101, 999]))
    assert not recent.are_repeats(60, rows(range(60, 70)))
    assert not recent.are_repeats(125, rows(range(125, 135)))
    assert not RecentRows(50).are_repeats(0, rows([1]))


def test_rows_that_are_not_numbers_can_be_repeats_too():
    recent = RecentRows(50)
    recent.remember(0, rows([np.nan, np.inf, 3]))
    assert recent.are_repeats(0, rows([np.nan, np.inf, 3]))


def test_repeats_are_found_within_reach_and_new_rows_are_none():
    slots = SlotMemory(1000)
    slots.keep(0, rows(range(100)))
    held = rows([*range(90, 100), *range(100, 130)])
    estimated = [(0, 40, -13)]
    assert slots.without_false_repeats(100, held, estimated, 100, 5) == [(0, 40, -10)]
    assert slots.without_false_repeats(100, held, estimated, 100, 2) is None
    assert slots.without_false_repeats(100, rows(range(500, 540)), [(0, 40, -10)], 100, 5) is None


def test_late_rows_fill_what_was_lost_and_become_known():
    slots = SlotMemory(1000)
    slots.keep(0, rows(range(10)))
    slots.lose(10, 20)
    slots.keep(20, rows(range(20, 30)))
    assert slots.fill(8, rows(range(8, 15))) == [(8, 10, False), (10, 15, True)]
    assert slots.fill(12, rows(range(12, 22))) == [(12, 15, False), (15, 20, True), (20, 22, False)]
    again = rows(range(10, 20))
    assert slots.without_false_repeats(30, again, [(0, 10, -20)], 30, 0) == [(0, 10, -20)]
