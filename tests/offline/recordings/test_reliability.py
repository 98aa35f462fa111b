"""Against slow direct computations: loops over channels and repetitions with numpy's corrcoef and scipy's pdist."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from b2g_rt.errors import SessionError
from offline.recordings.reliability import (
    averaged_repetitions,
    mean_reliability,
    oracle_correlation,
    pair_reliability,
    repetitions,
    split_half_reliability,
)


def responses(rng, n_rep=6, n_stimuli=40, n_channels=70, noise=1.0, offset=0.0):
    signal = rng.standard_normal((1, n_stimuli, n_channels))
    return offset + signal + noise * rng.standard_normal((n_rep, n_stimuli, n_channels))


def with_gaps(rng, values, share=0.2):
    values = values.copy()
    values[rng.random(values.shape) < share] = np.nan
    return values


def mean_of_others(values, i):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a stimulus that no other repetition has
        return np.nanmean(np.delete(values, i, axis=0), axis=0)


def slow_r(a, b):
    both = np.isfinite(a) & np.isfinite(b)
    return np.corrcoef(a[both], b[both])[0, 1]


def test_pair_reliability_is_one_minus_the_correlation_distance_of_tvsd(rng):
    values = responses(rng, n_rep=30, n_stimuli=100, n_channels=5)
    wanted = np.stack([1 - pdist(values[:, :, c], "correlation") for c in range(5)], axis=1)
    assert wanted.shape == (435, 5)
    np.testing.assert_allclose(pair_reliability(values), wanted, rtol=0, atol=1e-10)
    np.testing.assert_allclose(mean_reliability(values), wanted.mean(axis=0), rtol=0, atol=1e-10)


@pytest.mark.parametrize("gaps", [False, True], ids=["whole", "gaps"])
@pytest.mark.parametrize("offset", [0.0, 1e3], ids="offset={}".format)
def test_pair_reliability_equals_the_slow_direct_computation(rng, gaps, offset):
    values = responses(rng, offset=offset)
    if gaps:
        values = with_gaps(rng, values)
    wanted = [
        [slow_r(values[i, :, c], values[j, :, c]) for c in range(values.shape[2])]
        for i in range(len(values))
        for j in range(i + 1, len(values))
    ]
    np.testing.assert_allclose(pair_reliability(values), wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("gaps", [False, True], ids=["whole", "gaps"])
@pytest.mark.parametrize("offset", [0.0, 1e3], ids="offset={}".format)
def test_oracle_equals_the_slow_direct_computation(rng, gaps, offset):
    values = responses(rng, offset=offset)
    if gaps:
        values = with_gaps(rng, values)
    wanted = [
        np.mean(
            [
                slow_r(values[i, :, c], mean_of_others(values[:, :, c], i))
                for i in range(len(values))
            ]
        )
        for c in range(values.shape[2])
    ]
    np.testing.assert_allclose(oracle_correlation(values), wanted, rtol=0, atol=1e-10)


def test_split_halves_of_two_repetitions_are_the_pair(rng):
    values = responses(rng, n_rep=2)
    np.testing.assert_allclose(
        split_half_reliability(values, 3), pair_reliability(values)[0], rtol=0, atol=1e-12
    )


def test_spearman_brown_foretells_the_reliability_of_twice_the_repetitions(rng):
    values = responses(rng, n_rep=20, n_stimuli=400, n_channels=30, noise=2.0)
    foretold = split_half_reliability(values[:10], spearman_brown=True).mean()
    assert foretold == pytest.approx(split_half_reliability(values).mean(), abs=0.02)


def test_what_does_not_vary_has_no_reliability(rng):
    values = responses(rng, n_channels=3)
    values[:, :, 1] = 0.1
    values[2, :, 2] = 0.1
    assert np.isnan(pair_reliability(values)[:, 1]).all()
    assert np.isnan([mean_reliability(values)[1], oracle_correlation(values)[1]]).all()
    assert np.isnan(split_half_reliability(values, 4)[1])
    assert np.isfinite(pair_reliability(values)[:, 2]).sum() == 10
    assert np.isfinite([mean_reliability(values)[2], oracle_correlation(values)[2]]).all()


def test_repetitions_are_counted_from_stimulus_ids_in_order_of_presentation(rng):
    trials = rng.standard_normal((7, 2)).astype(np.float32)
    found = repetitions(trials, ["b", "a", "b", "c", "a", "b", "d"])
    assert found.stimuli == ("a", "b")
    np.testing.assert_array_equal(found.counts, [2, 3])
    np.testing.assert_array_equal(found.values[:, 1], trials[[0, 2, 5]])
    np.testing.assert_array_equal(found.values[:2, 0], trials[[1, 4]])
    assert np.isnan(found.values[2, 0]).all()
    np.testing.assert_allclose(found.averaged[0], trials[[1, 4]].astype(float).mean(axis=0))


def test_averaging_leaves_out_what_is_missing(rng):
    trials = rng.standard_normal((5, 3, 2))
    trials[2, 1] = np.nan
    averaged, stimuli = averaged_repetitions(trials, ["b", "a", "b", "a", "c"])
    assert stimuli == ("a", "b", "c")
    np.testing.assert_allclose(averaged[0], trials[[1, 3]].mean(axis=0))
    np.testing.assert_allclose(averaged[1, 1], trials[0, 1])
    np.testing.assert_allclose(averaged[2], trials[4])


def test_a_session_without_repeated_stimuli_is_refused_in_one_line(rng):
    with pytest.raises(SessionError, match="3 stimuli in 3 trials, none shown 2 times"):
        repetitions(rng.standard_normal((3, 2)), ["a", "b", "c"])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n_rep=st.integers(2, 6),
    gain=st.floats(0.01, 100),
    offset=st.floats(-100, 100),
)
def test_reliability_knows_neither_gain_nor_offset_nor_the_order_of_repetitions(
    seed, n_rep, gain, offset
):
    rng = np.random.default_rng(seed)
    values = responses(rng, n_rep, 12, 3)
    moved = gain * values[rng.permutation(n_rep)] + offset
    for law in (mean_reliability, oracle_correlation):
        np.testing.assert_allclose(law(moved), law(values), atol=1e-9)
