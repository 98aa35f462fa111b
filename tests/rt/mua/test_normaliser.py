from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from b2g_rt.contracts.bundle import Normalisation
from b2g_rt.mua.normaliser import Normaliser

MEAN, SD = np.array([10.0, 20.0, 5.0]), np.array([2.0, 4.0, 0.0])


def normaliser(kind: str, **spec: float) -> Normaliser:
    return Normaliser(Normalisation(kind=kind, **spec), MEAN, SD, 1000.0)


def recording(n: int, seed: int = 3) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((n, 3))
    return (MEAN + noise * [2.0, 4.0, 0.0] + [1.0, 0.0, 0.0]).astype(np.float32)


def test_frozen_gives_z_units_and_a_flat_electrode_zero():
    z = normaliser("frozen").push(np.array([[12, 24, 5], [8, 20, 9]], np.float32))
    np.testing.assert_allclose(z, [[1, 1, 0], [-1, 0, 0]])


@pytest.mark.parametrize("kind", ["frozen", "running"])
@given(cuts=st.lists(st.integers(1, 400), min_size=1, max_size=20))
def test_chunking_does_not_change_a_bit(kind, cuts):
    raw = recording(sum(cuts))
    whole = normaliser(kind, block_samples=100, time_constant_s=1.0).push(raw)
    parts = normaliser(kind, block_samples=100, time_constant_s=1.0)
    stops = np.cumsum(cuts)
    pieces = [parts.push(raw[b - n : b]) for b, n in zip(stops, cuts, strict=True)]
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


@given(at=st.integers(1, 999))
def test_the_future_does_not_change_the_past(at):
    raw = recording(1000)
    changed = raw.copy()
    changed[at:] += 100
    run = [
        normaliser("running", block_samples=50, time_constant_s=0.2).push(x) for x in (raw, changed)
    ]
    np.testing.assert_array_equal(run[0][:at], run[1][:at])


def test_running_finds_the_day_s_offset_and_gain():
    raw = np.random.default_rng(0).standard_normal((60_000, 3)) * [6.0, 2.0, 1.0] + [30.0, 0.0, 7.0]
    z = normaliser("running", block_samples=1000, time_constant_s=5.0).push(raw.astype(np.float32))
    np.testing.assert_allclose(z[-10_000:].mean(axis=0), 0, atol=0.1)
    np.testing.assert_allclose(z[-10_000:].std(axis=0), 1, atol=0.1)


def test_samples_that_are_not_finite_pass_and_are_not_learnt_from():
    raw = recording(300)
    raw[20, 0] = np.nan
    raw[:, 1] = np.inf
    running = normaliser("running", block_samples=100, time_constant_s=1.0)
    z = running.push(raw)
    assert np.isnan(z[20, 0])
    assert np.isfinite(running.mean).all()
    assert running.mean[1] == MEAN[1]


def test_one_saturated_sample_does_not_widen_the_scale_for_the_day():
    raw = recording(2000)
    raw[150, 0] = 32767.0
    running = normaliser("running", block_samples=100, time_constant_s=5.0)
    z = running.push(raw)
    assert z[150, 0] > 1000
    assert np.sqrt(running.variance[0]) < 2 * SD[0]


def test_lost_samples_move_the_blocks_of_the_sample_clock():
    raw = recording(200)
    whole = normaliser("running", block_samples=100, time_constant_s=1.0)
    gapped = normaliser("running", block_samples=100, time_constant_s=1.0)
    whole.push(raw)
    gapped.push(raw[:60])
    gapped.skip(40)
    assert not np.array_equal(gapped.mean, MEAN)
    gapped.push(raw[100:])
    assert np.abs(gapped.mean - whole.mean).max() < 0.5
    gapped.skip(100_000)
    assert np.isfinite(gapped.mean).all()
