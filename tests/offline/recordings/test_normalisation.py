from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from b2g_rt.errors import SessionError
from offline.recordings.normalisation import paper_normalised, running_normalised

N, N_CHANNELS = 240, 5
DAYS = np.repeat([1, 2, 3], 80)
MEAN, SD = np.full(N_CHANNELS, 10.0), np.full(N_CHANNELS, 2.0)


def responses(seed: int = 0, n_windows: int | None = None) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    shape = (N, N_CHANNELS) if n_windows is None else (N, n_windows, N_CHANNELS)
    gain = np.exp(0.3 * rng.standard_normal((3, N_CHANNELS)))[DAYS - 1]
    offset = 3 * rng.standard_normal((3, N_CHANNELS))[DAYS - 1]
    if n_windows is not None:
        gain, offset = gain[:, None], offset[:, None]
    return 10 + offset + gain * 2 * rng.standard_normal(shape)


IS_TEST = np.random.default_rng(1).random(N) < 0.3


@pytest.mark.parametrize("n_windows", [None, 3])
def test_paper_is_the_z_score_of_the_day_s_test_trials(n_windows):
    x = responses(n_windows=n_windows)
    found = paper_normalised(x, DAYS, IS_TEST)
    assert found.looks_ahead
    assert "looks ahead" in found.note
    for day in (1, 2, 3):
        own = DAYS == day
        for channel in range(N_CHANNELS):
            test = x[own & IS_TEST][..., channel]
            direct = (x[own][..., channel] - test.mean()) / test.std()
            np.testing.assert_allclose(
                found.values[own][..., channel], direct, rtol=1e-5, atol=1e-6
            )


def test_paper_looks_ahead_as_it_says():
    x = responses()
    changed = x.copy()
    last = np.flatnonzero(IS_TEST & (DAYS == 2))[-1]
    changed[last] += 50
    first = np.flatnonzero(DAYS == 2)[0]
    old, new = (paper_normalised(y, DAYS, IS_TEST).values for y in (x, changed))
    assert not np.allclose(old[first], new[first])
    np.testing.assert_array_equal(old[DAYS != 2], new[DAYS != 2])


def test_paper_leaves_out_what_is_missing_and_silences_flat_channels():
    x = responses()
    x[5, 0] = np.nan
    x[:, 1] = 4.0
    found = paper_normalised(x, DAYS.astype(str), IS_TEST).values
    assert np.isnan(found[5, 0])
    assert np.isfinite(np.delete(found[:, 0], 5)).all()
    assert (found[:, 1] == 0).all()


def test_a_day_without_test_trials_is_named():
    with pytest.raises(SessionError, match="day 3 has 0 test trials"):
        paper_normalised(responses(), DAYS, IS_TEST & (DAYS != 3))


def test_marks_and_days_must_fit_the_trials():
    with pytest.raises(SessionError, match="3 test marks for 240"):
        paper_normalised(responses(), DAYS, IS_TEST[:3])
    with pytest.raises(SessionError, match="2 days"):
        running_normalised(responses(), [1, 2], MEAN, SD)


@given(at=st.integers(0, N - 1), n_windows=st.sampled_from([None, 3]))
@settings(max_examples=20, deadline=None)
def test_running_changes_nothing_before_the_trial_that_changed(at, n_windows):
    x = responses(n_windows=n_windows)
    changed = x.copy()
    changed[at:] *= 3
    old, new = (running_normalised(y, DAYS, MEAN, SD) for y in (x, changed))
    assert not old.looks_ahead
    assert "causal" in old.note
    np.testing.assert_array_equal(old.values[:at], new.values[:at])


def test_running_is_the_mean_and_sd_of_the_day_so_far():
    x = responses(n_windows=3)
    found = running_normalised(x, DAYS, MEAN, SD, time_constant_trials=1e9, weight_trials=0.0)
    for trial in (81, 100, 159):
        before = x[80:trial].reshape(-1, N_CHANNELS)
        direct = (x[trial] - before.mean(axis=0)) / before.std(axis=0)
        np.testing.assert_allclose(found.values[trial], direct, rtol=1e-3, atol=1e-3)


def test_running_and_paper_agree_once_the_day_is_known():
    x = responses()
    running = running_normalised(x, DAYS, MEAN, SD).values
    paper = paper_normalised(x, DAYS, np.ones(N, bool)).values
    for day in (1, 2, 3):
        late = np.flatnonzero(DAYS == day)[50:]
        assert np.corrcoef(running[late].ravel(), paper[late].ravel())[0, 1] > 0.97
        assert running[late].std() == pytest.approx(paper[late].std(), rel=0.2)


def test_a_missing_response_is_not_learnt_from():
    x = responses()
    x[10:20, 2] = np.nan
    found = running_normalised(x, DAYS, MEAN, SD).values
    assert np.isnan(found[10:20, 2]).all()
    assert np.isfinite(found[20:, 2]).all()
