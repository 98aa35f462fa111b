from __future__ import annotations

import numpy as np
import pytest

from offline.decoding.decoder import fit_decoder
from offline.decoding.ridge import choose, low_rank_factors, ridge_path
from offline.regression.folds import folds_by_stimulus

N_TRIALS, N_CHANNELS, N_LATENTS, RANK = 400, 30, 20, 3


@pytest.fixture
def low_rank_data(rng):
    x = rng.standard_normal((N_TRIALS, N_CHANNELS)) + 2.0
    true = rng.standard_normal((N_CHANNELS, RANK)) @ rng.standard_normal((RANK, N_LATENTS))
    y = x @ true + 4.0 * rng.standard_normal((N_TRIALS, N_LATENTS)) + 5.0
    return x, y


@pytest.mark.parametrize("lam", [0.001, 0.1, 10.0], ids="lambda={}".format)
def test_ridge_weights_equal_a_direct_solve(low_rank_data, lam):
    x, y = low_rank_data
    xc, yc = x - x.mean(0), y - y.mean(0)
    path = ridge_path(x, y)
    direct = np.linalg.solve(xc.T @ xc + path.absolute(lam) * np.eye(N_CHANNELS), xc.T @ yc)
    np.testing.assert_allclose(path.weights(lam), direct, rtol=1e-9, atol=1e-12)


def test_ridge_with_fewer_trials_than_channels_equals_a_direct_solve(rng):
    x, y = rng.standard_normal((12, 40)), rng.standard_normal((12, 7))
    xc, yc = x - x.mean(0), y - y.mean(0)
    path = ridge_path(x, y)
    direct = np.linalg.solve(xc.T @ xc + path.absolute(0.1) * np.eye(40), xc.T @ yc)
    np.testing.assert_allclose(path.weights(0.1), direct, rtol=1e-8, atol=1e-10)


def test_factors_of_full_rank_multiply_to_the_ridge_weights(low_rank_data):
    path = ridge_path(*low_rank_data)
    down, up = low_rank_factors(path, 0.1, N_LATENTS)
    np.testing.assert_allclose(down @ up, path.weights(0.1), atol=1e-10)


def test_no_other_weights_of_that_rank_have_a_smaller_ridge_loss(low_rank_data, rng):
    x, y = low_rank_data
    path = ridge_path(x, y)
    xc, yc = x - path.feature_mean, y - path.latent_mean
    penalty = path.absolute(0.5)

    def loss(down, up):
        w = down @ up
        return np.square(yc - xc @ w).sum() + penalty * np.square(w).sum()

    down, up = low_rank_factors(path, 0.5, RANK)
    best = loss(down, up)
    left, s, right = np.linalg.svd(path.weights(0.5), full_matrices=False)
    assert best < loss(left[:, :RANK] * s[:RANK], right[:RANK])
    for _ in range(20):
        moved = loss(
            down + 1e-3 * rng.standard_normal(down.shape), up + 1e-3 * rng.standard_normal(up.shape)
        )
        assert best < moved


def test_scores_of_cross_validation_equal_fitting_and_predicting_by_hand(low_rank_data):
    x, y = low_rank_data
    folds = folds_by_stimulus([str(i) for i in range(N_TRIALS)])
    choice = choose(x, y, folds, lambdas=(0.01, 1.0))
    error, total = np.zeros(2), 0.0
    by_rank = 0.0
    for fold in folds:
        train, test = fold.train, fold.held_out
        path = ridge_path(x[train], y[train])
        held_out = y[test] - path.latent_mean
        total += np.square(held_out).sum()
        for i, lam in enumerate((0.01, 1.0)):
            error[i] += np.square(
                held_out - (x[test] - path.feature_mean) @ path.weights(lam)
            ).sum()
        down, up = low_rank_factors(path, choice.lam, 2)
        by_rank += np.square(held_out - (x[test] - path.feature_mean) @ down @ up).sum()
    np.testing.assert_allclose(choice.by_lambda, 1 - error / total)
    np.testing.assert_allclose(choice.by_rank[2], 1 - by_rank / total)
    np.testing.assert_allclose(choice.by_rank[-1], choice.by_lambda.max())


def test_the_rank_of_the_data_is_found(low_rank_data):
    x, y = low_rank_data
    choice = choose(x, y, folds_by_stimulus([str(i) for i in range(N_TRIALS)]))
    assert choice.rank == RANK
    assert choice.explained > 0.3


def test_features_without_information_give_the_mean_latent(rng):
    features = rng.standard_normal((200, 1, 10)).astype(np.float32)
    latents = rng.standard_normal((200, 6)).astype(np.float32) + 1.0
    fitted = fit_decoder(features, latents, [str(i) for i in range(200)])
    assert fitted.choices[0].rank == 0
    predicted = fitted.decoder.predict(features[:, 0], 0)
    np.testing.assert_allclose(predicted, np.tile(latents.mean(0), (200, 1)), rtol=1e-6)


def test_held_out_predictions_are_those_of_the_chosen_lambda_and_rank(low_rank_data):
    x, y = low_rank_data
    folds = folds_by_stimulus([str(i) for i in range(N_TRIALS)])
    choice = choose(x, y, folds)
    for fold in folds:
        path = ridge_path(x[fold.train], y[fold.train])
        down, up = low_rank_factors(path, choice.lam, choice.rank)
        by_hand = (x[fold.held_out] - path.feature_mean) @ down @ up + path.latent_mean
        np.testing.assert_allclose(choice.held_out[fold.held_out], by_hand, rtol=1e-4, atol=1e-4)


def test_decoder_keeps_the_training_mean_in_spite_of_float16(low_rank_data):
    x, y = low_rank_data
    x = x.astype(np.float32)
    fitted = fit_decoder(
        np.stack([x, x], axis=1), y.astype(np.float32), [str(i) for i in range(N_TRIALS)]
    )
    assert fitted.decoder.n_windows == 2
    for window_idx in range(2):
        predicted = fitted.decoder.predict(x, window_idx).mean(0)
        np.testing.assert_allclose(predicted, y.mean(0), atol=2e-5)
