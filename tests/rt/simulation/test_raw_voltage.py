from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.mua.envelope import MuaEnvelope
from b2g_rt.mua.filter_design import MuaSpec
from b2g_rt.simulation.disturbances import DisturbanceSpec, DisturbedStream, Stream
from b2g_rt.simulation.latent_space import face_latents
from b2g_rt.simulation.macaque import Macaque
from b2g_rt.simulation.presets import faces_spec
from b2g_rt.simulation.protocol import Protocol
from b2g_rt.simulation.raw_voltage import RawVoltage, VoltageSpec
from b2g_rt.simulation.stream import SimulatedStream

CHANNELS = ChannelMap(64, (ArraySlot(0, "V1", 0, dead_electrodes=tuple(range(16, 64))),))
LATENTS = face_latents()
W = LATENTS.draw(np.random.default_rng(0), 4)
MUA = SimulatedStream(Macaque(faces_spec(), CHANNELS, LATENTS), W, Protocol(), seed=11)
RAW = RawVoltage(MUA, VoltageSpec(), seed=1)


@pytest.mark.parametrize("n", [777, 30_000])
def test_the_same_numbers_come_whatever_the_block_size(n):
    for (start, block), (again, other) in zip(RAW.blocks(n), RAW.blocks(n), strict=False):
        assert start == again
        np.testing.assert_array_equal(block, other)
        if start > 60_000:
            break
    whole = next(RAW.blocks(60_000))[1]
    parts = []
    for start, block in RAW.blocks(n):
        if start >= 60_000:
            break
        parts.append(block)
    np.testing.assert_array_equal(np.concatenate(parts)[:60_000], whole)


def test_voltage_is_thirty_times_the_mua():
    assert RAW.n_samples == 30 * MUA.n_samples
    np.testing.assert_array_equal(RAW.onsets, 30 * MUA.onsets)


class Modulated:
    """The stream with activity that rises and falls by 80 % twice a second."""

    n_trials, n_samples, n_columns, onsets = 4, MUA.n_samples, MUA.n_columns, MUA.onsets

    def blocks(self, n_samples: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        for start, block in MUA.blocks(n_samples):
            turn = 2 * np.pi * np.arange(start, start + len(block)) / 500
            yield start, block * (1 + 0.8 * np.sin(turn))[:, None].astype(np.float32)


def mua_of(stream: Stream, n: int) -> NDArray[np.float32]:
    chain = MuaEnvelope(MuaSpec(), stream.n_columns)
    parts = [chain.push(block) for start, block in stream.blocks(3000) if start < n]
    return np.concatenate(parts)[20:]


def test_the_chain_finds_the_activity_that_made_the_spikes():
    truth = next(Modulated().blocks(MUA.n_samples))[1][20:]
    found = mua_of(RawVoltage(Modulated(), VoltageSpec(), seed=1), 10**6)
    bins = [x[: 20 * (len(x) // 20)].reshape(-1, 20, 64).mean(axis=1) for x in (found, truth)]
    r = [np.corrcoef(bins[0][:, c], bins[1][:, c])[0, 1] for c in range(16)]
    assert min(r) > 0.7
    assert found[:, :16].mean() > 1.5 * found[:, 16:].mean()


def test_line_noise_on_the_voltage_hardly_reaches_the_mua():
    loud = DisturbedStream(RAW, DisturbanceSpec(line_uv=20.0), seed=3, rate_hz=30_000)
    plain, found = (mua_of(stream, 60_000)[:, :16] for stream in (RAW, loud))
    assert np.abs(found.mean(axis=0) / plain.mean(axis=0) - 1).max() < 0.02
    assert np.abs(found - plain).mean() < 0.05 * plain.mean()
