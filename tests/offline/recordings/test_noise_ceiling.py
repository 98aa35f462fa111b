"""Against slow direct computations, the true response, and the simulated macaque's ground truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offline.recordings.noise_ceiling import variance_components
from offline.recordings.reliability import repetitions


@pytest.fixture
def gappy(rng):
    """Six repetitions of 40 stimuli, 7 channels; 40 % missing, one channel without a repetition."""
    signal = rng.standard_normal((1, 40, 7))
    values = 20.0 + signal + rng.standard_normal((6, 40, 7))
    values[rng.random(values.shape) < 0.4] = np.nan
    values[1:, :, 3] = np.nan
    return values


def test_variance_components_equal_the_slow_direct_computation(gappy):
    found = variance_components(gappy)
    for c in (0, 1, 2, 4, 5, 6):
        groups = [v[np.isfinite(v)] for v in gappy[:, :, c].T]
        groups = [g for g in groups if len(g)]
        noise = sum(((g - g.mean()) ** 2).sum() for g in groups) / sum(len(g) - 1 for g in groups)
        between = np.var([g.mean() for g in groups], ddof=1)
        signal = max(0.0, between - noise * np.mean([1 / len(g) for g in groups]))
        assert found.noise[c] == pytest.approx(noise, rel=1e-10)
        assert found.signal[c] == pytest.approx(signal, rel=1e-10)


def test_without_a_repetition_there_is_no_ceiling(gappy):
    found = variance_components(gappy)
    assert np.isnan([found.noise[3], found.signal[3], found.noise_ceiling()[3]]).all()


def test_the_ceiling_is_what_the_true_response_reaches(rng):
    signal = rng.standard_normal((1, 4000, 3))
    values = signal + np.array([0.5, 1.0, 3.0]) * rng.standard_normal((10, 4000, 3))
    shares = variance_components(values)
    for n in (1, 10):
        reached = [
            np.corrcoef(signal[0, :, c], values[:n, :, c].mean(axis=0))[0, 1] for c in range(3)
        ]
        np.testing.assert_allclose(shares.noise_ceiling(n), reached, atol=0.02)


def test_the_explained_share_is_the_q_of_the_simulated_macaque(rng, small_macaque):
    w = np.repeat(small_macaque.latents.draw(rng, 300), 8, axis=0)
    truth = small_macaque.truth()
    noise = np.sqrt(1 - truth.q) * rng.standard_normal((len(w), small_macaque.channels.n_channels))
    found = repetitions(
        small_macaque.response(w) + noise, np.repeat(np.arange(300), 8).astype(str).tolist()
    )
    q = variance_components(found.values).explained_share()
    np.testing.assert_allclose(q, truth.q, atol=0.12)
    assert abs(np.mean(q - truth.q)) < 0.01


def test_what_does_not_vary_has_a_ceiling_of_0(rng):
    values = rng.standard_normal((5, 30, 2))
    values[:, :, 1] = 0.1
    shares = variance_components(values)
    assert shares.explained_share()[1] == 0
    assert shares.noise_ceiling()[1] == 0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), gain=st.floats(0.01, 100), offset=st.floats(-100, 100))
def test_the_ceiling_knows_neither_gain_nor_offset_and_rises_with_repetitions(seed, gain, offset):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((1, 12, 3)) + rng.standard_normal((4, 12, 3))
    shares = variance_components(values)
    moved = variance_components(gain * values[rng.permutation(4)] + offset)
    np.testing.assert_allclose(moved.explained_share(), shares.explained_share(), atol=1e-9)
    ceilings = np.stack([shares.noise_ceiling(n) for n in (1, 2, 10, 1e9)])
    assert (np.diff(ceilings, axis=0) >= 0).all()
    assert ((ceilings >= 0) & (ceilings <= 1)).all()
