from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from b2g_rt.contracts.bundle import Normalisation
from b2g_rt.contracts.windows import WindowSpec
from offline.decoding.decoder import LinearDecoder
from offline.decoding.smoothing import SmoothedDecoder, Smoothing
from offline.evaluation.decoded_windows import decode_mua
from offline.evaluation.held_out import FeatureChain
from offline.evaluation.slid_windows import slid_windows
from offline.recordings.mua_source import MuaTrials
from offline.recordings.simulated_sessions import simulated_recording


@pytest.fixture(scope="module")
def recorded(small_macaque):
    """Eight simulated trials, and a chain whose ROIs lag as the paper's windows do."""
    w = small_macaque.latents.draw(np.random.default_rng(3), 8)
    recording, onsets = simulated_recording(small_macaque, w, 4)
    n = small_macaque.channels.n_channels
    spec = WindowSpec(1000.0, 100, 25, "free", roi_lag=(("V1", 50), ("V4", 25)))
    chain = FeatureChain(
        small_macaque.channels, spec, np.zeros(n), np.full(n, 10.0), Normalisation()
    )
    return MuaTrials(recording, onsets, 0, recording.n_samples), chain


@pytest.fixture(scope="module")
def linear(small_macaque):
    n = small_macaque.channels.n_channels
    down = np.random.default_rng(5).standard_normal((1, n, 6)) / 14.0
    return LinearDecoder(down.astype(np.float16), None, np.zeros((1, 6), np.float32))


def smoothed(linear):
    share = np.array([0.5], np.float32)
    mean = np.zeros(6, np.float32)
    return SmoothedDecoder(linear, Smoothing(1 - share, share, 0 * share, mean))


@pytest.mark.parametrize("memory", [False, True])
def test_where_the_decoder_was_trained_it_is_the_scored_window(recorded, linear, memory):
    mua, chain = recorded
    decoder = smoothed(linear) if memory else linear
    found = slid_windows(decoder, chain, mua)
    features, decoded = decode_mua(decoder, chain, mua)
    spec = found.windows
    stops = [spec.start_of(k) + spec.length for k in range(spec.n_windows)]
    assert stops == list(range(0, 301, 25))
    np.testing.assert_array_equal(found.features[:, stops.index(175)], features[:, 0])
    np.testing.assert_array_equal(found.decoded[:, stops.index(175)], decoded[:, 0])


def test_a_window_holds_the_samples_that_its_stop_and_its_lags_say(recorded, linear):
    mua, chain = recorded
    found = slid_windows(linear, chain, mua)
    marked = replace(chain, windows=found.windows)
    np.testing.assert_array_equal(found.features, marked.features(mua.recording, mua.onsets))
