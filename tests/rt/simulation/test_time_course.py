"""The gain rises at the latency, is 1 over the response window and dies out after the stimulus."""

from __future__ import annotations

import numpy as np
import pytest

from b2g_rt.simulation.time_course import TimeCourse

LATENCY = np.array([35.0, 45.0, 60.0])
WINDOW = np.array([[25, 125], [50, 150], [75, 175]])


def test_mean_gain_over_the_response_window_is_one() -> None:
    gain = TimeCourse().gain(LATENCY, WINDOW)
    for channel, (start, stop) in enumerate(WINDOW):
        assert gain[start:stop, channel].mean() == pytest.approx(1.0)


def test_nothing_happens_before_the_latency_and_half_the_rise_is_at_it() -> None:
    gain = TimeCourse(plateau=1.0).gain(LATENCY, WINDOW)
    top = gain[150]
    for channel, latency in enumerate(LATENCY):
        assert gain[int(latency) - 12, channel] < 0.01 * top[channel]
        assert gain[int(latency), channel] == pytest.approx(0.5 * top[channel])
        assert gain[int(latency) + 4, channel] == pytest.approx(0.9 * top[channel], rel=0.01)


def test_transient_falls_to_the_plateau_and_the_response_dies_out_after_the_stimulus() -> None:
    gain = TimeCourse(plateau=0.4).gain(LATENCY, WINDOW)
    assert gain[195] / gain.max(axis=0) == pytest.approx(np.full(3, 0.45), abs=0.05)
    assert (gain[235:] >= 0).all()
    assert (gain[-1] < 1e-3).all()
    # Smooth: no step greater than the rise allows.
    assert np.abs(np.diff(gain[190:], axis=0)).max() < 0.05


def test_a_response_window_beyond_the_time_course_is_refused() -> None:
    with pytest.raises(ValueError, match="beyond"):
        TimeCourse().gain(LATENCY[:1], np.array([[450, 550]]))
