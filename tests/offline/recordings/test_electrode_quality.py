from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.errors import ChannelMapError
from b2g_rt.simulation.days import DaySpec, MacaqueOnDay
from b2g_rt.simulation.disturbances import DisturbanceSpec, DisturbedStream
from b2g_rt.simulation.protocol import Protocol
from b2g_rt.simulation.stream import SimulatedStream
from offline.recordings.electrode_quality import (
    QualityLimits,
    electrode_quality,
    select_electrodes,
    without_electrodes,
)
from offline.recordings.recording import Block
from offline.recordings.simulated_sessions import simulated_recording

CHANNELS = ChannelMap(128, (ArraySlot(0, "V1", 0), ArraySlot(1, "IT", 64)))


class ArrayRecording:
    def __init__(self, values, channels=CHANNELS, block=700):
        self._values, self._block = values.astype(np.float32), block
        self.channels, self.n_samples = channels, len(values)

    def blocks(self, n_samples=None):
        for start in range(0, self.n_samples, self._block):
            values = self._values[start : start + self._block]
            yield Block(np.arange(start, start + len(values)), values)


@pytest.fixture
def mua(rng):
    """Twelve seconds of good MUA, axes (sample, channel), microvolts."""
    scale = 0.5 * np.exp(0.3 * rng.standard_normal(128))
    return 12.0 + scale * rng.standard_normal((12_000, 128))


def test_each_fault_is_found_and_nothing_else(rng, mua):
    mua[:, 3] = 7.0
    mua[:, 5] = np.nan
    mua[:, 6] = 12.0 + 0.01 * rng.standard_normal(len(mua))
    mua[3000:11_000, 8] = mua[3000, 8]
    mua[rng.random(len(mua)) < 0.8, 9] = np.nan
    for start in (1000, 5000, 9000):
        mua[start : start + 50, 20] += 40.0
    mua[:, 21] *= 50.0
    found = electrode_quality(ArrayRecording(mua))
    np.testing.assert_array_equal(np.flatnonzero(found.dead), [3, 5, 6, 8, 9])
    np.testing.assert_array_equal(np.flatnonzero(found.bursting), [20, 21])
    assert found.good.sum() == 121
    assert found.burst_share[20] == pytest.approx(150 / 12_000)
    assert found.frozen_share[8] == pytest.approx(7999 / 12_000)


def test_visual_responses_are_no_bursts(small_macaque):
    w = small_macaque.latents.draw(np.random.default_rng(4), 40)
    recording, _ = simulated_recording(small_macaque, w, 5)
    found = electrode_quality(recording)
    assert found.good.all()


def test_what_the_simulator_did_to_electrodes_is_found(small_macaque):
    """Dead electrodes with hum on them, bursts, and saturations of whole arrays, which are nobody's bursts."""
    day = MacaqueOnDay(small_macaque, DaySpec(dead_arrays=(1,), dead_share=0.05), 2)
    w = small_macaque.latents.draw(np.random.default_rng(3), 60)
    spec = DisturbanceSpec(
        drift_sd=0.02, line_uv=0.2, bursting_share=0.1, bursts_per_min=20, saturations_per_min=10
    )
    stream = DisturbedStream(SimulatedStream(day, w, Protocol(), 5), spec, 6)
    (whole,) = (values for _, values in stream.blocks(stream.n_samples))
    found = electrode_quality(ArrayRecording(whole, day.channels))
    bursting = np.zeros(192, np.bool_)
    for event in stream.events:
        if event.kind == "burst":
            bursting[event.first] = True
    assert not (found.dead & ~day.day.dead).any()
    # The noise of the loudest dead electrode reaches that of the quietest living one.
    assert found.dead[day.day.dead].mean() > 0.97
    np.testing.assert_array_equal(found.bursting, bursting & ~found.dead)
    assert found.shared_share.max() > 0.001


