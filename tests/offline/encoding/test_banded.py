from __future__ import annotations

import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from himalaya.backend import get_backend, set_backend
from sklearn.kernel_ridge import KernelRidge

from b2g_rt.errors import EncodingError, ProviderError
from offline.encoding.banded import band_candidates, banded_bytes, fit_banded_ridge
from offline.encoding.encode import encode_space
from offline.encoding.himalaya_backend import himalaya_backend
from offline.encoding.statistics import pearson
from offline.features.feature_space import ArrayFeatures
from offline.regression.folds import N_FOLDS, folds_by_stimulus

pytestmark = pytest.mark.timeout(180)

ROOT = Path(__file__).parents[3]
N_TRAIN, N_TEST = 90, 40


@pytest.fixture(scope="module")
def features():
    """Two spaces of 150 features; their means are far from 0, as those of rectified layers are."""
    rng = np.random.default_rng(0)
    spectrum = (np.arange(150) + 1.0) ** -0.7
    return [rng.standard_normal((N_TRAIN + N_TEST, 150)) * spectrum + 3 for _ in range(2)]


@pytest.fixture(scope="module")
def kernels(features):
    train = [x[:N_TRAIN] @ x[:N_TRAIN].T for x in features]
    return train, [x[N_TRAIN:] @ x[:N_TRAIN].T for x in features]


@pytest.fixture(scope="module")
def responses(features):
    """Four electrodes of space 0, four of space 1, four of both, four of neither."""
    rng = np.random.default_rng(1)
    share = np.repeat([[1, 0], [0, 1], [0.7, 0.7], [0, 0]], 4, axis=0)
    clean = [(x - 3)[:, :20] @ rng.standard_normal((20, 16)) for x in features]
    clean = [c / c.std(axis=0) for c in clean]
    noise = 0.5 * rng.standard_normal((N_TRAIN + N_TEST, 16))
    return 5.0 + 30.0 * (share[:, 0] * clean[0] + share[:, 1] * clean[1] + noise)


@pytest.fixture(scope="module")
def fitted(kernels, responses):
    return fit_banded_ridge(kernels[0], responses[:N_TRAIN])


def test_one_space_is_the_kernel_ridge_of_this_room(features, kernels, responses):
    space = ArrayFeatures(
        "VGG1", tuple(str(i) for i in range(N_TRAIN + N_TEST)), features[0].astype(np.float32)
    )
    train, test = space.ids[:N_TRAIN], space.ids[N_TRAIN:]
    ours = encode_space(space, train, test, responses[:N_TRAIN], dtype="float64", form="kernel")
    x = space.values.astype(np.float64)
    kernel, across = x[:N_TRAIN] @ x[:N_TRAIN].T, x[N_TRAIN:] @ x[:N_TRAIN].T
    scale = np.square(x[:N_TRAIN] - x[:N_TRAIN].mean(axis=0)).sum() / N_TRAIN
    # The same values of lambda, in units of this kernel's mean diagonal.
    found = fit_banded_ridge(
        [kernel],
        responses[:N_TRAIN],
        lambdas=ours.lambdas / scale,
        folds=folds_by_stimulus(train, N_FOLDS, 0),
        dtype="float64",
    )
    np.testing.assert_allclose(found.scale, scale, rtol=1e-9)
    same = np.isclose(found.lam * scale, ours.lam)
    # Folds are not centred one by one here: another value may win where two are nearly as good.
    assert same.mean() >= 0.8
    predicted = found.predict([across])
    np.testing.assert_allclose(
        predicted[:, same], ours.predicted[:, same], atol=2e-6 * np.abs(ours.predicted).max()
    )


@pytest.mark.parametrize("lam", [1e-3, 1.0, 1e3])
def test_predictions_are_scikit_learns_at_the_same_lambda(kernels, responses, lam):
    y = responses[:N_TRAIN]
    found = fit_banded_ridge(kernels[0][:1], y, lambdas=[lam])
    k, across = kernels[0][0], kernels[1][0]
    rows = k.mean(axis=1)
    centred = k - rows - rows[:, None] + rows.mean()
    wanted = KernelRidge(alpha=lam * float(found.scale[0]), kernel="precomputed").fit(
        centred, y - y.mean(axis=0)
    )
    across = across - rows - across.mean(axis=1, keepdims=True) + rows.mean()
    np.testing.assert_allclose(
        found.predict(kernels[1][:1]), wanted.predict(across) + y.mean(axis=0), rtol=1e-8
    )


