from __future__ import annotations

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression

from offline.decoding.methods import LINEAR_METHODS, pls
from offline.regression.folds import folds_by_stimulus
from offline.regression.ridge_forms import SharedTargets

N_TRIALS, N_CHANNELS, N_LATENTS, RANK = 300, 24, 10, 2


@pytest.fixture
def data(rng):
    x = (rng.standard_normal((N_TRIALS, N_CHANNELS)) + 2.0).astype(np.float32)
    true = rng.standard_normal((N_CHANNELS, RANK)) @ rng.standard_normal((RANK, N_LATENTS))
    y = x @ true + 4.0 * rng.standard_normal((N_TRIALS, N_LATENTS)) + 5.0
    return x, y.astype(np.float32)


@pytest.fixture
def folds():
    return folds_by_stimulus([str(i) for i in range(N_TRIALS)])


def predicted(found, x):
    moved = (x - found.feature_mean) @ found.down
    if found.up is not None:
        moved = moved @ found.up
    return moved + found.latent_mean


@pytest.mark.parametrize("method", LINEAR_METHODS)
def test_held_out_trials_are_decoded_but_less_well_than_trained_ones(method, data, folds):
    x, y = data
    shared = SharedTargets.of(y, folds)
    fitted = LINEAR_METHODS[method](x, shared)
    rest = np.square(fitted.held_out - y).sum() / np.square(y - y.mean(0)).sum()
    seen = np.square(predicted(fitted.map, x) - y).sum() / np.square(y - y.mean(0)).sum()
    assert 0.02 < seen < rest < 0.8


@pytest.mark.parametrize("method", LINEAR_METHODS)
def test_noise_is_decoded_to_nearly_the_mean_latent_by_all_but_ols(method, folds, rng):
    x = rng.standard_normal((N_TRIALS, N_CHANNELS)).astype(np.float32)
    y = rng.standard_normal((N_TRIALS, N_LATENTS)).astype(np.float32) + 1.0
    fitted = LINEAR_METHODS[method](x, SharedTargets.of(y, folds))
    moved = np.square(predicted(fitted.map, x) - y.mean(0)).mean()
    assert moved > 0.05 if method == "ols" else moved < 0.02


def test_pls_is_scikit_learns_with_the_chosen_number_of_components(data, folds):
    x, y = data
    fitted = pls(x, SharedTargets.of(y, folds))
    assert fitted.chosen["components"] >= RANK
    wanted = PLSRegression(fitted.chosen["components"], scale=False).fit(x, y)
    np.testing.assert_allclose(predicted(fitted.map, x), wanted.predict(x), atol=2e-3)
    for fold in folds:
        train = PLSRegression(fitted.chosen["components"], scale=False)
        train.fit(x[fold.train], y[fold.train])
        by_hand = train.predict(x[fold.held_out])
        np.testing.assert_allclose(fitted.held_out[fold.held_out], by_hand, atol=5e-3)


def test_pls_with_more_channels_than_trials_is_scikit_learns_too(rng):
    x, y = rng.standard_normal((20, 40)), rng.standard_normal((20, 3))
    folds = folds_by_stimulus([str(i) for i in range(20)])
    fitted = pls(x + y[:, :1], SharedTargets.of(y, folds), max_components=2)
    n = fitted.chosen["components"]
    assert n > 0
    wanted = PLSRegression(n, scale=False).fit(x + y[:, :1], y).predict(x + y[:, :1])
    np.testing.assert_allclose(predicted(fitted.map, x + y[:, :1]), wanted, atol=1e-5)
