"""Stimuli come on when the paper's protocol says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from b2g_rt.simulation.protocol import Protocol


def test_paper_protocol_shows_four_images_400_ms_apart_after_300_ms_of_fixation() -> None:
    assert Protocol().onsets(6).tolist() == [300, 700, 1100, 1500, 2800, 3200]
    assert Protocol().n_samples(4) == 2500
    assert Protocol().n_samples(64) == 40_000
    assert Protocol().n_samples(0) == 0


def test_a_run_that_is_cut_short_ends_with_a_gap_and_a_pause() -> None:
    assert Protocol().n_samples(5) == 2500 + 300 + 400 + 600


@given(
    n=st.integers(1, 40),
    per_run=st.integers(1, 6),
    fixation=st.integers(0, 500),
    pause=st.integers(0, 900),
)
def test_onsets_rise_and_every_stimulus_and_gap_lies_within_the_session(
    n: int, per_run: int, fixation: int, pause: int
) -> None:
    protocol = Protocol(fixation_ms=fixation, pause_ms=pause, stimuli_per_run=per_run)
    onsets = protocol.onsets(n)
    assert onsets[0] == fixation
    assert (onsets[1:] - onsets[:-1] >= 400).all()
    assert protocol.n_samples(n) == onsets[-1] + 400 + pause


@pytest.mark.parametrize("wrong", [{"pause_ms": -1}, {"stimuli_per_run": 0}])
def test_durations_that_make_no_protocol_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="no protocol"):
        Protocol(**wrong)