def test_electrodes_find_the_space_that_they_are_of(fitted, kernels, responses):
    r = pearson(fitted.predict(kernels[1]), responses[N_TRAIN:])
    assert (r[:12] > 0.6).all()
    assert (fitted.gamma[0, :4] > 0.8).all()
    assert (fitted.gamma[1, 4:8] > 0.8).all()
    both = fitted.gamma[:, 8:12]
    assert ((both > 0.05) & (both < 0.95)).all()
    np.testing.assert_allclose(fitted.gamma.sum(axis=0), 1.0)
    assert (fitted.held_out_error[12:] > 0.9).all()


def test_two_spaces_together_predict_no_worse_than_the_better_one(fitted, kernels, responses):
    alone = [fit_banded_ridge([k], responses[:N_TRAIN]) for k in kernels[0]]
    each = np.stack([m.held_out_error for m in alone])
    # The corners are among the candidates, so cross-validation cannot do worse, up to rounding.
    assert (fitted.held_out_error <= each.min(axis=0) * (1 + 1e-4)).all()


def test_parts_by_space_and_the_intercept_are_the_prediction(fitted, kernels):
    parts = fitted.predict_by_space(kernels[1])
    assert parts.shape == (2, N_TEST, 16)
    np.testing.assert_allclose(
        parts.sum(axis=0) + fitted.intercept, fitted.predict(kernels[1]), rtol=1e-12
    )


def test_centred_kernels_and_kernels_of_other_scale_give_the_same_predictions(
    fitted, features, kernels, responses
):
    train = [x[:N_TRAIN] - x[:N_TRAIN].mean(axis=0) for x in features]
    test = [x[N_TRAIN:] - x[:N_TRAIN].mean(axis=0) for x in features]
    scales = (1.0, 1e6)
    found = fit_banded_ridge(
        [s * (x @ x.T) for s, x in zip(scales, train, strict=True)], responses[:N_TRAIN]
    )
    across = [s * (t @ x.T) for s, t, x in zip(scales, test, train, strict=True)]
    np.testing.assert_array_equal(found.gamma, fitted.gamma)
    np.testing.assert_allclose(found.predict(across), fitted.predict(kernels[1]), rtol=1e-6)


def test_responses_of_any_scale_are_treated_alike(fitted, kernels, responses):
    found = fit_banded_ridge(kernels[0], 1e-6 * responses[:N_TRAIN])
    np.testing.assert_array_equal(found.gamma, fitted.gamma)
    np.testing.assert_allclose(
        found.predict(kernels[1]), 1e-6 * fitted.predict(kernels[1]), rtol=1e-9
    )


def test_numpy_and_torch_choose_and_predict_alike(kernels, responses):
    y = responses[:N_TRAIN]
    by_torch, by_numpy = (
        fit_banded_ridge(kernels[0], y, on_processor=by, dtype="float64")
        for by in ("torch", "numpy")
    )
    np.testing.assert_array_equal(by_torch.gamma, by_numpy.gamma)
    np.testing.assert_allclose(
        by_torch.predict(kernels[1]), by_numpy.predict(kernels[1]), rtol=1e-8
    )


def test_a_response_or_a_space_that_does_not_vary_disturbs_no_other(kernels, responses, fitted):
    y = responses[:N_TRAIN].copy()
    y[:, 15] = 7.0
    constant = np.full((N_TRAIN, N_TRAIN), 4.0)
    candidates = np.pad(band_candidates(2), ((0, 0), (0, 1)))
    found = fit_banded_ridge([*kernels[0], constant], y, candidates=candidates)
    predicted = found.predict([*kernels[1], np.full((N_TEST, N_TRAIN), 4.0)])
    assert (predicted[:, 15] == 7.0).all()
    np.testing.assert_allclose(predicted[:, :12], fitted.predict(kernels[1])[:, :12], rtol=1e-6)


