from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from b2g_rt.contracts.bundle import Normalisation
from b2g_rt.contracts.windows import WindowSpec, begins_anew
from offline.decoding.decoder import LinearDecoder
from offline.decoding.smoothing import SmoothedDecoder, Smoothing
from offline.evaluation.decoded_windows import decode_mua, n_latents_of
from offline.evaluation.free_running import stream_starts, windows_of_trials
from offline.evaluation.held_out import FeatureChain
from offline.evaluation.slid_windows import slid_windows
from offline.recordings.features import window_starts
from offline.recordings.features_file import FeaturesFile, array_of
from offline.recordings.mua_source import MuaTrials
from offline.recordings.recording import BLOCK_SAMPLES, Block
from offline.recordings.simulated_sessions import simulated_recording
from offline.scheduling.local_workers import LocalWorkers
from offline.scheduling.resources import Resources

FREE = WindowSpec(1000.0, 100, 25, "free", roi_lag=(("V1", 50), ("V4", 25)))
MARKED = WindowSpec(1000.0, 100, 50, "marker", first_start=-50, n_windows=3)
N_TRIALS = 150


class Holed:
    """A recording that lost 60 samples now and then, and 2 seconds once."""

    def __init__(self, recording):
        self._recording = recording
        self.channels = recording.channels
        self.n_samples = recording.n_samples

    def blocks(self, n_samples=BLOCK_SAMPLES):
        for block in self._recording.blocks(n_samples):
            kept = (block.index % 3300 >= 60) & ~((block.index >= 9000) & (block.index < 11000))
            yield Block(block.index[kept], block.values[kept])


@pytest.fixture(scope="module")
def mua(small_macaque):
    w = small_macaque.latents.draw(np.random.default_rng(3), N_TRIALS)
    recording, onsets = simulated_recording(small_macaque, w, 4)
    shuffled = np.random.default_rng(5).permutation(onsets)
    return MuaTrials(Holed(recording), shuffled, 0, recording.n_samples)


def chain_of(mua, spec):
    n = mua.recording.channels.n_channels
    return FeatureChain(
        mua.recording.channels, spec, np.zeros(n), np.full(n, 10.0), Normalisation(kind="running")
    )


def decoder_of(mua, spec, memory):
    n = mua.recording.channels.n_channels
    n_maps = 1 if spec.anchor == "free" else spec.n_windows
    rng = np.random.default_rng(6)
    down = (rng.standard_normal((n_maps, n, 6)) / 14.0).astype(np.float16)
    linear = LinearDecoder(down, None, np.zeros((n_maps, 6), np.float32))
    if not memory:
        return linear
    share = np.full(n_maps, 0.5, np.float32)
    return SmoothedDecoder(linear, Smoothing(1 - share, share, 0 * share, np.zeros(6, np.float32)))


def resources_of(folder, n_threads, memory):
    folder.mkdir()
    return Resources(LocalWorkers(n_threads), memory, folder)


@pytest.mark.parametrize("memory", [False, True])
@pytest.mark.parametrize("spec", [FREE, MARKED], ids=["free", "marked"])
def test_features_in_a_file_and_threads_change_no_bit(mua, spec, memory, tmp_path):
    chain, decoder = chain_of(mua, spec), decoder_of(mua, spec, memory)
    held = resources_of(tmp_path / "held", 1, 10**9)
    features, decoded = decode_mua(decoder, chain, mua, resources=held)
    assert isinstance(features, np.ndarray)
    n_whole = np.isfinite(decoded).all(axis=(1, 2)).sum()
    assert 0.5 * N_TRIALS < n_whole < N_TRIALS
    np.testing.assert_array_equal(np.isfinite(decoded).all(2), np.isfinite(features).all(2))
    for n_threads in (1, 2):
        small = resources_of(tmp_path / f"file-{n_threads}", n_threads, 4)
        in_file, again = decode_mua(decoder, chain, mua, resources=small)
        assert isinstance(in_file, FeaturesFile)
        np.testing.assert_array_equal(array_of(in_file), features)
        # The file is read in the order of time, so a product may have its rows in another place.
        np.testing.assert_allclose(again, decoded, atol=1e-6)
        if n_threads == 1:
            first = again
        np.testing.assert_array_equal(again, first)


@pytest.mark.parametrize("memory", [False, True])
def test_a_slid_decoder_reads_the_same_from_a_file(mua, memory, tmp_path):
    chain, decoder = chain_of(mua, FREE), decoder_of(mua, FREE, memory)
    held = slid_windows(decoder, chain, mua)
    small = resources_of(tmp_path / "file", 2, 4)
    found = slid_windows(decoder, chain, mua, resources=small)
    assert isinstance(found.features, FeaturesFile)
    np.testing.assert_array_equal(array_of(found.features), held.features)
    np.testing.assert_allclose(found.decoded, held.decoded, atol=1e-6)


def test_a_stream_is_what_a_slow_loop_over_all_its_windows_makes_of_it(mua):
    chain, decoder = chain_of(mua, FREE), decoder_of(mua, FREE, memory=True)
    features, decoded = decode_mua(decoder, chain, mua)
    starts = stream_starts(FREE, mua.first, mua.stop)
    every = chain.features(mua.recording, starts - window_starts(FREE)[0])[:, 0]
    latents = np.full((len(starts), 6), np.nan, np.float32)
    state, last = np.zeros((1, decoder.n_state), np.float32), None
    for i in np.flatnonzero(np.isfinite(every).all(axis=1)):
        if last is not None and begins_anew(FREE, last, int(starts[i])):
            state = np.zeros_like(state)
        latents[i], state = decoder.step(every[i : i + 1], 0, state)
        last = int(starts[i])
    at = windows_of_trials(starts, mua.onsets, FREE)
    assert (at >= 0).all()
    np.testing.assert_array_equal(features[:, 0], every[at])
    np.testing.assert_array_equal(decoded[:, 0], latents[at])


@pytest.mark.parametrize("memory", [False, True])
def test_trials_outside_the_recording_have_no_latent(mua, memory):
    chain, decoder = chain_of(mua, FREE), decoder_of(mua, FREE, memory)
    outside = replace(mua, onsets=np.array([-5000, mua.onsets[0], mua.stop + 5000]))
    features, decoded = decode_mua(decoder, chain, outside)
    for found in (np.asarray(features), decoded):
        assert np.isfinite(found).all(axis=(1, 2)).tolist() == [False, True, False]


def test_the_number_of_latents_is_asked_of_the_decoder(mua):
    assert n_latents_of(decoder_of(mua, FREE, memory=True), 192) == 6
