"""Times over a step of the stamps' clock: which of two places a marker means."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2g_rt.sources.stamp_jitter import StampJitter
from b2g_rt.sources.time_axis import TimeAxis

RATE_HZ = 1000.0
T0 = 5000.0
STEP_AT = 10_000


def stepped(step_s: float, n_after: int) -> TimeAxis:
    """Return an axis whose clock stepped at STEP_AT, and that has seen ``n_after`` samples since."""
    axis = TimeAxis(RATE_HZ, StampJitter(1 / RATE_HZ, None, 0.0))
    axis.start(0, T0)
    axis.count(T0 + np.arange(STEP_AT) / RATE_HZ)
    axis.new_piece(STEP_AT, T0 + STEP_AT / RATE_HZ + step_s)
    axis.count(T0 + step_s + np.arange(STEP_AT, STEP_AT + n_after) / RATE_HZ)
    return axis


def test_a_late_marker_of_the_clock_before_a_step_back_keeps_its_place():
    axis = stepped(-5.0, 100)
    assert axis.position_of(T0 + 9.9) == pytest.approx(9900, abs=1e-3)


def test_a_marker_ahead_of_its_samples_after_a_step_back_waits_for_them():
    axis = stepped(-5.0, 100)
    assert axis.position_of(T0 - 5.0 + 10.2) == pytest.approx(10_200, abs=1e-3)


@settings(max_examples=200, deadline=None)
@given(
    step_ms=st.integers(-9900, -100),
    n_after=st.integers(1, 3000),
    share=st.floats(0.0, 0.49),
    late=st.booleans(),
)
def test_over_a_step_back_the_place_closer_to_the_newest_sample_holds(
    step_ms, n_after, share, late
):
    axis = stepped(step_ms / 1000, n_after)
    away = int(share * -step_ms)
    index = axis.stop - 1 - away if late else axis.stop + away
    clock_s = 0.0 if index < STEP_AT else step_ms / 1000
    assert axis.position_of(T0 + clock_s + index / RATE_HZ) == pytest.approx(index, abs=0.01)


@pytest.mark.parametrize("step_s", [-500.0, -5.0, 100.0])
def test_times_of_samples_that_both_clocks_do_not_share_are_found_again(step_s):
    axis = stepped(step_s, 4000)
    for index in (100, 4000, STEP_AT + 1, STEP_AT + 3999):
        assert axis.position_of(axis.time_of(index)) == pytest.approx(index, abs=1e-3)
