from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d

from offline.features.halving import halved


@pytest.mark.parametrize("shape", [(112, 112), (56, 56), (6, 8), (7, 5), (1, 1)], ids=str)
def test_halving_is_scipys_same_convolution_and_every_second_sample(rng, shape):
    maps = rng.standard_normal((2, 3, *shape)).astype(np.float32)
    kernel = np.full((2, 2), np.exp(-1.0))
    wanted = [[convolve2d(m, kernel, mode="same")[::2, ::2] for m in picture] for picture in maps]
    found = halved(torch.from_numpy(maps))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), np.array(wanted), rtol=0, atol=2e-6)


def test_the_even_kernel_reaches_up_and_left_and_is_not_normalised():
    one = torch.zeros(1, 1, 4, 4)
    one[0, 0, 1, 1] = 1.0
    # Entry (1, 1) lies in the neighbourhood that ends at row 2 and column 2, which is sample (1, 1) of the half.
    wanted = torch.zeros(1, 1, 2, 2)
    wanted[0, 0, 1, 1] = np.exp(-1.0)
    torch.testing.assert_close(halved(one), wanted)
    constant = halved(torch.ones(1, 1, 4, 4))[0, 0]
    np.testing.assert_allclose(constant * np.e, [[1, 2], [2, 4]], rtol=1e-6)
