from __future__ import annotations

import numpy as np
import pytest

from offline.evaluation.metrics import (
    bootstrap_mean,
    correlations,
    cosines,
    two_way_identification,
)
from offline.evaluation.scores import KnownTrials, score


def test_cosines_equal_the_definition(rng):
    a, b = rng.standard_normal((2, 5, 8))
    wanted = [x @ y / np.linalg.norm(x) / np.linalg.norm(y) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(cosines(a, b), wanted)
    assert cosines(np.zeros((1, 8)), b[:1]) == 0


def test_two_way_identification_equals_counting_by_hand(rng):
    pool, mean = rng.standard_normal((7, 12)), rng.standard_normal(12)
    true = np.array([0, 3, 3, 6])
    decoded = pool[true] + 2.0 * rng.standard_normal((4, 12))
    found = two_way_identification(decoded, pool, true, mean)
    for i, t in enumerate(true):
        r = [np.corrcoef(decoded[i] - mean, p - mean)[0, 1] for p in pool]
        assert found[i] == pytest.approx(sum(r[j] < r[t] for j in range(7) if j != t) / 6)


def test_a_constant_prediction_identifies_at_chance(rng):
    pool, mean = rng.standard_normal((9, 12)), rng.standard_normal(12)
    decoded = np.tile(mean, (9, 1))
    np.testing.assert_array_equal(two_way_identification(decoded, pool, np.arange(9), mean), 0.5)


def test_correlations_of_a_constant_column_are_zero(rng):
    a = rng.standard_normal((20, 2))
    a[:, 1] = 3.0
    r = correlations(a, 2 * a + 1)
    np.testing.assert_allclose(r, [1.0, 0.0])


def test_bootstrap_keeps_repeats_of_a_stimulus_together(rng):
    stimulus = rng.standard_normal(30)
    once = bootstrap_mean(stimulus, np.arange(30))
    repeated = bootstrap_mean(np.repeat(stimulus, 10), np.repeat(np.arange(30), 10))
    assert repeated.high - repeated.low == pytest.approx(once.high - once.low, rel=1e-9)
    assert once.low < once.mean < once.high


def test_the_95_percent_interval_covers_the_true_mean_about_as_often(rng):
    covered = 0
    for seed in range(200):
        interval = bootstrap_mean(rng.standard_normal(60), np.arange(60), seed, 400)
        covered += interval.low < 0 < interval.high
    assert 0.88 < covered / 200 < 0.99


def test_windows_that_could_not_be_decoded_are_not_scored(rng):
    pool = rng.standard_normal((6, 10)).astype(np.float32)
    known = KnownTrials(pool, np.arange(6), pool.mean(0))
    decoded = np.stack([pool, pool], axis=1)
    decoded[2, 0] = np.nan
    scores = score(decoded, known, np.eye(2, 10, dtype=np.float32), ("a", "b"))
    assert [w.n_trials for w in scores.windows] == [5, 6]
    assert scores.last.cosine.mean == pytest.approx(1.0)
    assert scores.last.two_way.mean == 1.0
    assert scores.parameters == pytest.approx({"a": 1.0, "b": 1.0})


def test_two_way_identification_block_by_block_is_that_of_all_trials(rng, monkeypatch):
    pool = rng.standard_normal((9, 20))
    true = rng.integers(9, size=50)
    decoded, mean = pool[true] + rng.standard_normal((50, 20)), np.zeros(20)
    wanted = two_way_identification(decoded, pool, true, mean)
    monkeypatch.setattr("offline.evaluation.metrics.TABLE_SIZE", 9 * 7)
    np.testing.assert_array_equal(two_way_identification(decoded, pool, true, mean), wanted)
