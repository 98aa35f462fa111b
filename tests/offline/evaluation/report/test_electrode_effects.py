from __future__ import annotations

import numpy as np
import pytest

from offline.evaluation.report.electrode_effects import electrode_effects


def test_for_a_linear_decoder_it_is_the_norm_of_the_electrodes_weights(linear, rng):
    mean = rng.standard_normal((3, linear.down.shape[1]))
    found = electrode_effects(linear, mean)
    wanted = np.linalg.norm(linear.down[-1].astype(np.float64), axis=1)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(electrode_effects(linear, mean[:1]), 0.0, atol=1e-6)


class Remembers:
    """Gives what it saw before times what it sees now: nothing without a memory."""

    n_state = 1

    def step(self, features, window_idx, state):
        return features * state, features[:, :1]


def test_a_memory_is_filled_by_the_mean_response():
    mean = np.array([[3.0, 9.0], [0.5, 0.5]])
    # The remembered number is the first electrode's in the window before.
    np.testing.assert_allclose(electrode_effects(Remembers(), mean), [3.0, 3.0])
    with pytest.raises(ValueError, match="unpack"):
        electrode_effects(Remembers(), mean[0])
