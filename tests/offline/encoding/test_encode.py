from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.kernel_ridge import KernelRidge

from b2g_rt.errors import ConfigError, EncodingError
from offline.encoding import kernels
from offline.encoding.encode import encode_space
from offline.features.feature_space import ArrayFeatures
from offline.scheduling.local_workers import LocalWorkers

N_TRAIN, N_TEST, T = 60, 15, 4
RULES = ("cross_validation", "degrees_of_freedom")


def drawn(rng, n_features):
    x = (rng.standard_normal((N_TRAIN + N_TEST, n_features)) + 2.0).astype(np.float32)
    ids = tuple(f"s{i}" for i in range(len(x)))
    weights = rng.standard_normal((5, T)) * np.array([0.1, 0.5, 1.0, 3.0])
    y = x[:, :5] @ weights + rng.standard_normal((len(x), T)) + 4.0
    return ArrayFeatures("VGG3", ids, x), y[:N_TRAIN]


def split(space):
    return space.ids[:N_TRAIN], space.ids[N_TRAIN:]


def encoded(space, y, **kwargs):
    train, test = split(space)
    return encode_space(space, train, test, y, **kwargs)


# 20: fewer features than a fold learns from (48).
@pytest.fixture(params=[20, 300], ids=["few", "many"])
def data(request, rng):
    return drawn(rng, request.param)


def by_scikit_learn(space, y, lam, centre=True):
    x = space.values.astype(np.float64)
    x_mean, y_mean = x[:N_TRAIN].mean(axis=0) * centre, y.mean(axis=0) * centre
    x, y = x - x_mean, y - y_mean
    found = x[N_TRAIN:] @ np.linalg.lstsq(x[:N_TRAIN], y, rcond=None)[0]
    above = np.broadcast_to(lam, T) > 0
    if above.any():
        model = KernelRidge(alpha=np.broadcast_to(lam, T)[above]).fit(x[:N_TRAIN], y[:, above])
        found[:, above] = model.predict(x[N_TRAIN:])
    return found + y_mean


@pytest.mark.parametrize("device", ["cpu", "torch"])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predictions_are_scikit_learns_at_the_chosen_lambda(data, rule, dtype, device):
    space, y = data
    found = encoded(space, y, rule=rule, dtype=dtype, device=device)
    assert found.form == ("features" if space.n_features == 20 else "kernel")
    assert found.predicted.dtype == dtype
    wanted = by_scikit_learn(space, y, found.lam)
    worst = (np.abs(found.predicted - wanted) / wanted.std(axis=0)).max()
    assert worst < (1e-4 if dtype == "float32" else 1e-6)


@pytest.mark.parametrize("lam", [0.5, 500.0])
def test_a_lambda_that_is_given_is_taken(data, lam):
    space, y = data
    found = encoded(space, y, lam=lam, dtype="float64")
    assert (found.lam == lam).all()
    assert found.lambdas.size == found.errors.size == 0
    wanted = by_scikit_learn(space, y, lam)
    assert (np.abs(found.predicted - wanted) / wanted.std(axis=0)).max() < 1e-6


@pytest.mark.parametrize("rule", RULES)
def test_the_notebooks_way_takes_no_mean_off(data, rule):
    space, y = data
    found = encoded(space, y, rule=rule, centre=False, dtype="float64")
    assert (found.map.intercept == 0).all()
    wanted = by_scikit_learn(space, y, found.lam, centre=False)
    assert (np.abs(found.predicted - wanted) / wanted.std(axis=0)).max() < 1e-6


@pytest.mark.parametrize("centre", [True, False])
def test_the_map_predicts_the_same_of_test_stimuli_and_of_any_others(data, centre):
    space, y = data
    found = encoded(space, y, centre=centre)
    sd = y.std(axis=0)
    by_hand = found.map.inputs @ found.map.weights + found.map.intercept
    assert (np.abs(by_hand - found.predicted) / sd).max() < 1e-4
    again = found.map.predict(found.map.inputs_of(space, space.ids[N_TRAIN:]))
    assert (np.abs(again - found.predicted) / sd).max() < 1e-4
    few = found.map.inputs_of(space, [space.ids[70], space.ids[3]])
    np.testing.assert_allclose(few[0], found.map.inputs[10], rtol=1e-3, atol=1e-3)


