from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from b2g_rt.errors import ConfigError
from b2g_rt.service.onsets import OnsetTracker


def position_of(time_s: float) -> float:
    return (time_s - 100.0) * 1000.0


def test_an_onset_waits_until_the_samples_have_reached_it():
    onsets = OnsetTracker(r"(?P<stimulus>.+)")
    onsets.add(100.5, "face-1")
    assert onsets.resolve(position_of, 500) == []
    assert onsets.n_waiting == 1
    (trial,) = onsets.resolve(position_of, 501)
    assert (trial.trial, trial.stimulus, trial.onset_idx) == (0, "face-1", 500)


def test_trials_are_numbered_in_the_order_of_their_markers():
    onsets = OnsetTracker(r"(?P<stimulus>.+)")
    for i in range(3):
        onsets.add(100 + i, f"face-{i}")
    trials = onsets.resolve(position_of, 10_000)
    assert [(t.trial, t.stimulus) for t in trials] == [(0, "face-0"), (1, "face-1"), (2, "face-2")]


def test_markers_that_are_no_onsets_are_counted_and_start_nothing():
    onsets = OnsetTracker(r"stimulus (?P<stimulus>\S+)")
    assert not onsets.add(100.0, "fixation")
    assert onsets.add(100.0, "stimulus face-7")
    assert onsets.n_others == 1
    assert [t.stimulus for t in onsets.resolve(position_of, 100)] == ["face-7"]


@given(index=st.integers(0, 100_000), shift=st.floats(-0.0004, 0.0004))
def test_moving_an_onset_by_up_to_two_fifths_of_a_sample_changes_nothing(index, shift):
    onsets = OnsetTracker(r"(?P<stimulus>.+)")
    onsets.add(100.0 + index / 1000 + shift, "face")
    assert [t.onset_idx for t in onsets.resolve(position_of, index + 1)] == [index]


@pytest.mark.parametrize("pattern", ["(", "face-.*"])
def test_a_pattern_that_cannot_work_is_named(pattern):
    with pytest.raises(ConfigError, match=r"streams.marker_pattern"):
        OnsetTracker(pattern)
