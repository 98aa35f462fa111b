from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest, pearsonr

from offline.encoding.statistics import (
    bonferroni,
    corrected,
    false_discovery,
    mean_r_interval,
    n_scored,
    normalised,
    pearson,
    permutation_p,
    t_test_p,
)
from offline.resampling import N_PERMUTATIONS
from offline.scheduling.local_workers import LocalWorkers


def correlated_electrodes(rng, n_stimuli, n_channels, rank=4):
    """Responses of which most is shared by all electrodes, as those of one array share their noise."""
    shared = rng.standard_normal((n_stimuli, rank)) @ rng.standard_normal((rank, n_channels))
    return shared + 0.5 * rng.standard_normal((n_stimuli, n_channels))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(3, 40), effect=st.floats(0, 3))
def test_r_and_p_are_those_of_scipy(seed, n, effect):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((n, 3))
    b = effect * a + rng.standard_normal((n, 3))
    r = pearson(a, b)
    wanted = [pearsonr(a[:, c], b[:, c]) for c in range(3)]
    np.testing.assert_allclose(r, [w.statistic for w in wanted], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(t_test_p(r, n), [w.pvalue for w in wanted], rtol=1e-6, atol=1e-12)


def test_r_is_0_and_p_is_1_where_nothing_varies(rng):
    a = rng.standard_normal((20, 3)).astype(np.float32)
    b = rng.standard_normal((20, 3))
    a[:, 0], b[:, 1] = 7.1, -0.3
    r = pearson(a, b)
    assert r[:2].tolist() == [0.0, 0.0]
    assert t_test_p(r, 20)[:2].tolist() == [1.0, 1.0]


def test_a_perfect_correlation_has_p_0_and_two_stimuli_have_none():
    assert t_test_p(np.array([1.0, -1.0]), 10).tolist() == [0.0, 0.0]
    assert t_test_p(np.array([1.0, np.nan]), np.array([2, 10])).tolist() == [1.0, 1.0]


def test_a_missing_response_leaves_its_stimulus_out_for_that_channel_alone(rng):
    predicted = rng.standard_normal((2, 30, 3))
    observed = predicted[0] + rng.standard_normal((30, 3))
    whole = pearson(predicted, observed)
    observed[4:9, 1] = np.nan
    r = pearson(predicted, observed)
    kept = np.r_[0:4, 9:30]
    np.testing.assert_allclose(r[:, 1], pearson(predicted[:, kept], observed[kept])[:, 1])
    np.testing.assert_array_equal(r[:, [0, 2]], whole[:, [0, 2]])
    assert n_scored(predicted, observed).tolist() == [[30, 25, 30]] * 2


@settings(max_examples=50, deadline=None)
@given(p=st.lists(st.floats(1e-9, 1), min_size=1, max_size=30))
def test_corrections_only_ever_raise_p_and_bonferroni_most(p):
    found = np.array(p)
    assert (found <= false_discovery(found) * (1 + 1e-12)).all()
    assert (false_discovery(found) <= bonferroni(found) * (1 + 1e-12)).all()
    assert (bonferroni(found) <= 1).all()
    # Benjamini and Hochberg's step-up: all up to the last p with p <= q i / m are called.
    steps = np.flatnonzero(np.sort(found) <= 0.1 * np.arange(1, len(p) + 1) / len(p))
    called = int(steps[-1]) + 1 if len(steps) else 0
    assert int((false_discovery(found) <= 0.1 * (1 + 1e-12)).sum()) == called


def test_corrections_are_within_each_space(rng):
    p = rng.random((3, 40))
    for name in ("bonferroni", "fdr", "none"):
        np.testing.assert_array_equal(corrected(p, name)[1], corrected(p[1], name))
    with pytest.raises(ValueError, match="correction 'holm', expected"):
        corrected(p, "holm")  # type: ignore[arg-type]


def test_r_of_a_perfect_model_reaches_the_ceiling_and_no_ceiling_gives_no_number(rng):
    signal = rng.standard_normal((20000, 3))
    noisy = signal + np.array([0.5, 1.0, 2.0]) * rng.standard_normal((20000, 3))
    ceiling = 1 / np.sqrt(1 + np.array([0.25, 1.0, 4.0]))
    share = normalised(pearson(signal, noisy), ceiling)
    np.testing.assert_allclose(share, 1.0, atol=0.06)
    low = normalised(np.full((2, 3), 0.3), np.array([np.nan, 0.0, 0.05]))
    assert np.isnan(low).all()
    assert normalised(np.array([0.3]), np.array([0.05]), min_ceiling=0.01)[0] == pytest.approx(6.0)
    assert np.isnan(normalised(np.array([0.3]), np.array([0.0]), min_ceiling=0.0)).all()


def test_permuted_p_agrees_with_the_t_test_where_stimuli_are_independent(rng):
    predicted = rng.standard_normal((2, 60, 8))
    observed = 0.25 * predicted[0] + rng.standard_normal((60, 8))
    p = permutation_p(predicted, observed, n_permutations=999)
    wanted = t_test_p(pearson(predicted, observed), 60)
    assert p.shape == (2, 8)
    np.testing.assert_allclose(p, wanted, atol=0.06)
    assert p.min() >= 1 / 1000


def test_permuted_p_is_two_sided_and_the_same_with_a_missing_response_path(rng):
    observed = rng.standard_normal((40, 3))
    p = permutation_p(-observed, observed, n_permutations=99)
    assert p.tolist() == [0.01] * 3
    weak = 0.3 * observed + rng.standard_normal((40, 3))
    gap = np.concatenate([observed, np.full((40, 1), np.nan)], axis=1)
    with_gap = permutation_p(np.concatenate([weak, weak[:, :1]], axis=1), gap, n_permutations=99)
    np.testing.assert_array_equal(with_gap[:3], permutation_p(weak, observed, n_permutations=99))
    assert with_gap[3] == 1.0


@pytest.mark.parametrize("counts", [(5,) * 12, (2, 8) * 6], ids=["balanced", "unequal"])
def test_repeats_move_together_so_that_shared_responses_are_no_evidence(counts):
    stimuli = np.repeat(np.arange(12), counts)
    together: list[float] = []
    apart: list[float] = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        # What a stimulus evokes and what is predicted for it have nothing in common.
        observed = rng.standard_normal((12, 1))[stimuli] + 0.2 * rng.standard_normal((60, 1))
        predicted = rng.standard_normal((12, 1))[stimuli]
        for found, groups in ((together, stimuli), (apart, None)):
            p = permutation_p(predicted, observed, stimuli=groups, n_permutations=99, seed=seed)
            found.append(p[0])
    steps = np.random.default_rng(0).random(150) / 100
    assert kstest(np.array(together) - steps, "uniform").pvalue > 0.01
    assert np.mean(np.array(apart) < 0.05) > 0.25


def test_the_same_permutations_whoever_does_them(rng):
    predicted, observed = rng.standard_normal((2, 30, 5)), rng.standard_normal((30, 5))
    alone = permutation_p(predicted, observed, n_permutations=60)
    shared = permutation_p(predicted, observed, n_permutations=60, workers=LocalWorkers(2))
    np.testing.assert_array_equal(alone, shared)
    assert N_PERMUTATIONS == 999


def test_shuffled_stimuli_leave_5_percent_of_correlated_electrodes_significant():
    """The issue's null: per space, 20 shuffles, electrodes that share most of what they do."""
    rng = np.random.default_rng(5)
    n_stimuli, n_channels = 100, 192
    observed = correlated_electrodes(rng, n_stimuli, n_channels)
    # Five spaces that predict well: without shuffling nearly everything is significant.
    spaces = np.stack([observed + s * rng.standard_normal(observed.shape) for s in (1, 2, 3, 4, 5)])
    assert (t_test_p(pearson(spaces, observed), n_stimuli) < 0.05).mean() > 0.95
    uncorrected, surviving = [], []
    for _ in range(20):
        p = t_test_p(pearson(spaces, observed[rng.permutation(n_stimuli)]), n_stimuli)
        uncorrected.append((p < 0.05).mean(axis=1))
        surviving.append((bonferroni(p) < 0.05).sum(axis=1))
    assert np.mean(uncorrected, axis=0) == pytest.approx(np.full(5, 0.05), abs=0.015)
    assert ((np.array(surviving) > 1).sum(axis=0) <= 1).all()


def test_the_interval_of_the_mean_r_covers_it_about_95_times_in_100():
    n_inside, n_tries, true_r = 0, 60, 0.6
    for seed in range(n_tries):
        rng = np.random.default_rng(seed)
        predicted = rng.standard_normal((1, 80, 6))
        noise = rng.standard_normal((80, 6))
        observed = true_r * predicted[0] + np.sqrt(1 - true_r**2) * noise
        found = mean_r_interval(
            predicted, observed, (np.arange(6), np.arange(2)), n_resamples=200, seed=seed
        )
        assert found.value.shape == (2, 1)
        n_inside += bool(found.low[0, 0] <= true_r <= found.high[0, 0])
    assert 0.85 * n_tries <= n_inside


def test_repeats_of_a_stimulus_are_drawn_together_so_that_the_interval_stays_wide(rng):
    predicted = rng.standard_normal((1, 20, 4))
    observed = predicted[0] + rng.standard_normal((20, 4))
    stimuli = np.repeat(np.arange(20), 10)
    once = mean_r_interval(predicted, observed, (np.arange(4),), n_resamples=200)
    many = predicted[:, stimuli], observed[stimuli]
    again = mean_r_interval(*many, (np.arange(4),), stimuli=stimuli, n_resamples=200)
    np.testing.assert_allclose(again.high - again.low, once.high - once.low)
    wrong = mean_r_interval(*many, (np.arange(4),), n_resamples=200)
    assert (wrong.high - wrong.low)[0, 0] < 0.6 * (again.high - again.low)[0, 0]
