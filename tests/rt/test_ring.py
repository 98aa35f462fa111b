"""The ring against an array that holds everything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2g_rt.contracts.samples import SampleArray
from b2g_rt.errors import WindowNotReady, WindowOverwritten
from b2g_rt.ring import Ring

N_CHANNELS = 3


def block(start, n):
    return np.arange(start * N_CHANNELS, (start + n) * N_CHANNELS, dtype=np.float32).reshape(
        n, N_CHANNELS
    )


def assert_same(ring: Ring, whole: SampleArray, start: int, stop: int) -> None:
    got, want = ring.read(start, stop), whole.read(start, stop)
    np.testing.assert_array_equal(got.values, want.values)
    np.testing.assert_array_equal(got.lost, want.lost)
    assert got.start == want.start
    assert got.values.flags.c_contiguous


@pytest.mark.parametrize("chunk", [1, 7, 30, 1000])
@pytest.mark.parametrize("capacity", [1, 29, 30, 31, 64, 1500])
def test_every_read_equals_the_whole_array_whatever_chunk_and_wrap_point(chunk, capacity):
    ring = Ring(capacity, N_CHANNELS)
    values = block(0, 3000)
    for start in range(0, 3000, chunk):
        ring.append(values[start : start + chunk])
        stop = min(start + chunk, 3000)
        assert ring.stop == stop
        assert ring.start == max(0, stop - capacity)
        whole = SampleArray(values[:stop])
        assert_same(ring, whole, ring.start, ring.stop)
        middle = (ring.start + ring.stop) // 2
        assert_same(ring, whole, middle, min(middle + 3, ring.stop))


@st.composite
def operations(draw):
    steps = st.tuples(
        st.sampled_from(["append", "lost", "fill"]),
        st.integers(0, 130),
        st.integers(0, 200),
    )
    return draw(st.integers(1, 120)), draw(st.lists(steps, max_size=40))


@settings(max_examples=200, deadline=None)
@given(operations(), st.sampled_from([0, 5, 10_000_000_000]))
def test_appends_losses_and_late_fills_read_like_the_whole_array(case, start):
    capacity, steps = case
    ring = Ring(capacity, N_CHANNELS, start)
    values = np.empty((0, N_CHANNELS), np.float32)
    lost = np.empty(0, np.bool_)
    n_ignored = 0
    for kind, n, back in steps:
        stop = start + len(values)
        if kind == "append":
            ring.append(block(stop % 1000, n))
            values = np.concatenate([values, block(stop % 1000, n)])
            lost = np.concatenate([lost, np.zeros(n, np.bool_)])
        elif kind == "lost":
            ring.append_lost(n)
            values = np.concatenate([values, np.full((n, N_CHANNELS), np.nan, np.float32)])
            lost = np.concatenate([lost, np.ones(n, np.bool_)])
        else:
            first = max(0, len(values) - back)
            rows = block(7, min(n, len(values) - first))
            outside = min(len(rows), max(0, ring.start - start - first))
            n_ignored += outside
            assert ring.fill(start + first, rows) == len(rows) - outside
            values[first : first + len(rows)] = rows
            lost[first : first + len(rows)] = False
        whole = SampleArray(values, start, lost)
        assert (ring.stop, ring.n_fill_ignored) == (whole.stop, n_ignored)
        assert ring.start == max(start, ring.stop - capacity)
        assert_same(ring, whole, ring.start, ring.stop)


def test_a_loss_longer_than_the_ring_leaves_only_marked_rows():
    ring = Ring(50, N_CHANNELS)
    ring.append(block(0, 40))
    ring.append_lost(10_000)
    ring.append(block(1, 10))
    samples = ring.read(ring.start, ring.stop)
    assert ring.stop == 10_050
    assert samples.lost.tolist() == [True] * 40 + [False] * 10
    assert np.isnan(samples.values[:40]).all()


def test_what_is_not_there_is_named():
    ring = Ring(50, N_CHANNELS)
    ring.append(block(0, 80))
    with pytest.raises(WindowNotReady, match="newest is 79"):
        ring.read(70, 81)
    with pytest.raises(WindowOverwritten, match="oldest kept is 30"):
        ring.read(29, 40)


def test_a_block_of_another_width_and_a_late_block_beyond_the_newest_are_refused():
    ring = Ring(50, N_CHANNELS)
    with pytest.raises(ValueError, match="expected \\(sample, 3\\)"):
        ring.append(np.zeros((4, 2), np.float32))
    with pytest.raises(ValueError, match="newest is -1"):
        ring.fill(0, block(0, 1))


def test_recent_activity_leaves_out_what_is_lost_or_not_finite():
    ring = Ring(100, N_CHANNELS)
    ring.append(np.full((10, N_CHANNELS), 99, np.float32))
    rows = np.full((20, N_CHANNELS), 2, np.float32)
    rows[:, 1] = np.nan
    rows[3, 2] = np.inf
    ring.append(rows)
    ring.append_lost(10)
    mean = ring.latest_mean(30)
    assert mean.dtype == np.float32
    assert mean[0] == 2
    assert np.isnan(mean[1])
    assert mean[2] == 2


def test_recent_activity_of_an_empty_ring_is_unknown():
    assert np.isnan(Ring(10, N_CHANNELS).latest_mean(5)).all()
