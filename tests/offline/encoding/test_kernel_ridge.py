from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.kernel_ridge import KernelRidge

from b2g_rt.errors import EncodingError
from offline.encoding import kernel_ridge
from offline.encoding.kernel_ridge import (
    decomposed,
    dual_weights,
    dual_weights_at,
    held_out_errors,
)
from offline.regression.folds import folds_by_stimulus
from offline.scheduling.local_workers import LocalWorkers

N, P, T = 48, 120, 5
LAMBDAS = np.array([0.3, 20.0, 900.0])


@pytest.fixture
def xy(rng):
    x = rng.standard_normal((N, P)) + 1.5
    y = x[:, :4] @ rng.standard_normal((4, T)) + rng.standard_normal((N, T)) - 2.0
    return x, y


def folds_of(n, n_folds=5, repeats=1):
    return folds_by_stimulus([str(i // repeats) for i in range(n)], n_folds)


def centred(x, y):
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    return x @ x.T, y


def refitted(x, y, folds, lambdas, *, intercept=True):
    """Return errors by fitting every fold and value anew with scikit-learn."""
    errors = np.zeros((len(lambdas), y.shape[1]))
    for fold in folds:
        a, b = x[fold.train], y[fold.train]
        x_mean, y_mean = a.mean(axis=0) * intercept, b.mean(axis=0) * intercept
        for i, lam in enumerate(lambdas):
            model = KernelRidge(alpha=lam).fit(a - x_mean, b - y_mean)
            rest = model.predict(x[fold.held_out] - x_mean) + y_mean - y[fold.held_out]
            errors[i] += np.square(rest).sum(axis=0)
    return errors


@pytest.mark.parametrize("device", ["cpu", "torch"])
def test_held_out_errors_are_those_of_fitting_every_fold_anew(xy, device):
    kernel, y = centred(*xy)
    basis = decomposed(kernel, centred=True, dtype="float64", device=device)
    found = held_out_errors(basis, y, folds_of(N), LAMBDAS, device=device)
    np.testing.assert_allclose(found, refitted(xy[0], xy[1], folds_of(N), LAMBDAS), rtol=1e-9)


def test_without_an_intercept_too(xy):
    x, y = xy
    basis = decomposed(x @ x.T, centred=False, dtype="float64")
    found = held_out_errors(basis, y, folds_of(N), LAMBDAS)
    wanted = refitted(x, y, folds_of(N), LAMBDAS, intercept=False)
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


def test_repeats_of_a_stimulus_are_held_out_together(rng):
    # Each stimulus four times: the kernel has many zeros beside that of the mean.
    x = np.repeat(rng.standard_normal((12, 30)), 4, axis=0)
    y = x[:, :2] @ rng.standard_normal((2, 3)) + rng.standard_normal((48, 3))
    folds = folds_of(48, 4, repeats=4)
    kernel, centred_y = centred(x, y)
    basis = decomposed(kernel, centred=True, dtype="float64")
    found = held_out_errors(basis, centred_y, folds, LAMBDAS)
    np.testing.assert_allclose(found, refitted(x, y, folds, LAMBDAS), rtol=1e-8)


@pytest.mark.parametrize("n_features", [3, 40, 400])
def test_errors_in_float32_are_right_enough_to_choose_by(n_features, rng):
    x = rng.standard_normal((60, n_features))
    x[:, 0] *= 30.0  # one direction beside which all others are small
    y = x[:, :3] @ rng.standard_normal((3, 4)) + rng.standard_normal((60, 4))
    kernel, y = centred(x, y)
    basis = decomposed(kernel, centred=True, dtype="float64")
    lambdas = np.geomspace(1e-3, 1e4, 8) * np.trace(kernel) / 60
    exact = held_out_errors(basis, y, folds_of(60), lambdas)
    found = held_out_errors(basis, y, folds_of(60), lambdas, dtype="float32")
    np.testing.assert_allclose(found, exact, rtol=2e-3)


def test_values_and_blocks_of_targets_side_by_side_give_the_same(xy, monkeypatch):
    kernel, y = centred(*xy)
    basis = decomposed(kernel, centred=True, dtype="float64")
    alone = held_out_errors(basis, y, folds_of(N), LAMBDAS)
    monkeypatch.setattr(kernel_ridge, "TARGETS_PER_PIECE", 2)
    steps: list[int] = []
    found = held_out_errors(
        basis, y, folds_of(N), LAMBDAS, workers=LocalWorkers(2), progress=steps.append
    )
    np.testing.assert_allclose(found, alone, rtol=1e-10)
    assert sum(steps) == 3 * len(LAMBDAS)


def test_a_fold_that_leaves_stimuli_out_is_refused(xy):
    kernel, y = centred(*xy)
    basis = decomposed(kernel, centred=True, dtype="float64")
    fold = folds_of(N)[0]
    shorter = type(fold)(fold.train[1:], fold.held_out)
    with pytest.raises(ValueError, match="a fold leaves stimuli out"):
        held_out_errors(basis, y, [shorter], LAMBDAS)


@pytest.mark.parametrize("device", ["cpu", "torch"])
def test_dual_weights_are_scikit_learns_at_one_lambda_per_target(xy, device):
    kernel, y = centred(*xy)
    basis = decomposed(kernel, centred=True, dtype="float64", device=device)
    lam = np.array([0.3, 900.0, 20.0, 20.0, 1e5])
    found = dual_weights(basis, y, lam, device)
    wanted = KernelRidge(alpha=lam, kernel="precomputed").fit(kernel, y).dual_coef_
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6 * np.abs(wanted).max())
    for i, value in enumerate(lam):
        at = dual_weights_at(kernel, y, value, device=device)[:, i]
        np.testing.assert_allclose(at, wanted[:, i], rtol=0, atol=1e-6 * np.abs(wanted).max())


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), order=st.permutations(range(T)))
def test_the_order_of_electrodes_does_not_matter(seed, order):
    rng = np.random.default_rng(seed)
    kernel, y = centred(rng.standard_normal((20, 50)), rng.standard_normal((20, T)))
    basis = decomposed(kernel, centred=True, dtype="float64")
    folds, lam = folds_of(20), np.geomspace(1.0, 100.0, T)
    errors, weights = held_out_errors(basis, y, folds, LAMBDAS), dual_weights(basis, y, lam)
    np.testing.assert_allclose(
        held_out_errors(basis, y[:, order], folds, LAMBDAS), errors[:, order], rtol=1e-9
    )
    np.testing.assert_allclose(
        dual_weights(basis, y[:, order], lam[list(order)]), weights[:, order], atol=1e-12
    )


def test_a_lambda_that_leaves_no_inverse_is_one_line(rng):
    kernel, y = centred(
        np.repeat(rng.standard_normal((6, 9)), 3, axis=0), rng.standard_normal((18, 2))
    )
    with pytest.raises(EncodingError, match="lambda 1e-30 leaves the kernel without an inverse"):
        dual_weights_at(kernel, y, 1e-30, dtype="float32")
