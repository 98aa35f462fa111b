"""What a decoder remembers, trial by trial, with a decoder whose latent says what it was given."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from b2g_rt.contracts.windows import DueWindow, Trial, paper_windows, sliding_windows
from b2g_rt.service.trial_decoder import MAX_TRIALS, TrialDecoder

SPEC, FREE = paper_windows(), sliding_windows()


def remembering(features, window_idx, state):
    """Return the sum of all features so far, of one number."""
    total = state + features
    return total.copy(), total


def window(trial: int, k: int) -> DueWindow:
    onset = 400 * trial
    start = onset + SPEC.start_of(k)
    return DueWindow(k, start, start + SPEC.length, Trial(trial, "face", 0.0, onset), False)


def free(start: int) -> DueWindow:
    return DueWindow(0, start, start + FREE.length, None, False)


def one(value: float) -> np.ndarray:
    return np.array([value], np.float32)


@pytest.fixture
def decoder() -> TrialDecoder:
    return TrialDecoder(remembering, 1, SPEC)


def test_a_trial_begins_with_nothing_remembered_and_then_remembers(decoder):
    found = [decoder.decode(one(1), window(0, k))[0] for k in range(9)]
    assert found == list(range(1, 10))
    assert decoder.decode(one(1), window(1, 0))[0] == 1


def test_a_window_that_was_dropped_changes_nothing(decoder):
    found = [decoder.decode(one(1), window(0, k))[0] for k in (0, 1, 4, 8)]
    assert found == [1, 2, 3, 4]


def test_late_windows_of_an_old_trial_come_after_the_first_ones_of_a_new_one(decoder):
    order = [(0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0), (0, 3), (1, 2)]
    found = [decoder.decode(one(10**trial), window(trial, k))[0] for trial, k in order]
    assert found == [1, 2, 10, 3, 20, 100, 4, 30]


def test_a_trial_that_is_over_is_forgotten(decoder):
    for trial in range(5):
        for k in range(9):
            decoder.decode(one(1), window(trial, k))
    assert decoder.n_held == 0


def test_trials_whose_last_window_was_dropped_do_not_fill_the_memory(decoder):
    for trial in range(3 * MAX_TRIALS):
        decoder.decode(one(1), window(trial, 0))
    assert decoder.n_held == MAX_TRIALS
    newest = 3 * MAX_TRIALS - 1
    assert decoder.decode(one(1), window(newest, 1))[0] == 2


def test_a_decoder_that_fails_leaves_what_it_remembered(decoder):
    def failing(features, window_idx, state):
        if features[0] < 0:
            raise RuntimeError("no memory left")
        return remembering(features, window_idx, state)

    decoder = TrialDecoder(failing, 1, SPEC)
    decoder.decode(one(1), window(0, 0))
    with pytest.raises(RuntimeError):
        decoder.decode(one(-1), window(0, 1))
    assert decoder.decode(one(1), window(0, 2))[0] == 2


def test_a_free_running_decoder_remembers_over_the_whole_stream():
    decoder = TrialDecoder(remembering, 1, FREE)
    found = [decoder.decode(one(1), free(25 * i))[0] for i in range(500)]
    assert found == list(range(1, 501))
    assert decoder.n_held == 1


@pytest.mark.parametrize(("n_lost", "expected"), [(0, 2), (99, 2), (100, 2), (101, 1), (5000, 1)])
def test_a_free_running_decoder_begins_anew_when_more_than_a_window_was_lost(n_lost, expected):
    decoder = TrialDecoder(remembering, 1, FREE)
    decoder.decode(one(1), free(1000))
    assert decoder.decode(one(1), free(1000 + FREE.stride + n_lost))[0] == expected


def test_a_decoder_that_remembers_nothing_holds_nothing():
    decoder = TrialDecoder(lambda features, k, state: (features * k, state), 0, SPEC)
    assert [decoder.decode(one(2), window(0, k))[0] for k in (3, 1)] == [6, 2]
    assert decoder.n_held == 0


@given(st.data())
def test_however_trials_interleave_each_decodes_as_if_it_were_alone(data):
    n_trials = data.draw(st.integers(1, 5))
    kept = {
        t: sorted(data.draw(st.sets(st.integers(0, 8), min_size=1), label=f"windows of {t}"))
        for t in range(n_trials)
    }
    turns = data.draw(st.permutations([t for t in kept for _ in kept[t]]))
    decoder = TrialDecoder(remembering, 1, SPEC)
    left = {t: iter(windows) for t, windows in kept.items()}
    together: dict[int, list[float]] = {t: [] for t in kept}
    for t in turns:
        k = next(left[t])
        together[t].append(decoder.decode(one(1 + t + 100 * k), window(t, k))[0])
    for t, windows in kept.items():
        alone = TrialDecoder(remembering, 1, SPEC)
        assert together[t] == [alone.decode(one(1 + t + 100 * k), window(t, k))[0] for k in windows]