def test_candidates_are_on_the_simplex_with_its_middle_and_corners():
    found = band_candidates(4, 30)
    assert found.shape == (30, 4)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    assert (found >= 0).all()
    np.testing.assert_array_equal(found[1:5], np.eye(4))
    np.testing.assert_array_equal(found[0], 0.25)
    assert len(band_candidates(4, 2)) == 5
    assert band_candidates(1, 30).tolist() == [[1.0]]


def test_himalaya_gets_its_backend_back_even_after_an_error(kernels, responses):
    set_backend("numpy")
    fit_banded_ridge(kernels[0], responses[:N_TRAIN], candidates=band_candidates(2, 3))
    assert get_backend().name == "numpy"

    def fail():
        with himalaya_backend("cpu"):
            raise RuntimeError(f"inside {get_backend().name}")

    with pytest.raises(RuntimeError, match="inside torch"):
        fail()
    assert get_backend().name == "numpy"


def test_devices_are_named_as_in_the_rest_of_the_room():
    for device, wanted in (("cpu", "numpy"), ("torch", "torch"), ("auto", "numpy")):
        if device == "auto" and torch.cuda.is_available():
            wanted = "torch_cuda"
        with himalaya_backend(device, "numpy") as backend:
            assert backend.name == wanted
    with pytest.raises(ProviderError, match="--device tpu: expected"), himalaya_backend("tpu"):
        pass


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_predicts_what_the_processor_does(kernels, responses, fitted):
    found = fit_banded_ridge(kernels[0], responses[:N_TRAIN], device="cuda")
    close = np.isclose(found.predict(kernels[1]), fitted.predict(kernels[1]), rtol=1e-3)
    assert close.mean() > 0.95


def test_threads_take_turns_with_himalayas_backend():
    seen = []

    def use(name):
        for _ in range(50):
            with himalaya_backend("cpu", name) as backend:
                seen.append(backend.name == name == get_backend().name)

    threads = [threading.Thread(target=use, args=(n,)) for n in ("torch", "numpy") * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 200
    assert all(seen)


def test_nothing_is_warned_of(kernels, responses):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit_banded_ridge(kernels[0], responses[:N_TRAIN], lambdas=[1e-9, 1.0])
    assert not caught


def test_missing_values_and_wrong_shapes_are_refused(kernels, responses):
    y = responses[:N_TRAIN].copy()
    with pytest.raises(EncodingError, match=r"kernels of shape \(90, 90\), \(90, 90\) and resp"):
        fit_banded_ridge(kernels[0], y[:-1])
    y[3, 2] = np.nan
    with pytest.raises(EncodingError, match="1 values of the responses are missing"):
        fit_banded_ridge(kernels[0], y)


MEASURED = """
import sys
import numpy as np
from pathlib import Path
from offline.encoding.banded import fit_banded_ridge
from tests.own_memory import own_memory

n, n_spaces, n_targets, dtype = *map(int, sys.argv[1:4]), sys.argv[4]
rng = np.random.default_rng(0)
kernels = [np.cov(rng.standard_normal((n, n))) for _ in range(n_spaces)]
responses = rng.standard_normal((n, n_targets))
kept = np.eye(n_spaces)[:2]
# Once small: what libraries take when they are first used is not counted.
fit_banded_ridge([k[:40, :40] for k in kernels], responses[:40], candidates=kept, dtype=dtype)

Path("/proc/self/clear_refs").write_text("5")
before = own_memory("VmRSS")
fit_banded_ridge(kernels, responses, candidates=kept, dtype=dtype)
sys.stdout.write(str(own_memory() - before))
"""


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_memory_is_what_is_counted():
    command = [sys.executable, "-c", MEASURED, "600", "4", "500", "float32"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=170, cwd=ROOT
    )
    counted = banded_bytes(600, 4, 500, "float32")
    assert 0.25 * counted < int(done.stdout) < counted
