from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV

from offline.regression.folds import folds_by_day, folds_by_stimulus
from offline.regression.ridge_forms import SharedTargets
from offline.regression.ridge_search import ridge_search, target_groups

N_TARGETS = 6
LAMBDAS = (0.5, 20.0, 600.0)


def data(rng, n_trials, n_inputs):
    x = rng.standard_normal((n_trials, n_inputs)) + 3.0
    true = rng.standard_normal((n_inputs, N_TARGETS)) * np.array([0.02, 0.1, 0.2, 0.5, 1, 2])
    y = x @ true + rng.standard_normal((n_trials, N_TARGETS)) - 1.0
    return x.astype(np.float32), y.astype(np.float32)


def solved(x, y, lam):
    """Return a function that predicts, from a plain solve in float64."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    mean, y_mean = x.mean(0), y.mean(0)
    square = (x - mean).T @ (x - mean) + lam * np.eye(x.shape[1])
    weights = np.linalg.solve(square, (x - mean).T @ (y - y_mean))
    return (lambda new: (new - mean) @ weights + y_mean), weights


# 60 inputs: fewer than the trials a fold learns from (primal), then more (dual).
@pytest.fixture(params=[(150, 60), (50, 60)], ids=["primal", "dual"])
def xy(request, rng):
    return data(rng, *request.param)


def by_stimulus(n_trials):
    return folds_by_stimulus([str(i) for i in range(n_trials)])


def check_errors(x, y, folds):
    found = ridge_search(x, SharedTargets.of(y, folds), lambdas=LAMBDAS)
    for f, fold in enumerate(folds):
        for v, lam in enumerate(LAMBDAS):
            predict, _ = solved(x[fold.train], y[fold.train], lam)
            error = np.square(predict(x[fold.held_out]) - y[fold.held_out]).sum(0)
            np.testing.assert_allclose(found.errors[f, v], error, rtol=2e-4)
        total = np.square(y[fold.held_out] - y[fold.train].mean(0)).sum(0)
        np.testing.assert_allclose(found.totals[f], total, rtol=1e-5)


def test_errors_of_every_fold_and_value_equal_solving_each(xy):
    x, y = xy
    check_errors(x, y, by_stimulus(len(x)))


def test_errors_of_folds_by_day_that_leave_trials_out_equal_solving_each(xy, rng):
    x, y = xy
    stimuli = [str(i) for i in rng.integers(0, len(x), len(x))]
    folds = folds_by_day(stimuli, np.arange(len(x)) % 3)
    assert any(len(fold.train) + len(fold.held_out) < len(x) for fold in folds)
    check_errors(x, y, folds)


def test_each_target_gets_its_best_value_and_the_weights_of_it(xy):
    x, y = xy
    found = ridge_search(x, SharedTargets.of(y, by_stimulus(len(x))), lambdas=LAMBDAS)
    best = np.array(LAMBDAS)[found.errors.sum(0).argmin(0)]
    np.testing.assert_array_equal(found.lam, best)
    assert len(set(best)) > 1
    for target, lam in enumerate(best):
        _, weights = solved(x, y, lam)
        np.testing.assert_allclose(found.weights[:, target], weights[:, target], rtol=1e-8)


def test_held_out_trials_are_predicted_by_the_fold_that_holds_them_out(xy):
    x, y = xy
    folds = by_stimulus(len(x))
    found = ridge_search(x, SharedTargets.of(y, folds), lambdas=LAMBDAS)
    for fold in folds:
        for target, lam in enumerate(found.lam):
            predict, _ = solved(x[fold.train], y[fold.train], lam)
            wanted = predict(x[fold.held_out])[:, target]
            np.testing.assert_allclose(found.held_out[fold.held_out, target], wanted, atol=2e-4)


def test_a_trial_that_no_fold_holds_out_is_not_predicted(xy):
    x, y = xy
    folds = by_stimulus(len(x))[:2]
    found = ridge_search(x, SharedTargets.of(y, folds), lambdas=LAMBDAS)
    known = np.isfinite(found.held_out).all(1)
    assert sorted(np.flatnonzero(known)) == sorted([*folds[0].held_out, *folds[1].held_out])


def test_errors_of_a_group_are_the_sum_of_its_targets(rng):
    # Enough targets for the sums to be formed without predicting any.
    x, y = data(rng, 150, 40)
    y = np.concatenate([y, -y, 2 * y], axis=1)
    shared = SharedTargets.of(y, by_stimulus(150))
    group = np.array([7] * 9 + [2] * 9)
    each = ridge_search(x, shared, lambdas=LAMBDAS).errors
    grouped = ridge_search(x, shared, lambdas=LAMBDAS, groups=group)
    assert grouped.errors.shape == (5, 3, 2)
    np.testing.assert_allclose(grouped.errors[:, :, 1], each[:, :, :9].sum(2), rtol=1e-4)
    np.testing.assert_allclose(grouped.errors[:, :, 0], each[:, :, 9:].sum(2), rtol=1e-4)
    assert len(set(grouped.lam[:9])) == len(set(grouped.lam[9:])) == 1


def test_lambda_0_is_least_squares_of_least_norm(xy):
    x, y = xy
    x[:, 3] = 2.0  # a dead input
    found = ridge_search(x, SharedTargets.of(y, by_stimulus(len(x))), lambdas=(0.0,), groups="all")
    x64, y64 = x.astype(np.float64), y.astype(np.float64)
    wanted = np.linalg.lstsq(x64 - x64.mean(0), y64 - y64.mean(0), rcond=None)[0]
    np.testing.assert_allclose(found.weights, wanted, rtol=1e-6, atol=1e-8)
    assert np.isfinite(found.held_out).all()


def test_default_values_reach_from_nearly_least_squares_to_nearly_the_mean(xy):
    x, y = xy
    found = ridge_search(x, SharedTargets.of(y, by_stimulus(len(x))))
    _, weights = solved(x, y, found.lambdas[-1])
    assert np.abs(weights).max() < 1e-3
    assert found.lambdas[0] < 1e-2 * np.square(x - x.mean(0)).sum() / x.shape[1]


def test_inputs_far_from_0_give_the_same_errors(xy):
    x, y = xy
    folds = by_stimulus(len(x))
    near = ridge_search(x, SharedTargets.of(y, folds), lambdas=LAMBDAS).errors
    far = ridge_search(
        x.astype(np.float64) + 1e4, SharedTargets.of(y + 1e3, folds), lambdas=LAMBDAS
    ).errors
    np.testing.assert_allclose(far, near, rtol=2e-3)


def test_targets_are_shared_by_the_searches_of_several_windows(xy, rng):
    x, y = xy
    shared = SharedTargets.of(y, by_stimulus(len(x)))
    first = ridge_search(x, shared, lambdas=LAMBDAS)
    ridge_search(rng.standard_normal(x.shape), shared, lambdas=LAMBDAS)
    again = ridge_search(x, shared, lambdas=LAMBDAS)
    np.testing.assert_array_equal(first.errors, again.errors)


def test_groups_must_name_every_target():
    with pytest.raises(ValueError, match=r"shape \(3,\), expected \(4,\)"):
        target_groups(4, np.array([0, 1, 1]))
    with pytest.raises(ValueError, match="groups 'both', expected each, all"):
        target_groups(4, "both")


def test_scores_of_every_value_are_those_of_scikit_learns_grid_search(xy):
    x, y = xy
    folds = by_stimulus(len(x))
    found = ridge_search(x, SharedTargets.of(y, folds), lambdas=LAMBDAS)
    splits = [(fold.train, fold.held_out) for fold in folds]
    search = GridSearchCV(Ridge(), {"alpha": LAMBDAS}, scoring="r2", cv=splits).fit(x, y)
    spread = [np.square(y[f.held_out] - y[f.held_out].mean(0)).sum(0) for f in folds]
    r2 = (1 - found.errors / np.stack(spread)[:, None]).mean(axis=(0, 2))
    np.testing.assert_allclose(r2, search.cv_results_["mean_test_score"], atol=1e-4)


@pytest.mark.parametrize("groups", ["each", "all", np.arange(9) // 4], ids=["each", "all", "fours"])
@pytest.mark.parametrize("n_inputs", [12, 60], ids=["primal", "dual"])
@pytest.mark.parametrize("target_block", [1, 4, 9, 100])
def test_targets_in_blocks_give_what_all_at_once_give(n_inputs, target_block, groups, rng):
    x = rng.standard_normal((50, n_inputs))
    y = x[:, :5] @ rng.standard_normal((5, 9)) + rng.standard_normal((50, 9))
    shared = SharedTargets.of(y, by_stimulus(50))
    whole = ridge_search(x, shared, groups=groups)
    found = ridge_search(x, shared, groups=groups, target_block=target_block)
    np.testing.assert_array_equal(found.lam, whole.lam)
    np.testing.assert_allclose(found.errors, whole.errors, rtol=1e-5)
    np.testing.assert_allclose(found.totals, whole.totals, rtol=1e-12)
    np.testing.assert_allclose(found.weights, whole.weights, atol=1e-10)
    np.testing.assert_allclose(found.held_out, whole.held_out, atol=1e-5)
