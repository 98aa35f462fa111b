from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from offline.evaluation.metrics import bootstrap_mean, correlations
from offline.resampling import (
    bootstrap,
    flip_signs,
    p_value,
    permute_pairs,
    permute_stimuli,
)
from offline.scheduling.local_workers import LocalWorkers

N_NULLS = 1000
N_PERMUTATIONS = 99


def uniform(p):
    """KS test against the uniform distribution on 1/(n+1), ..., 1, spread within its steps by a seeded draw."""
    steps = N_PERMUTATIONS + 1
    jitter = np.random.default_rng(1).random(len(p)) / steps
    return kstest(np.asarray(p) - jitter, "uniform").pvalue


@settings(max_examples=50, deadline=None)
@given(null=st.lists(st.integers(-5, 5), min_size=1, max_size=50), observed=st.integers(-6, 6))
def test_p_is_b_plus_1_over_n_plus_1(null, observed):
    wanted = (sum(x >= observed for x in null) + 1) / (len(null) + 1)
    assert p_value(float(observed), np.array(null, float)) == wanted


def test_p_is_never_0_and_rounding_is_no_difference():
    assert p_value(9.0, np.zeros(99)) == 0.01
    assert p_value(0.1 + 0.2, np.full(9, 0.3)) == 1.0


def test_permutations_that_are_the_identity_give_p_1():
    found = permute_stimuli(np.ones((6, 3)), np.array([0, 0, 1, 1, 2, 2]), 50)
    assert found.p == 1.0
    assert found.null_sd == 0.0


@pytest.mark.parametrize("repeats", [1, 4], ids="repeats={}".format)
def test_p_values_of_permuted_stimuli_are_uniform_where_nothing_was_decoded(rng, repeats):
    true_idx = np.repeat(np.arange(25), repeats)
    p = []
    for seed in range(N_NULLS):
        # Repeats of a stimulus share what they share by being one stimulus, only not its identity.
        scores = rng.standard_normal((25, 25))[true_idx] + 0.3 * rng.standard_normal(
            (len(true_idx), 25)
        )
        p.append(permute_stimuli(scores, true_idx, N_PERMUTATIONS, seed).p)
    assert uniform(p) > 0.01
    assert 0.03 <= np.mean(np.array(p) <= 0.05) <= 0.07


