from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from b2g_rt.mua.filter_design import MuaSpec, design
from offline.recordings.both_ways import BothWays

FILTERS = design(MuaSpec())


@pytest.mark.parametrize("name", ["band_pass", "low_pass", "notches"])
@pytest.mark.parametrize("n", [33, 1000, 1027])
def test_it_is_scipy_s_sosfiltfilt(name, n):
    sos = getattr(FILTERS, name)
    x = np.random.default_rng(n).standard_normal((n, 3)) + [0, 10, 100]
    given = x.copy()
    np.testing.assert_allclose(
        BothWays(sos)(x), signal.sosfiltfilt(sos, x, axis=0), rtol=1e-9, atol=1e-9
    )
    np.testing.assert_array_equal(x, given)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_stretches_shorter_than_the_padding_are_filtered(n):
    x = np.random.default_rng(n).standard_normal((n, 2))
    expected = signal.sosfiltfilt(FILTERS.notches, x, axis=0, padlen=n - 1)
    np.testing.assert_allclose(BothWays(FILTERS.notches)(x), expected, atol=1e-9)
