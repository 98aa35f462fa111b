"""Another day costs a decoder nothing after fifty trials, if normalisation follows the day.

The same trials, the same noise, with and without the day's gains and offsets (SD .3). A small animal: 192 electrodes,
128 latents, 1200 training trials; its single trials gain about .1 in cosine over the mean latent.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from b2g_rt.contracts.bundle import Normalisation
from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.contracts.windows import sliding_windows
from b2g_rt.mua.normaliser import Normaliser
from b2g_rt.simulation.days import DaySpec, MacaqueOnDay
from b2g_rt.simulation.latent_space import face_latents
from b2g_rt.simulation.macaque import Macaque
from b2g_rt.simulation.presets import faces_spec
from b2g_rt.simulation.protocol import Protocol
from b2g_rt.simulation.stream import SimulatedStream
from offline.recordings.features import window_features
from offline.recordings.recording import SimulatedRecording

logger = logging.getLogger(__name__)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.xdist_group("day_recovery"),
]

CHANNELS = ChannelMap(192, (ArraySlot(0, "V1", 0), ArraySlot(1, "V4", 64), ArraySlot(2, "IT", 128)))
LATENTS = face_latents(n_latents=128)
MACAQUE = Macaque(faces_spec(), CHANNELS, LATENTS)
PROTOCOL = Protocol(fixation_ms=100, stimuli_per_run=8, pause_ms=0)
N_TRAINING, N_TRIALS, N_FIRST = 1200, 350, 50
RIDGE = 1.0  # in units of the mean variance of a feature


@dataclass(frozen=True)
class Line:
    """A decoder with the statistics that it was trained with, and the trials of a later day."""

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    features_mean: NDArray[np.float64]
    weights: NDArray[np.float64]
    w_mean: NDArray[np.float64]
    w: NDArray[np.float32]

    def gain(self, macaque: Macaque, kind: str, *, start_day: bool = False) -> float:
        """Cosine over the mean latent's, trials behind the first fifty."""
        x = _features(macaque, self.w, 22, kind, (self.mean, self.sd), start_day=start_day)
        predicted = (x - self.features_mean) @ self.weights + self.w_mean
        truth = self.w[N_FIRST:]
        floor = _cosine(np.broadcast_to(self.w_mean, truth.shape), truth)
        return _cosine(predicted[N_FIRST:], truth) - floor


def _features(macaque, w, seed, kind, statistics, *, start_day=False) -> NDArray[np.float32]:
    stream = SimulatedStream(macaque, w, PROTOCOL, seed)
    normaliser = Normaliser(Normalisation(kind=kind), statistics[0], statistics[1], 1000.0)
    if start_day:
        normaliser.start_day()
    blocks = SimulatedRecording(stream, CHANNELS).blocks()
    return window_features(blocks, stream.onsets, sliding_windows(), CHANNELS, normaliser)[:, 0]


def _cosine(a, b) -> float:
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.mean((a * b).sum(axis=1) / norms))


@pytest.fixture(scope="module")
def line() -> Line:
    rng = np.random.default_rng(0)
    w_training, w = LATENTS.draw(rng, N_TRAINING), LATENTS.draw(rng, N_TRIALS)
    day = next(SimulatedStream(MACAQUE, w_training, PROTOCOL, 21).blocks(60_000))[1]
    statistics = day.mean(axis=0, dtype=np.float64), day.std(axis=0, dtype=np.float64)
    x = _features(MACAQUE, w_training, 21, "frozen", statistics).astype(np.float64)
    centred, w_mean = x - x.mean(axis=0), w_training.mean(axis=0, dtype=np.float64)
    gram = centred.T @ centred
    gram[np.diag_indices_from(gram)] += RIDGE * np.trace(gram) / len(gram)
    weights = np.linalg.solve(gram, centred.T @ (w_training - w_mean))
    return Line(*statistics, x.mean(axis=0), weights, w_mean, w)


@pytest.fixture(scope="module")
def undisturbed(line: Line) -> float:
    gain = line.gain(MACAQUE, "frozen")
    logger.info("without drift, frozen: %.4f over the mean latent", gain)
    assert gain > 0.05
    return gain


@pytest.mark.parametrize("gain_of", ["response", "electrode"])
def test_running_normalisation_recovers_the_gain_after_fifty_trials(line, undisturbed, gain_of):
    day = MacaqueOnDay(MACAQUE, DaySpec(gain_sd=0.3, offset_sd=0.3, gain_of=gain_of), day=2)
    recovered = line.gain(day, "running", start_day=True) / undisturbed
    logger.info("%s: running recovers %.0f %%", gain_of, 100 * recovered)
    assert recovered >= 0.9


def test_following_the_day_costs_nothing_where_nothing_changed(line, undisturbed):
    assert line.gain(MACAQUE, "running", start_day=True) / undisturbed >= 0.95


@pytest.mark.parametrize(("kind", "start_day"), [("frozen", False), ("running", False)])
def test_changed_electrodes_ruin_a_decoder_that_does_not_start_the_day(
    line, undisturbed, kind, start_day
):
    day = MacaqueOnDay(MACAQUE, DaySpec(0.3, 0.3, gain_of="electrode"), day=2)
    left = line.gain(day, kind, start_day=start_day) / undisturbed
    logger.info("%s without a day's start: %.0f %% left", kind, 100 * left)
    assert left < 0.5