def test_hum_does_not_hide_that_there_is_no_signal(rng, mua):
    mua[:, 3] = 12.0 + 0.01 * rng.standard_normal(len(mua))
    hum = np.sin(2 * np.pi * 50 * np.arange(len(mua)) / 1000.0)
    found = electrode_quality(ArrayRecording(mua + hum[:, None]))
    np.testing.assert_array_equal(np.flatnonzero(found.dead), [3])
    assert found.spread[3] > 0.5 * np.median(found.spread)


def test_an_event_of_the_whole_array_is_no_burst_of_its_electrodes(mua):
    mua[2000:2100, :64] = 6000.0
    mua[5000:5100, 64:70] = 6000.0
    found = electrode_quality(ArrayRecording(mua))
    np.testing.assert_array_equal(np.flatnonzero(found.bursting), np.arange(64, 70))
    assert found.shared_share[0] == pytest.approx(100 / 12_000)


def test_a_single_spike_is_no_burst(mua):
    mua[6000, 4] += 100.0
    assert electrode_quality(ArrayRecording(mua)).good.all()


def test_median_and_spread_are_those_of_the_normal_distribution(rng):
    values = 5.0 + 2.0 * rng.standard_normal((40_000, 128))
    found = electrode_quality(ArrayRecording(values))
    np.testing.assert_allclose(found.median, 5.0, atol=0.1)
    np.testing.assert_allclose(found.spread, 2.0, rtol=0.06)


@settings(max_examples=10, deadline=None)
@given(block=st.sampled_from([1, 7, 30, 1000]), seed=st.integers(0, 1000))
def test_the_block_size_changes_nothing(block, seed):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((1500 if block > 1 else 200, 128))
    values[:, 1] = 0.0
    values[100:140, 2] += 50
    a = electrode_quality(ArrayRecording(values, block=block))
    b = electrode_quality(ArrayRecording(values, block=len(values)))
    for name in ("missing_share", "frozen_share", "burst_share", "median", "spread", "roughness"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


def test_progress_ends_at_twice_the_samples(mua):
    done: list[int] = []
    electrode_quality(ArrayRecording(mua), progress=done.append)
    assert sum(done) == 2 * len(mua)


def test_a_recording_without_samples_has_only_dead_electrodes():
    assert electrode_quality(ArrayRecording(np.empty((0, 128)))).dead.all()


def test_selected_are_reliable_electrodes_that_are_good(mua):
    mua[:, 0] = 0.0
    quality = electrode_quality(ArrayRecording(mua), QualityLimits())
    reliability = np.full(128, 0.5)
    reliability[[1, 2, 3]] = (0.3, np.nan, 0.31)
    np.testing.assert_array_equal(np.flatnonzero(~select_electrodes(reliability)), [1, 2])
    np.testing.assert_array_equal(
        np.flatnonzero(~select_electrodes(reliability, quality)), [0, 1, 2]
    )
    assert select_electrodes(reliability, threshold=0.6).sum() == 0


def test_dropped_channels_are_dead_electrodes_of_the_new_map(rng):
    dropped = rng.random(128) < 0.3
    dropped[64:] = True
    found = without_electrodes(CHANNELS, dropped)
    np.testing.assert_array_equal(found.stream_idx, CHANNELS.stream_idx[~dropped])
    assert found.slots[1].dead
    row = np.arange(128, dtype=np.float32)[None]
    np.testing.assert_array_equal(found.pick(row)[0], np.flatnonzero(~dropped))


def test_dropping_twice_is_dropping_both():
    once = np.zeros(128, np.bool_)
    once[[2, 70]] = True
    first = without_electrodes(CHANNELS, once)
    again = np.zeros(126, np.bool_)
    again[2] = True  # electrode 3 of the whole map
    both = without_electrodes(first, again)
    np.testing.assert_array_equal(np.setdiff1d(CHANNELS.stream_idx, both.stream_idx), [2, 3, 70])


def test_a_mask_of_another_length_and_an_empty_map_are_refused():
    with pytest.raises(ChannelMapError, match="a mask of 3, the channel map has 128"):
        without_electrodes(CHANNELS, np.zeros(3, np.bool_))
    with pytest.raises(ChannelMapError, match="no electrode is kept"):
        without_electrodes(CHANNELS, np.ones(128, np.bool_))