def test_p_values_of_latent_dimensions_are_uniform_where_nothing_was_decoded(rng):
    groups = np.repeat(np.arange(20), 2)

    def p_values(seed):
        true = rng.standard_normal((20, 4))[groups]
        decoded = rng.standard_normal((20, 4))[groups] + rng.standard_normal((40, 4))
        return permute_pairs(
            lambda rows: correlations(decoded, true[rows]), groups, N_PERMUTATIONS, seed
        )[1]

    assert uniform(np.concatenate([p_values(seed) for seed in range(N_NULLS // 8)])) > 0.01


def test_p_values_of_flipped_signs_are_uniform_where_no_decoder_is_better(rng):
    groups = np.repeat(np.arange(30), 3)
    p = [
        flip_signs(
            rng.standard_normal(30)[groups] + rng.standard_normal(90), groups, N_PERMUTATIONS, seed
        ).p
        for seed in range(N_NULLS)
    ]
    assert uniform(p) > 0.01


def test_trials_permuted_one_by_one_would_not_be_uniform(rng):
    """Why repeats move together: the test that ignores them calls noise significant."""
    groups = np.repeat(np.arange(25), 8)
    p = []
    for seed in range(200):
        scores = rng.standard_normal((25, 25))[groups]
        own = scores[np.arange(200), groups]
        p.append(flip_signs(own, np.arange(200), N_PERMUTATIONS, seed).p)
    assert np.mean(np.array(p) <= 0.05) > 0.2


def test_what_was_decoded_is_significant(rng):
    true_idx = np.repeat(np.arange(20), 2)
    found = permute_stimuli(np.eye(20)[true_idx] + rng.standard_normal((40, 20)), true_idx, 999)
    assert found.p == pytest.approx(0.001)
    assert found.observed > found.null_mean + 4 * found.null_sd
    assert flip_signs(1.0 + 0.5 * rng.standard_normal(40), true_idx, 999).p == pytest.approx(0.001)


def test_permuted_stimuli_equal_the_slow_direct_computation(rng):
    true_idx = rng.permutation(np.repeat([2, 5, 7, 11], 3))
    scores = rng.standard_normal((12, 13))
    found = permute_stimuli(scores, true_idx, 500, seed=3)
    shown = np.array([2, 5, 7, 11])
    draw = np.random.default_rng(3)
    null = []
    for _ in range(500):
        moved = dict(zip(shown.tolist(), shown[draw.permutation(4)].tolist(), strict=True))
        null.append(np.mean([scores[t, moved[s]] for t, s in enumerate(true_idx.tolist())]))
    observed = np.mean([scores[t, s] for t, s in enumerate(true_idx)])
    assert found.observed == pytest.approx(observed)
    assert found.null_mean == pytest.approx(np.mean(null))
    b = np.sum(np.array(null) >= observed - 1e-12)
    assert found.p == pytest.approx((b + 1) / 501)


def test_the_bootstrap_of_a_mean_is_that_of_bootstrap_mean(rng):
    values, groups = rng.standard_normal(60), np.repeat(np.arange(20), 3)
    general = bootstrap(lambda rows: values[rows].mean(), groups, 2000)
    special = bootstrap_mean(values, groups)
    assert general.value == pytest.approx(special.mean)
    assert general.low == pytest.approx(special.low, abs=0.03)
    assert general.high == pytest.approx(special.high, abs=0.03)


def test_the_bootstrap_draws_whole_stimuli(rng):
    groups = rng.permutation(np.repeat(np.arange(5), 4))

    def counts(rows):
        return np.bincount(groups[rows], minlength=5).astype(float)

    seen = bootstrap(counts, groups, 50)
    np.testing.assert_array_equal(seen.value, 4.0)

    def other_than_whole_stimuli(rows):
        return float((counts(rows) % 4 != 0).any() or len(rows) != 20)

    assert bootstrap(other_than_whole_stimuli, groups, 50).high == 0.0


def test_the_95_percent_interval_of_a_correlation_covers_the_true_one_about_as_often(rng):
    def covers(seed):
        x = rng.standard_normal((80, 1))
        y = 0.6 * x + 0.8 * rng.standard_normal((80, 1))
        found = bootstrap(lambda rows: correlations(x[rows], y[rows])[0], np.arange(80), 200, seed)
        return found.low < 0.6 < found.high

    assert 0.86 <= np.mean([covers(seed) for seed in range(100)]) <= 1.0


def _mean_of(values, rows):
    return values[rows].mean(axis=0)


def _agreement(decoded, true, rows):
    return (decoded * true[rows]).sum(axis=0)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_workers_change_no_bit_of_intervals_and_p_values(rng, n_threads):
    groups = rng.integers(12, size=50)
    decoded, true = rng.standard_normal((2, 50, 7))
    workers = LocalWorkers(n_threads)
    statistic = partial(_mean_of, decoded)
    drawn = np.random.default_rng(5)
    members = [np.flatnonzero(groups == i) for i in np.unique(groups)]
    slow = []
    for _ in range(90):
        chosen = drawn.integers(len(members), size=len(members))
        slow.append(statistic(np.concatenate([members[i] for i in chosen])))
    found = bootstrap(statistic, groups, 90, 5, workers)
    low, high = np.quantile(slow, (0.025, 0.975), axis=0)
    np.testing.assert_array_equal(found.low, low)
    np.testing.assert_array_equal(found.high, high)

    statistic = partial(_agreement, decoded, true)
    _, first, of_trial = np.unique(groups, return_index=True, return_inverse=True)
    observed = statistic(first[of_trial])
    drawn = np.random.default_rng(5)
    null = [statistic(first[drawn.permutation(len(first))][of_trial]) for _ in range(90)]
    seen, p = permute_pairs(statistic, groups, 90, 5, workers)
    np.testing.assert_array_equal(seen, observed)
    np.testing.assert_array_equal(p, ((np.stack(null) >= observed).sum(axis=0) + 1) / 91)
