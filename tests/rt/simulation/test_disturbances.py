from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.simulation.disturbances import DisturbanceSpec, DisturbedStream
from b2g_rt.simulation.latent_space import face_latents
from b2g_rt.simulation.macaque import Macaque
from b2g_rt.simulation.presets import faces_spec
from b2g_rt.simulation.protocol import Protocol
from b2g_rt.simulation.stream import SimulatedStream

CHANNELS = ChannelMap(128, (ArraySlot(0, "V1", 0), ArraySlot(1, "IT", 64)))
LATENTS = face_latents()
W = LATENTS.draw(np.random.default_rng(0), 12)
STREAM = SimulatedStream(Macaque(faces_spec(), CHANNELS, LATENTS), W, Protocol(), seed=11)
PLAIN = next(STREAM.blocks(STREAM.n_samples))[1]
EVERYTHING = DisturbanceSpec(
    drift_sd=0.2,
    drift_period_s=5,
    line_uv=0.3,
    refresh_uv=0.1,
    bursting_share=0.1,
    bursts_per_min=60,
    saturations_per_min=60,
    rail_uv=50,
    losses_per_min=100,
)


def received(spec: DisturbanceSpec, n: int = 10**6) -> tuple[np.ndarray, np.ndarray]:
    pairs = list(DisturbedStream(STREAM, spec, seed=2).blocks(n))
    index = np.concatenate([np.arange(s, s + len(b)) for s, b in pairs])
    return index, np.concatenate([b for _, b in pairs])


def test_without_disturbances_the_samples_pass_bit_for_bit():
    index, values = received(DisturbanceSpec())
    np.testing.assert_array_equal(index, np.arange(STREAM.n_samples))
    np.testing.assert_array_equal(values, PLAIN)


WHOLE = received(EVERYTHING)


@given(n=st.integers(1, 3000))
@settings(max_examples=10, deadline=None)
def test_the_same_numbers_come_whatever_the_block_size(n):
    index, values = received(EVERYTHING, n)
    np.testing.assert_array_equal(index, WHOLE[0])
    np.testing.assert_array_equal(values, WHOLE[1])


def test_losses_are_jumps_of_the_sample_clock_and_the_truth_is_told():
    spec = DisturbanceSpec(losses_per_min=100)
    index, values = received(spec)
    lost = np.ones(STREAM.n_samples, bool)
    lost[index] = False
    assert 0.01 < lost.mean() < 0.2
    np.testing.assert_array_equal(values, PLAIN[index])
    told = np.zeros(STREAM.n_samples, bool)
    for event in DisturbedStream(STREAM, spec, seed=2).events:
        assert event.kind == "loss"
        told[event.start : event.stop] = True
    np.testing.assert_array_equal(told, lost)


def test_saturation_holds_one_array_at_the_rail():
    spec = DisturbanceSpec(saturations_per_min=60, rail_uv=50)
    _, values = received(spec)
    event = DisturbedStream(STREAM, spec, seed=2).events[0]
    assert event.last - event.first == 64
    assert event.stop - event.start == 20
    assert (values[event.start : event.stop, event.first : event.last] == 50).all()
    assert 0 < (values == 50).mean() < 0.1


def test_line_noise_has_the_line_s_frequencies():
    _, values = received(DisturbanceSpec(line_uv=1.0, refresh_uv=0.5))
    extra = (values - PLAIN)[:6000].mean(axis=1)
    spectrum = np.abs(np.fft.rfft(extra)) * 2 / len(extra)
    assert set(np.flatnonzero(spectrum > 0.1) // 6) == {50, 60, 100, 150}
    assert spectrum[300] == pytest.approx(1.0, rel=0.2)


def test_drift_starts_at_nothing_and_is_slow():
    _, values = received(DisturbanceSpec(drift_sd=0.3, drift_period_s=20))
    gain = values / PLAIN
    np.testing.assert_allclose(gain[0], 1, atol=1e-6)
    assert np.abs(np.diff(np.log(gain), axis=0)).max() < 1e-3
    assert np.log(gain[-1]).std() > 0.1


def test_only_bursting_columns_burst():
    spec = DisturbanceSpec(bursting_share=0.05, bursts_per_min=60)
    _, values = received(spec)
    columns = {event.first for event in DisturbedStream(STREAM, spec, seed=2).events}
    assert 1 <= len(columns) <= 15
    assert set(np.flatnonzero((values != PLAIN).any(axis=0))) == columns


def test_switching_one_kind_on_leaves_the_others_where_they_were():
    both = DisturbedStream(
        STREAM, DisturbanceSpec(losses_per_min=60, saturations_per_min=30), seed=2
    )
    alone = DisturbedStream(STREAM, DisturbanceSpec(losses_per_min=60), seed=2)
    assert tuple(e for e in both.events if e.kind == "loss") == alone.events


def test_negative_amounts_are_refused():
    with pytest.raises(ValueError, match="negative"):
        DisturbanceSpec(line_uv=-1)
