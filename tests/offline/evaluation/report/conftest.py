"""A decoder of three windows, and 48 trials of 16 stimuli that it was not fitted on."""

from __future__ import annotations

import numpy as np
import pytest

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.contracts.windows import WindowSpec
from offline.decoding.decoder import LinearDecoder
from offline.evaluation.report.contents import report_contents
from offline.evaluation.report.held_out_trials import HeldOutTrials, ReportedDecoder
from offline.evaluation.scores import KnownTrials, score
from offline.evaluation.trained_stimuli import TrainedStimuli

N_STIMULI, N_REPETITIONS, N_LATENTS = 16, 3, 12


@pytest.fixture(scope="session")
def channels() -> ChannelMap:
    """V1 and IT of one array each; IT lacks three electrodes."""
    return ChannelMap(
        128, (ArraySlot(3, "V1", 0), ArraySlot(5, "IT", 64, dead_electrodes=(0, 9, 63)))
    )


@pytest.fixture(scope="session")
def linear(channels) -> LinearDecoder:
    """The first window's map is nothing, the others' are one, which reads all channels."""
    rng = np.random.default_rng(51)
    down = np.repeat(rng.standard_normal((1, channels.n_channels, N_LATENTS)) / 12.0, 3, axis=0)
    down[0] = 0.0
    bias = np.tile(rng.standard_normal(N_LATENTS), (3, 1)).astype(np.float32)
    return LinearDecoder(down.astype(np.float16), None, bias)


@pytest.fixture(scope="session")
def decoder(channels, linear) -> ReportedDecoder:
    rng = np.random.default_rng(52)
    windows = WindowSpec(1000.0, 100, 50, "marker", first_start=-50, n_windows=3)
    mean = linear.bias[0]
    trained = mean + rng.standard_normal((4, N_LATENTS)).astype(np.float32)
    seen = TrainedStimuli(frozenset({"trained-0"}), trained.astype(np.float32), mean)
    return ReportedDecoder(linear, False, channels, windows, seen)


@pytest.fixture(scope="session")
def trials(decoder, linear) -> HeldOutTrials:
    """Responses are what the last window's map would read the truth from, and noise."""
    rng = np.random.default_rng(53)
    true_idx = rng.permutation(np.repeat(np.arange(N_STIMULI), N_REPETITIONS))
    mean = linear.bias[0]
    pool = (mean + rng.standard_normal((N_STIMULI, N_LATENTS))).astype(np.float32)
    back = np.linalg.pinv(linear.down[-1].astype(np.float64))
    signal = ((pool - mean) @ back)[true_idx]
    strength = np.array([0.0, 0.5, 1.0])[None, :, None]
    noise = 0.6 * rng.standard_normal((len(true_idx), 3, signal.shape[1]))
    features = (strength * signal[:, None] + noise).astype(np.float32)
    known = KnownTrials(pool, true_idx.astype(np.int64), mean)
    names = tuple(f"face-{i:02d}" for i in true_idx)
    return HeldOutTrials(names, features, decoder.decode(features), known)


@pytest.fixture(scope="session")
def render():
    """A generator of 16 x 16 pixels whose four quarters are the first four latents."""

    def drawn(w):
        level = 1.0 / (1.0 + np.exp(-np.asarray(w)[:, :4])).reshape(-1, 2, 2)
        grey = np.repeat(np.repeat(level, 8, axis=1), 8, axis=2)
        ramp = np.linspace(0.5, 1.0, 16)[None, None, :]  # two-colour pictures are rare
        return np.repeat((255 * grey * ramp).astype(np.uint8)[..., None], 3, axis=3)

    return drawn


@pytest.fixture(scope="session")
def contents(trials, decoder, no_stage):
    averaged = trials.repeated().averaged(decoder.decode)
    scores = score(trials.decoded, trials.known)
    return report_contents(trials, averaged, decoder, scores, no_stage)
