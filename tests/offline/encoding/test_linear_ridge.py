from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from offline.encoding import linear_ridge
from offline.encoding.kernel_ridge import decomposed, held_out_errors
from offline.encoding.linear_ridge import decomposed_features, feature_errors, feature_weights
from offline.regression.folds import folds_by_stimulus
from offline.scheduling.local_workers import LocalWorkers

LAMBDAS = np.array([0.3, 20.0, 900.0])


@pytest.fixture
def xy(rng):
    x = rng.standard_normal((60, 9))
    y = x[:, :4] @ rng.standard_normal((4, 5)) + rng.standard_normal((60, 5))
    return x - x.mean(axis=0), y - y.mean(axis=0)


def test_weights_are_scikit_learns_at_one_lambda_per_target(xy):
    lam = np.array([0.3, 900.0, 20.0, 20.0, 1e5])
    wanted = Ridge(alpha=lam, fit_intercept=False).fit(*xy).coef_.T
    found = feature_weights(decomposed_features(xy[0]), xy[1], lam)
    np.testing.assert_allclose(found, wanted, atol=1e-10)


def test_lambda_0_is_least_squares_of_least_norm(xy):
    x = np.concatenate([xy[0], xy[0][:, :1]], axis=1)
    found = feature_weights(decomposed_features(x), xy[1], np.zeros(5))
    np.testing.assert_allclose(found, np.linalg.lstsq(x, xy[1], rcond=None)[0], atol=1e-10)


def test_held_out_errors_are_those_of_the_dual_form(xy):
    folds = folds_by_stimulus([str(i) for i in range(60)])
    basis = decomposed(xy[0] @ xy[0].T, centred=True, dtype="float64")
    dual = held_out_errors(basis, xy[1], folds, LAMBDAS)
    np.testing.assert_allclose(feature_errors(xy[0], xy[1], folds, LAMBDAS), dual, rtol=1e-4)


def test_blocks_of_targets_side_by_side_give_the_same(xy, monkeypatch):
    folds = folds_by_stimulus([str(i) for i in range(60)])
    alone = feature_errors(xy[0], xy[1], folds, LAMBDAS)
    monkeypatch.setattr(linear_ridge, "TARGETS_PER_PIECE", 2)
    steps: list[int] = []
    found = feature_errors(
        xy[0], xy[1], folds, LAMBDAS, workers=LocalWorkers(2), progress=steps.append
    )
    np.testing.assert_allclose(found, alone, rtol=1e-4)
    assert sum(steps) == 3
