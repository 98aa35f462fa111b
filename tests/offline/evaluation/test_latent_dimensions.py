from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import r2_score

from offline.evaluation.latent_dimensions import dimension_p_values, r_squared, score_dimensions


@pytest.fixture
def trials(rng):
    """60 trials of 30 stimuli, 12 latents: the first 6 decoded, the others noise."""
    pool = rng.standard_normal((30, 12)) + 2.0
    groups = np.repeat(np.arange(30), 2)
    decoded = pool[groups] + 0.7 * rng.standard_normal((60, 12))
    decoded[:, 6:] = 2.0 + 0.3 * rng.standard_normal((60, 6))
    return decoded, pool[groups], groups


def test_pearson_and_r2_equal_numpy_and_scikit_learn(trials):
    decoded, true, groups = trials
    mean = np.full(12, 2.1)
    found = score_dimensions(decoded, true, mean, groups, 20)
    for d in range(12):
        assert found.pearson[d] == pytest.approx(np.corrcoef(decoded[:, d], true[:, d])[0, 1])
    np.testing.assert_allclose(found.r2, r2_score(true, decoded, multioutput="raw_values"))
    np.testing.assert_allclose(
        found.mean_latent_r2,
        r2_score(true, np.tile(mean, (60, 1)), multioutput="raw_values"),
    )
    wanted = 1 - ((true - decoded) ** 2).sum() / ((true - mean) ** 2).sum()
    assert found.explained == pytest.approx(wanted)


def test_the_mean_latent_explains_nothing_and_the_truth_everything(trials):
    _, true, groups = trials
    mean = np.full(12, 1.8)
    guess = score_dimensions(np.tile(mean, (60, 1)), true, mean, groups, 5)
    assert guess.explained == 0.0
    np.testing.assert_allclose(guess.pearson, 0.0, atol=1e-12)
    assert (guess.mean_latent_r2 <= 0).all()
    perfect = score_dimensions(true, true, mean, groups, 5)
    assert perfect.explained == 1.0
    np.testing.assert_allclose(perfect.r2, 1.0)


def test_r2_of_a_constant_truth_is_0(rng):
    true = np.stack([np.full(20, 0.1), rng.standard_normal(20)], axis=1)
    np.testing.assert_array_equal(r_squared(rng.standard_normal((20, 2)), true)[0], 0.0)
    np.testing.assert_allclose(r_squared(true, true), [0.0, 1.0])


def test_intervals_enclose_their_means(trials):
    decoded, true, groups = trials
    found = score_dimensions(decoded, true, true.mean(0), groups)
    for interval, values in ((found.mean_pearson, found.pearson), (found.mean_r2, found.r2)):
        assert interval.value == pytest.approx(values.mean())
        assert interval.low < interval.value < interval.high
    assert json.loads(json.dumps(found.to_dict()))["chance_pearson"] == 0.0


def test_only_decoded_dimensions_are_significant_after_correction(trials):
    decoded, true, groups = trials
    p, adjusted = dimension_p_values(decoded, true, groups, 499)
    assert (adjusted >= p).all()
    assert (adjusted[:6] < 0.05).all()
    assert (adjusted[6:] > 0.05).all()


def test_the_interval_of_r2_lies_around_it_with_few_stimuli_too(rng):
    # R2 of resampled trials themselves is biased far below: some dimensions hardly vary among eight stimuli.
    pool = rng.standard_normal((8, 200))
    pool[:, 0] = 0.3
    groups = np.repeat(np.arange(8), 2)
    decoded = 0.5 * pool[groups] + 0.5 * rng.standard_normal((16, 200))
    scores = score_dimensions(decoded, pool[groups], np.zeros(200), groups)
    found = scores.mean_r2
    assert found.value == pytest.approx(scores.r2.mean())
    assert found.low < found.value < found.high
    assert (found.low + found.high) / 2 == pytest.approx(found.value, abs=0.03)
