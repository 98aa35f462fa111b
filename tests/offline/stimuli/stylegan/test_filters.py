"""The designed filters are the originals' buffers."""

from __future__ import annotations

import numpy as np
import pytest

from offline.stimuli.stylegan import filters
from tests.offline.stimuli.golden_networks import NAMES, golden


@pytest.mark.parametrize("name", NAMES)
def test_every_filter_is_the_originals(name):
    one = golden(name)
    n_compared = 0
    for layer in one.spec.layers:
        for key, design in (("up_filter", filters.up_filter), ("down_filter", filters.down_filter)):
            expected = one.tensors.get(f"synthesis.{layer.name}.{key}")
            found = design(layer)
            if expected is None:
                assert found is None
                continue
            assert found is not None
            np.testing.assert_allclose(found, expected.numpy(), atol=1e-7)
            n_compared += 1
    assert n_compared == 2 * (len(one.spec.layers) - 1)


@pytest.mark.parametrize("taps", [6, 7, 12, 24])
def test_a_radial_filter_sums_to_one_and_does_not_change_when_it_is_turned(taps):
    kernel = filters.radial(taps, 2.0, 12.0, 32.0)
    assert kernel.shape == (taps, taps)
    assert kernel.sum() == pytest.approx(1)
    np.testing.assert_allclose(kernel, np.rot90(kernel), atol=1e-15)
    np.testing.assert_allclose(kernel, kernel.T, atol=1e-15)


def test_a_radial_filter_with_a_tap_in_the_middle_is_smooth_there():
    # The limit of the jinc at 0 stands in for 0 / 0: the middle is the largest tap, close to its neighbours.
    kernel = filters.radial(25, 2.0, 4.0, 128.0)
    assert np.isfinite(kernel).all()
    assert kernel.argmax() == 12 * 25 + 12
    assert kernel[12, 12] < 1.1 * kernel[12, 13]


def test_a_separable_filter_passes_what_is_below_its_cutoff():
    taps = filters.separable(48, 8.0, 8.0, 64.0)
    gain = np.abs(np.fft.rfft(taps, 6400))
    hz = np.fft.rfftfreq(6400, 1 / 64.0)
    assert gain[hz < 2].min() > 0.98
    assert gain[hz > 14].max() < 0.02
