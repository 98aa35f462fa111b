from __future__ import annotations

import numpy as np
import pytest

from b2g_rt.contracts.windows import WindowScheduler, begins_anew, sliding_windows
from offline.decoding.decoder import LinearDecoder
from offline.decoding.smoothing import SmoothedDecoder, Smoothing
from offline.evaluation.free_running import decode_stream, stream_starts, windows_of_trials

SPEC = sliding_windows()


@pytest.fixture
def decoder() -> SmoothedDecoder:
    """Return features as they are, half of them new."""
    linear = LinearDecoder(np.eye(3, dtype=np.float16)[None], None, np.zeros((1, 3), np.float32))
    half = np.full(1, 0.5, np.float32)
    return SmoothedDecoder(linear, Smoothing(half, half, 0 * half, np.zeros(3, np.float32)))


def decoded(decoder, features, starts):
    """Latents of all windows, axes (window, latent); a missing one comes as None or as NaN."""
    latents = np.full_like(features, np.nan)
    missing = np.isnan(features).all(axis=1)
    windows = ((i, None if missing[i] and i % 2 else row) for i, row in enumerate(features))
    for i, row, latent in decode_stream(decoder, windows, starts, SPEC):
        assert (row is None) == (latent is None) == missing[i]
        if latent is not None:
            latents[i] = latent
    return latents


@pytest.mark.parametrize("stop", [149, 150, 174, 175, 4321])
def test_windows_lie_where_the_service_slides_them(stop):
    due = [window.start for window in WindowScheduler(SPEC).due(stop)]
    assert stream_starts(SPEC, 0, stop).tolist() == due


def test_a_stream_is_decoded_with_one_state(decoder):
    starts = stream_starts(SPEC, 0, 400)
    features = np.ones((len(starts), 3), np.float32)
    found = decoded(decoder, features, starts)
    np.testing.assert_allclose(found[:, 0], 1 - 0.5 ** np.arange(1, len(starts) + 1))


@pytest.mark.parametrize("n_missing", [1, 4, 5, 8])
def test_missing_windows_change_nothing_and_a_long_pause_begins_anew(decoder, n_missing):
    starts = stream_starts(SPEC, 0, 1000)
    features = np.ones((len(starts), 3), np.float32)
    features[2 : 2 + n_missing] = np.nan
    found = decoded(decoder, features, starts)[:, 0]
    assert np.isnan(found[2 : 2 + n_missing]).all()
    anew = begins_anew(SPEC, int(starts[1]), int(starts[2 + n_missing]))
    assert anew == (n_missing > 4)
    assert found[2 + n_missing] == (0.5 if anew else 0.875)


def test_a_stream_without_a_whole_window_gives_no_latents(decoder):
    starts = stream_starts(SPEC, 0, 300)
    found = decoded(decoder, np.full((len(starts), 3), np.nan, np.float32), starts)
    assert np.isnan(found).all()


def test_a_trial_has_the_first_window_that_starts_where_the_decoder_was_trained():
    starts = stream_starts(SPEC, 0, 2000)
    onsets = np.array([425, 426, 449, 1900, -500])
    at = windows_of_trials(starts, onsets, SPEC)
    assert starts[at[:3]].tolist() == [500, 525, 525]
    assert at[3:].tolist() == [-1, -1]
