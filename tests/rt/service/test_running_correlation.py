from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2g_rt.service.running_correlation import RunningCorrelation, correlation

N_TRIALS, N = 30, 12


def added(first, second):
    running = RunningCorrelation(first.shape[1])
    for a, b in zip(first, second, strict=True):
        running.add(a, b)
    return running


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), offset=st.floats(-1e4, 1e4))
def test_it_is_numpys_correlation_however_far_from_zero(seed, offset):
    rng = np.random.default_rng(seed)
    first = (rng.standard_normal((N_TRIALS, N)) + offset).astype(np.float32)
    second = (0.5 * first + rng.standard_normal((N_TRIALS, N))).astype(np.float32)
    wanted = [
        np.corrcoef(first[:, c].astype(float), second[:, c].astype(float))[0, 1] for c in range(N)
    ]
    np.testing.assert_allclose(added(first, second).r(2), wanted, atol=1e-9)


def test_an_electrode_counts_only_the_trials_in_which_both_numbers_are_there(rng):
    first = rng.standard_normal((N_TRIALS, N)).astype(np.float32)
    second = rng.standard_normal((N_TRIALS, N)).astype(np.float32)
    first[:5, 0] = np.nan
    second[3:9, 0] = np.inf
    running = added(first, second)
    whole = slice(9, None)
    assert running.n_trials[:2].tolist() == [N_TRIALS - 9, N_TRIALS]
    assert running.r(2)[0] == pytest.approx(np.corrcoef(first[whole, 0], second[whole, 0])[0, 1])


def test_too_few_trials_and_no_variation_give_none(rng):
    first = rng.standard_normal((9, N)).astype(np.float32)
    second = first.copy()
    second[:, 1] = 3
    r = added(first, second).r(9)
    assert np.isnan(r[1])
    assert r[0] == pytest.approx(1)
    assert np.isnan(added(first, second).r(10)).all()


def test_over_electrodes_it_is_numpys_too(rng):
    a, b = rng.standard_normal((2, 50)).astype(np.float32)
    assert correlation(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert correlation(a[:2], b[:2]) is None
    assert correlation(np.ones(5, np.float32), b[:5]) is None
