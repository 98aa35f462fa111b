"""Against slow direct counting: every draw of distractors, one after the other."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2g_rt.errors import ConfigError
from offline.evaluation.identification import (
    identification,
    n_way,
    similarities,
    top_k,
    two_way_table,
)
from offline.evaluation.metrics import two_way_identification


def slow_n_way(row, true, n):
    """Mean over all draws of n - 1 others; a tie of m is won with 1 / m."""
    others = np.delete(row, true)
    wins = [
        0.0 if max(drawn) > row[true] else 1.0 / (1 + drawn.count(row[true]))
        for drawn in combinations(others.tolist(), n - 1)
    ]
    return np.mean(wins)


@pytest.mark.parametrize("kind", ["pearson", "cosine"])
def test_similarities_equal_the_definition(rng, kind):
    a, b, mean = rng.standard_normal((4, 9)), rng.standard_normal((6, 9)), rng.standard_normal(9)
    found = similarities(a, b, mean, kind)
    for i in range(4):
        for j in range(6):
            x, y = a[i] - mean, b[j] - mean
            wanted = (
                np.corrcoef(x, y)[0, 1]
                if kind == "pearson"
                else x @ y / np.linalg.norm(x) / np.linalg.norm(y)
            )
            assert found[i, j] == pytest.approx(wanted, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31), n_values=st.integers(1, 12), pool=st.integers(2, 8), data=st.data()
)
def test_n_way_is_the_mean_over_all_draws_of_distractors_ties_included(seed, n_values, pool, data):
    n = data.draw(st.integers(2, pool))
    rng = np.random.default_rng(seed)
    similarity = rng.integers(n_values, size=(5, pool)) / 7.0
    true = rng.integers(pool, size=5)
    wanted = [slow_n_way(row, t, n) for row, t in zip(similarity, true, strict=True)]
    np.testing.assert_allclose(n_way(similarity, true, n), wanted, rtol=0, atol=1e-12)


def test_two_way_of_pictures_is_that_of_mindeye(rng):
    """For each reconstruction: the share of other stimuli whose features correlate less with it than its own."""
    shown = rng.standard_normal((15, 40))
    reconstructed = shown + 3 * rng.standard_normal((15, 40))
    won = [
        np.corrcoef(reconstructed[i], shown[j])[0, 1]
        < np.corrcoef(reconstructed[i], shown[i])[0, 1]
        for i in range(15)
        for j in range(15)
        if i != j
    ]
    found = n_way(similarities(reconstructed, shown), np.arange(15), 2)
    assert found.mean() == pytest.approx(np.mean(won))


def test_two_way_is_that_of_the_report(rng):
    pool, mean = rng.standard_normal((30, 12)), rng.standard_normal(12)
    true = rng.integers(30, size=50)
    decoded = pool[true] + 2 * rng.standard_normal((50, 12))
    decoded[3] = mean
    np.testing.assert_allclose(
        n_way(similarities(decoded, pool, mean), true, 2),
        two_way_identification(decoded, pool, true, mean),
        rtol=0,
        atol=1e-12,
    )


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), pool=st.integers(2, 20), n_values=st.integers(1, 30))
def test_the_table_of_two_way_scores_holds_each_stimulus_taken_as_true(seed, pool, n_values):
    similarity = np.random.default_rng(seed).integers(n_values, size=(6, pool)) * 1.0
    table = two_way_table(similarity)
    for stimulus in range(pool):
        wanted = n_way(similarity, np.full(6, stimulus), 2)
        np.testing.assert_allclose(table[:, stimulus], wanted, rtol=0, atol=1e-12)
    np.testing.assert_allclose(table.mean(axis=1), 0.5)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31), pool=st.integers(2, 40))
def test_choosing_from_the_whole_pool_is_top_1_and_more_choices_are_never_easier(seed, pool):
    rng = np.random.default_rng(seed)
    similarity = rng.integers(20, size=(8, pool)) * 1.0
    true = rng.integers(pool, size=8)
    scores = np.stack([n_way(similarity, true, n) for n in range(2, pool + 1)])
    np.testing.assert_allclose(scores[-1], top_k(similarity, true, 1), rtol=0, atol=1e-12)
    assert (np.diff(scores, axis=0) < 1e-12).all()


@pytest.mark.parametrize("n", [2, 10, 50, 1000])
def test_a_constant_prediction_and_an_independent_one_score_chance(rng, n):
    true = np.arange(1000)
    constant = n_way(np.zeros((1000, 1000)), true, n)
    np.testing.assert_allclose(constant, 1 / n, rtol=1e-9)
    independent = n_way(rng.standard_normal((1000, 1000)), true, n)
    assert independent.mean() == pytest.approx(1 / n, abs=4 * independent.std() / 1000**0.5 + 1e-3)
    assert n_way(np.eye(1000), true, n).min() == 1.0


def test_a_pool_of_22248_stimuli_neither_overflows_nor_loses_digits(rng):
    similarity = rng.standard_normal((3, 22_248))
    true = np.array([5, 6, 7])
    worse = (similarity < similarity[np.arange(3), true][:, None]).sum(axis=1)
    wanted = [np.prod([(w - i) / (22_247 - i) for i in range(999)]) for w in worse.tolist()]
    np.testing.assert_allclose(n_way(similarity, true, 1000), wanted, rtol=1e-9, atol=1e-300)


def test_top_k_counts_and_breaks_ties_at_random():
    similarity = np.array([[3.0, 2.0, 1.0, 0.0], [1.0, 1.0, 1.0, 0.0]])
    np.testing.assert_allclose(top_k(similarity, np.array([1, 1]), 1), [0.0, 1 / 3])
    np.testing.assert_allclose(top_k(similarity, np.array([1, 1]), 2), [1.0, 2 / 3])
    np.testing.assert_allclose(top_k(similarity, np.array([3, 3]), 3), [0.0, 0.0])


def test_every_figure_names_its_pool_and_chance(rng):
    similarity = rng.standard_normal((60, 20))
    found = identification(similarity, rng.integers(20, size=60))
    assert [(s.task, s.pool, s.chance) for s in found] == [
        ("2-way", 20, 0.5),
        ("10-way", 20, 0.1),
        ("top-1", 20, 0.05),
        ("top-5", 20, 0.25),
    ]
    for score in found:
        assert score.score.low <= score.score.mean <= score.score.high


@pytest.mark.parametrize("n", [1, 21])
def test_more_choices_than_stimuli_are_refused(rng, n):
    with pytest.raises(ConfigError, match=f"{n}-way identification: the pool has 20 stimuli"):
        n_way(rng.standard_normal((2, 20)), np.array([0, 1]), n)