def test_a_wide_model_holds_one_weight_per_training_stimulus_and_none_per_feature(rng):
    space, y = drawn(rng, 300)
    found = encoded(space, y)
    assert found.map.weights.shape == (N_TRAIN, T)
    assert found.map.inputs.shape == (N_TEST, N_TRAIN)


@pytest.mark.parametrize("rule", RULES)
def test_features_are_read_once_for_all_electrodes_values_and_folds(rng, rule):
    space, y = drawn(rng, 300)
    read: list[int] = []

    class Counted:
        name, ids, n_features = space.name, space.ids, space.n_features

        def block(self, rows, columns):
            read.extend(range(columns.start, columns.stop))
            return space.block(rows, columns)

    encoded(Counted(), y, rule=rule)
    assert read == list(range(300))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999), n_features=st.integers(1, 48), rule=st.sampled_from(RULES))
def test_primal_and_dual_form_predict_the_same(seed, n_features, rule):
    rng = np.random.default_rng(seed)
    space, y = drawn(rng, max(n_features, 5))
    kwargs = {"rule": rule, "dtype": "float64", "lambdas": (0.5, 20.0, 1000.0)}
    primal, dual = (encoded(space, y, form=form, **kwargs) for form in ("features", "kernel"))
    assert (primal.form, dual.form) == ("features", "kernel")
    # Where two values do equally well, rounding may choose either.
    same = np.isclose(primal.lam, dual.lam, rtol=1e-6)
    tie = np.sort(dual.errors, axis=0)
    assert (same | (tie[1] < tie[0] * 1.001)).all()
    np.testing.assert_allclose(primal.predicted[:, same], dual.predicted[:, same], atol=2e-5)


@pytest.mark.parametrize("rule", RULES)
def test_targets_of_a_group_share_the_value_that_is_best_for_all_of_them(data, rule):
    space, y = data
    each = encoded(space, y, rule=rule)
    group = np.array([1, 0, 1, 1])
    found = encoded(space, y, rule=rule, groups=group)
    np.testing.assert_allclose(found.errors, each.errors, rtol=1e-6)
    for g in (0, 1):
        best = each.lambdas[each.errors[:, group == g].sum(axis=1).argmin()]
        assert set(found.lam[group == g]) == {best}
    one = encoded(space, y, rule=rule, groups="all")
    assert len(set(one.lam)) == 1


def test_electrodes_with_signal_get_less_regularisation_than_noise(rng):
    space, y = drawn(rng, 300)
    y[:, 0] = rng.standard_normal(N_TRAIN)
    y[:, 3] = space.values[:N_TRAIN].astype(np.float64) @ np.ones(300)
    found = encoded(space, y)
    assert found.lam[3] < found.lam[0]


def test_workers_give_the_same(data, monkeypatch):
    space, y = data
    monkeypatch.setattr(kernels, "FEATURES_PER_PIECE", 64)
    alone = encoded(space, y)
    steps: list[int] = []
    found = encoded(space, y, workers=LocalWorkers(2), progress=steps.append)
    np.testing.assert_array_equal(found.lam, alone.lam)
    np.testing.assert_allclose(found.predicted, alone.predicted, rtol=1e-5)
    assert sum(steps) == kernels.n_pieces(space)


def test_repeats_of_a_training_stimulus_are_never_on_both_sides(rng):
    # Features tell stimuli apart: were a repeat learnt from, the noise of its stimulus would be predicted.
    values = rng.standard_normal((45, 400)).astype(np.float32)
    space = ArrayFeatures("w", tuple(map(str, range(45))), values)
    noise = rng.standard_normal((30, 6))
    ids = [str(i) for i in range(30) for _ in range(4)]
    found = encode_space(space, ids, list(space.ids[30:]), np.repeat(noise, 4, axis=0))
    assert (found.errors.min(axis=0) > 0.7 * 4 * np.square(noise).sum(axis=0)).all()


