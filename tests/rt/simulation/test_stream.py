"""The stream is the same however it is asked for, and holds what the animal answered."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2g_rt.contracts.channels import ArraySlot, ChannelMap, brain2gan_channels
from b2g_rt.simulation.latent_space import LatentSpace, face_latents
from b2g_rt.simulation.macaque import Macaque
from b2g_rt.simulation.presets import faces_spec
from b2g_rt.simulation.protocol import Protocol
from b2g_rt.simulation.stream import SimulatedStream

CHANNELS = ChannelMap(
    192, (ArraySlot(0, "V1", 0), ArraySlot(1, "V4", 64, dead=True), ArraySlot(2, "IT", 128))
)
LATENTS: LatentSpace = face_latents()
MACAQUE = Macaque(faces_spec(), CHANNELS, LATENTS)
W = LATENTS.draw(np.random.default_rng(0), 5)
STREAM = SimulatedStream(MACAQUE, W, Protocol(), seed=11)
WHOLE = next(STREAM.blocks(STREAM.n_samples))[1]


def test_the_stream_has_all_samples_and_columns() -> None:
    assert WHOLE.shape == (STREAM.n_samples, STREAM.n_columns) == (3800, 192)
    assert WHOLE.dtype == np.float32
    assert np.isfinite(WHOLE).all()


@given(n_samples=st.integers(1, 4500))
@settings(max_examples=25, deadline=None)
def test_the_same_numbers_come_whatever_the_block_size(n_samples: int) -> None:
    at = 0
    for start, block in STREAM.blocks(n_samples):
        assert start == at
        assert len(block) == min(n_samples, STREAM.n_samples - start)
        np.testing.assert_array_equal(block, WHOLE[start : start + len(block)])
        at += len(block)
    assert at == STREAM.n_samples


def test_blocks_are_the_callers_own() -> None:
    blocks = STREAM.blocks(700)
    _, first = next(blocks)
    first[:] = -1
    _, second = next(blocks)
    np.testing.assert_array_equal(second, WHOLE[700:1400])


def test_another_seed_gives_other_noise_around_the_same_responses() -> None:
    other = next(SimulatedStream(MACAQUE, W, Protocol(), seed=12).blocks(4000))[1]
    assert abs(np.corrcoef(other[:300, 0], WHOLE[:300, 0])[0, 1]) < 0.3
    np.testing.assert_allclose(other.mean(axis=0), WHOLE.mean(axis=0), rtol=0.05)


def test_averaged_trials_show_each_electrodes_response_at_its_latency() -> None:
    w = np.repeat(LATENTS.draw(np.random.default_rng(3), 1), 400, axis=0)
    stream = SimulatedStream(MACAQUE, w, Protocol(), seed=5)
    data = next(stream.blocks(stream.n_samples))[1][:, CHANNELS.stream_idx]
    truth = MACAQUE.truth()
    # Trials first in a run alone: no response to the image before reaches into them.
    mean = np.mean([data[o - 100 : o + 300] for o in stream.onsets[::4]], axis=0)
    z = (mean - truth.baseline_uv) / truth.scale_uv
    for roi, (start, stop) in (("V1", (25, 125)), ("IT", (75, 175))):
        rows = CHANNELS.channels_of(roi)
        found = z[100 + start : 100 + stop, rows].mean(axis=0)
        expected = MACAQUE.response(w[:1])[0, rows]
        assert np.corrcoef(found, expected)[0, 1] > 0.97
        assert found - expected == pytest.approx(np.zeros(64), abs=0.45)
    assert np.abs(z[:100].mean(axis=0)).max() < 0.45


def test_dead_columns_carry_noise_but_no_response() -> None:
    dead = WHOLE[:, 64:128]
    assert (dead.std(axis=0) > 0).all()
    onsets = STREAM.onsets
    driven = np.mean([dead[o + 40 : o + 200].mean() for o in onsets])
    idle = np.mean([dead[o - 100 : o].mean() for o in onsets])
    assert driven == pytest.approx(idle, abs=0.01)


def test_mua_stays_above_zero() -> None:
    stream = SimulatedStream(Macaque(faces_spec(), brain2gan_channels(), LATENTS), W, Protocol(), 1)
    assert min(block.min() for _, block in stream.blocks(1000)) > 0


def test_blocks_of_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="expected at least 1"):
        next(STREAM.blocks(0))


def test_960_channels_are_simulated_at_least_15_times_faster_than_real_time() -> None:
    macaque = Macaque(faces_spec(), brain2gan_channels(), LATENTS)
    stream = SimulatedStream(macaque, LATENTS.draw(np.random.default_rng(1), 20), Protocol(), 1)
    # The median block in the thread's own CPU time: what else runs on the machine counts little.
    spent_s = []
    blocks = stream.blocks(1000)
    for _ in range(12):
        start = time.thread_time()
        next(blocks)
        spent_s.append(time.thread_time() - start)
    assert 1.0 / np.median(spent_s) > 15
