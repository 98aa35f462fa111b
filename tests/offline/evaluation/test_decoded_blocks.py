from __future__ import annotations

import pickle

import numpy as np
import pytest

from offline.decoding.decoder import LinearDecoder
from offline.decoding.smoothing import SmoothedDecoder, Smoothing
from offline.decoding.stepping import decode_trials
from offline.evaluation.decoded_blocks import Silence, decode_blocks
from offline.export.decoder_onnx import OnnxDecoder, decoder_onnx
from offline.recordings.features_file import trial_blocks, trials_of, write_features
from offline.scheduling.local_workers import LocalWorkers

N_TRIALS, N_WINDOWS, N_CHANNELS, N_LATENTS = 200, 3, 10, 4


@pytest.fixture
def features(rng):
    found = rng.standard_normal((N_TRIALS, N_WINDOWS, N_CHANNELS)).astype(np.float32)
    found[7, 1] = np.nan
    return found


@pytest.fixture(params=[False, True], ids=["no memory", "memory"])
def decoder(request, rng):
    down = rng.standard_normal((N_WINDOWS, N_CHANNELS, N_LATENTS)).astype(np.float16)
    linear = LinearDecoder(down, None, np.ones((N_WINDOWS, N_LATENTS), np.float32))
    half = np.full(N_WINDOWS, 0.5, np.float32)
    smoothing = Smoothing(half, half, 0 * half, np.zeros(N_LATENTS, np.float32))
    return SmoothedDecoder(linear, smoothing) if request.param else linear


@pytest.fixture
def file(features, rng, tmp_path):
    """The same, in a file whose order is another one."""
    cut = (
        (trial, window, features[trial, window])
        for trial in range(N_TRIALS)
        for window in range(N_WINDOWS)
    )
    onsets = rng.permutation(N_TRIALS).astype(np.int64)
    return write_features(tmp_path / "features.h5", cut, onsets, N_WINDOWS, N_CHANNELS)


def test_every_trial_comes_once_in_blocks(features, file):
    chosen = np.arange(N_TRIALS)[::-3]
    for some in (features, file, trials_of(file, chosen), features[:0]):
        blocks = list(trial_blocks(some))
        trials = np.concatenate([np.empty(0, int), *(trials for trials, _ in blocks)])
        assert sorted(trials) == list(range(some.shape[0]))
        assert all(0 < len(trials) <= 64 for trials, _ in blocks)
    for trials, values in trial_blocks(trials_of(file, chosen)):
        np.testing.assert_array_equal(values, features[chosen[trials]])


@pytest.mark.parametrize("n_threads", [1, 2])
def test_blocks_are_decoded_as_whole_trials(decoder, features, file, n_threads):
    wanted = decode_trials(decoder, features)
    for some in (features, file):
        found = decode_blocks(decoder, some, LocalWorkers(n_threads))
        np.testing.assert_allclose(found, wanted, atol=1e-5)
        assert np.isnan(found[7, 1]).all()
    assert decode_blocks(decoder, features[:0], LocalWorkers(1)).shape == (0, 3, N_LATENTS)


def test_silenced_channels_say_what_fills_them(decoder, features, file):
    silence = Silence(np.arange(N_CHANNELS) < 3, np.ones((N_WINDOWS, N_CHANNELS), np.float32))
    changed = features.copy()
    changed[..., :3] = 1.0
    wanted = decode_trials(decoder, changed)
    for some in (features, file):
        found = decode_blocks(decoder, some, LocalWorkers(2), silence=silence)
        np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.abs(wanted - decode_trials(decoder, features))[0].max() > 0.1


@pytest.mark.parametrize("fixed", [False, True])
def test_the_last_window_alone_is_the_last_of_all(decoder, features, fixed):
    whole = features[np.isfinite(features).all(axis=(1, 2))]
    wanted = decode_trials(decoder, whole, fixed=fixed)[:, -1:]
    found = decode_blocks(decoder, whole, LocalWorkers(2), fixed=fixed, last_window=True)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_decoder_file_that_is_sent_to_another_process_decodes_the_same(decoder, features):
    here = OnnxDecoder(decoder_onnx(decoder))
    there = pickle.loads(pickle.dumps(here))
    assert there.n_state == here.n_state
    np.testing.assert_array_equal(
        decode_blocks(there, features, LocalWorkers(2)), decode_trials(here, features)
    )
