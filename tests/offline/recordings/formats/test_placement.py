"""What is a gap and what is jitter: losses are found exactly, jitter makes none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2g_rt.errors import SessionError
from offline.recordings.formats.gaps import GapPolicy
from offline.recordings.formats.placement import by_index, close_gaps, place, positions

SEGMENT = GapPolicy("segment")
TOLERATE = GapPolicy("tolerate", 0.1)
RATE = 1000.0
losses_of = st.lists(
    st.tuples(st.integers(30, 4970), st.integers(1, 900)), max_size=6, unique_by=lambda x: x[0]
)


def stamps_with(losses, n=5000, start=1e4):
    index = np.arange(n, dtype=np.int64)
    for row, lost in losses:
        index[row:] += lost
    return start + index / RATE, index


def chunk_jitter(n, length, rng, sd):
    """One late or early start per chunk, as stamps that are made when a chunk arrives."""
    return np.repeat(rng.normal(0, sd, n // length + 1), length)[:n]


@settings(max_examples=60, deadline=None)
@given(losses=losses_of)
def test_losses_in_regular_stamps_are_found_to_the_sample(losses):
    stamps, index = stamps_with(losses)
    found = place(stamps, RATE, SEGMENT, "x")
    np.testing.assert_array_equal(found.index, index)
    assert found.report.n_lost == sum(n for _, n in losses)
    assert found.report.n_segments == len(losses) + 1


@settings(max_examples=40, deadline=None)
@given(losses=losses_of, ppm=st.floats(-300, 300))
def test_a_device_that_runs_fast_or_slow_changes_nothing(losses, ppm):
    stamps, index = stamps_with(losses, start=0.0)
    found = place(stamps * (1 + ppm * 1e-6), RATE, SEGMENT, "x")
    np.testing.assert_array_equal(found.index, index)


@pytest.mark.parametrize("length", [1, 10, 32, 100, 1000])
@pytest.mark.parametrize("sd", [0.0002, 0.001, 0.003])
@pytest.mark.parametrize("seed", range(4))
def test_jitter_of_chunks_makes_no_gap(length, sd, seed):
    n = 20_000
    rng = np.random.default_rng([length, seed])
    stamps = 1e4 + np.arange(n) / RATE + chunk_jitter(n, length, rng, sd)
    report = place(stamps, RATE, GapPolicy("error"), "x").report
    assert report.n_segments == 1


@pytest.mark.parametrize("length", [10, 32, 40, 500])
def test_steps_back_by_a_millisecond_between_chunks_make_no_segments(length):
    # Each chunk begins 1 ms before its predecessor ended: the device is a little faster than it says.
    step = np.full(8000, 1 / RATE)
    step[::length] = -1 / RATE
    found = place(1e4 + np.cumsum(step), RATE, GapPolicy("error"), "x")
    np.testing.assert_array_equal(found.index, np.arange(8000))
    assert found.report.n_backward == len(range(length, 8000, length))
    assert found.report.backward_s == pytest.approx(0.001)


@pytest.mark.parametrize("seed", range(5))
def test_a_loss_is_found_among_jitter(seed):
    rng = np.random.default_rng(seed)
    stamps, index = stamps_with([(9000, 60)], n=20_000)
    found = place(stamps + chunk_jitter(20_000, 32, rng, 0.001), RATE, SEGMENT, "x")
    assert len(found.report.gaps) == 1
    assert abs(found.report.gaps[0].row - 9000) <= 32
    assert abs(found.report.n_lost - 60) <= 4
    assert np.abs(found.index - index)[9100:].max() <= 4


def test_a_chunk_that_came_late_once_is_no_gap():
    stamps, _ = stamps_with([])
    stamps[2000:2030] += 0.08
    assert place(stamps, RATE, GapPolicy("error"), "x").report.gaps == ()


def test_many_gaps_at_equal_distances_are_all_found():
    row = np.arange(300 * 40)
    index = row + row // 300 * 300
    found = place(index / RATE, RATE, SEGMENT, "x")
    np.testing.assert_array_equal(found.index, index)


def test_a_clock_that_jumps_back_begins_a_new_segment():
    stamps, _ = stamps_with([])
    stamps[3000:] -= 15.0
    found = place(stamps, RATE, SEGMENT, "x")
    assert found.report.n_segments == 2
    assert found.report.n_lost == 0
    assert (np.diff(found.index) > 0).all()
    with pytest.raises(SessionError, match="clock -15 s at row 3000"):
        place(stamps, RATE, GapPolicy("error"), "x")


def test_times_after_a_jump_back_belong_to_the_later_stretch():
    stamps, _ = stamps_with([], start=100.0)
    stamps[3000:] -= 2.0
    index = place(stamps, RATE, SEGMENT, "x").index
    early, late = positions(np.array([100.5, 102.5]), stamps, index, RATE)
    assert early == pytest.approx(500)
    # 102.5 s is row 2500 before the jump and row 4500 - 2000 + 2000 = 4500 behind it.
    assert late == pytest.approx(index[4500 - 0])


def test_tolerate_closes_short_gaps_and_keeps_long_ones():
    stamps, _ = stamps_with([(1000, 40), (3000, 400)])
    found = place(stamps, RATE, TOLERATE, "x")
    wanted = np.arange(5000)
    wanted[3000:] += 400
    np.testing.assert_array_equal(found.index, wanted)
    assert [gap.closed for gap in found.report.gaps] == [True, False]
    assert found.report.n_segments == 2
    assert "1 of them closed, 440 samples lost" in found.report.lines()[0]


def test_a_recorded_index_is_treated_alike():
    _, index = stamps_with([(1000, 40), (3000, 400)])
    late = np.r_[index, [5, 6]]
    report = by_index(late, late / RATE, RATE)
    assert (report.n_lost, report.n_late, report.n_segments) == (440, 2, 3)
    closed, report = close_gaps(late, report, TOLERATE)
    wanted = np.arange(5000)
    wanted[3000:] += 400
    np.testing.assert_array_equal(closed, np.r_[wanted, [5, 6]])


def test_the_error_says_how_many_and_where():
    stamps, _ = stamps_with([(1000, 40), (2000, 1), (3000, 7), (4000, 2)])
    with pytest.raises(SessionError) as found:
        place(stamps, RATE, GapPolicy("error"), "day.xdf")
    assert str(found.value).startswith("day.xdf: 4 gaps, 50 samples lost: 40 samples at row 1000")
    assert "1 more" in str(found.value)


def test_stamps_that_are_no_numbers_are_refused():
    stamps, _ = stamps_with([])
    stamps[7] = np.nan
    with pytest.raises(SessionError, match="1 of 5000 time stamps"):
        place(stamps, RATE, SEGMENT, "x")


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_short_recordings_are_placed(n):
    found = place(np.arange(n) / RATE, RATE, GapPolicy("error"), "x")
    np.testing.assert_array_equal(found.index, np.arange(n))
    assert found.report.n_segments == (n > 0)


def test_policies_that_are_none_are_refused():
    with pytest.raises(SessionError, match="ignore"):
        GapPolicy("ignore")  # type: ignore[arg-type]
    with pytest.raises(SessionError, match="tolerance"):
        GapPolicy("tolerate", 0.0)