@pytest.mark.parametrize("rule", RULES)
def test_responses_that_are_not_finite_are_one_line(data, rule):
    space, y = data
    y[7, 2] = np.nan
    with pytest.raises(EncodingError, match=r"1 of 60 .* \(the first is s7, target 2\)"):
        encoded(space, y, rule=rule)


def test_features_that_are_not_finite_are_one_line(data):
    space, y = data
    values = space.values.copy()
    values[62, 4] = np.inf
    with pytest.raises(EncodingError, match=r"first is s62, feature 4\)"):
        encoded(replace(space, values=values), y)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("value", [0.0, 1e4 / 3])
def test_features_that_do_not_vary_are_one_line(data, value, dtype):
    space, y = data
    same = replace(space, values=np.full_like(space.values, value))
    with pytest.raises(EncodingError, match="the same for all 60 stimuli"):
        encoded(same, y, dtype=dtype)


def test_features_that_vary_a_little_about_a_large_mean_are_fitted(rng):
    space, y = drawn(rng, 300)
    far = replace(space, values=space.values + np.float32(1e4))
    found = encoded(far, y, form="kernel", lam=50.0)
    wanted = by_scikit_learn(far, y, 50.0)
    assert (np.abs(found.predicted - wanted) / wanted.std(axis=0)).max() < 1e-4


def test_a_stimulus_without_features_is_one_line(data):
    space, y = data
    train, test = split(space)
    with pytest.raises(EncodingError, match=r"features VGG3: 2 of 17 .*first is absent\)"):
        encode_space(space, train, [*test, "absent", "too"], y)
    found = encode_space(space, train, test, y)
    with pytest.raises(EncodingError, match="1 of 1 stimuli have none"):
        found.map.inputs_of(space, ["absent"])


@pytest.mark.parametrize("n", [1, 2])
def test_too_few_training_stimuli_are_one_line(data, n):
    space, y = data
    train, test = split(space)
    with pytest.raises(EncodingError, match=f"{n} training stimuli, expected at least 3"):
        encode_space(space, train[:n], test, y[:n])


def test_one_stimulus_shown_often_is_one_line(data):
    space, y = data
    with pytest.raises(EncodingError, match="1 distinct training stimulus, expected at least 2"):
        encode_space(space, ["s1"] * N_TRAIN, space.ids[N_TRAIN:], y)


@pytest.mark.parametrize("rule", RULES)
def test_three_stimuli_are_fitted(data, rule):
    space, y = data
    train, test = split(space)
    found = encode_space(space, train[:3], test, y[:3], rule=rule)
    assert np.isfinite(found.predicted).all()


def test_an_electrode_that_never_varies_is_predicted_as_it_is(data):
    space, y = data
    y[:, 1] = 2.5
    for rule in RULES:
        found = encoded(space, y, rule=rule)
        np.testing.assert_allclose(found.predicted[:, 1], 2.5, rtol=1e-6)


def test_responses_of_another_length_are_refused(data):
    space, y = data
    with pytest.raises(ValueError, match=r"responses of shape \(59, 4\), expected \(60, targets\)"):
        encoded(space, y[1:])


def test_memory_that_a_decomposition_does_not_fit_into_is_refused_before_anything_is_read(rng):
    space, y = drawn(rng, 300)
    with pytest.raises(ConfigError, match="the kernel of 60 training stimuli takes"):
        encoded(space, y, memory=48 * 60**2 - 1)


@pytest.mark.parametrize("kwargs", [{"lam": 0.0}, {"lam": np.nan}, {"lambdas": (1.0, -2.0)}])
def test_a_lambda_that_is_not_above_0_is_one_line(data, kwargs):
    with pytest.raises(EncodingError, match="lambda (0|nan|-2), expected a number above 0"):
        encoded(*data, **kwargs)


def test_there_may_be_no_test_stimuli(data):
    space, y = data
    found = encode_space(space, split(space)[0], [], y)
    assert found.predicted.shape == (0, T)
    whole = encoded(space, y)
    np.testing.assert_allclose(found.map.weights, whole.map.weights, rtol=1e-5, atol=1e-7)


def test_no_electrodes_are_one_line(data):
    space, y = data
    with pytest.raises(EncodingError, match="responses of no electrode"):
        encoded(space, y[:, :0])
