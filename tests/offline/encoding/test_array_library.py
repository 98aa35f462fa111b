from __future__ import annotations

import numpy as np
import pytest

from b2g_rt.errors import ProviderError
from offline.encoding.array_library import library_of


def positive(rng, n):
    x = rng.standard_normal((n, n + 5))
    return x @ x.T


@pytest.mark.parametrize("device", ["cpu", "torch"])
def test_a_decomposition_gives_the_matrix_back(device, rng):
    library, square = library_of(device), positive(rng, 20)
    values, vectors = (library.numpy(one) for one in library.eigh(library.array(square, "float64")))
    assert (np.diff(values) >= 0).all()
    np.testing.assert_allclose((vectors * values) @ vectors.T, square, atol=1e-10)


@pytest.mark.parametrize("device", ["cpu", "torch"])
def test_a_solve_solves(device, rng):
    library, square, right = library_of(device), positive(rng, 20), rng.standard_normal((20, 3))
    found = library.solved(library.array(square.copy(), "float64"), library.array(right, "float64"))
    np.testing.assert_allclose(square @ library.numpy(found), right, atol=1e-9)


@pytest.mark.parametrize("device", ["cpu", "torch"])
def test_what_is_not_positive_definite_is_not_solved(device):
    library = library_of(device)
    with pytest.raises(np.linalg.LinAlgError):
        library.solved(
            library.array(-np.eye(3), "float64"), library.array(np.ones((3, 1)), "float64")
        )


# More rows than a strip of torch's.
@pytest.mark.parametrize("device", ["cpu", "torch"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sums_are_the_products_of_all_blocks(device, dtype, rng):
    n_train, n_other = 1100, 4
    sums = library_of(device).sums(n_train, n_other, dtype)
    blocks = [rng.standard_normal((n_train + n_other, width)).astype(dtype) for width in (9, 3)]
    for block in blocks:
        sums.add(block)
    square, across = sums.totals()
    whole = np.concatenate(blocks, axis=1).astype(np.float64)
    wanted = whole @ whole[:n_train].T
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(np.triu(square), np.triu(wanted[:n_train]), atol=tolerance)
    np.testing.assert_allclose(across, wanted[n_train:], atol=tolerance)


def test_auto_is_a_gpu_only_where_there_is_one():
    import torch

    assert library_of("auto").shares_processor is not torch.cuda.is_available()


@pytest.mark.parametrize("device", ["tpu", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(device):
    with pytest.raises(ProviderError, match=f"--device {device}"):
        library_of(device)
