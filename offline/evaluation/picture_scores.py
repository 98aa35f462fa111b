"""Scores of reconstructed pictures, each beside that of the mean latent's picture and beside chance.

The picture of the mean latent is what a decoder would show without looking at the brain; it is like every stimulus in
layout and colour, so a figure alone flatters. Metrics state their preprocessing and their pool.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import PictureError
from offline.evaluation.identification import n_way, similarities
from offline.evaluation.image_metrics import (
    Pictures,
    PictureValues,
    pixel_correlation,
    structural_similarity,
)
from offline.evaluation.metrics import Array, Interval, bootstrap_mean


class _Spec(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def preprocessing(self) -> str: ...
    @property
    def layers(self) -> Any: ...


class Network(Protocol):
    """A network whose layers are compared; see ``feature_networks.open_network``."""

    @property
    def spec(self) -> _Spec:
        """Name, preprocessing and layers."""

    def features(self, pictures: Pictures, layer: str) -> NDArray[np.float32]:
        """Return one layer's activations, axes (picture, feature)."""


class Distance(Protocol):
    """A learned distance; see ``feature_networks.open_distance``."""

    @property
    def spec(self) -> _Spec:
        """Name and preprocessing."""

    def distances(self, reconstructed: Pictures, shown: Pictures) -> NDArray[np.float64]:
        """Return the distance of each pair, axes (picture,)."""


@dataclass(frozen=True, slots=True)
class PictureScore:
    """One figure of a set of reconstructions.

    Attributes
    ----------
    metric : str
    score : Interval
        Mean over trials; in brackets over stimuli.
    mean_latent : float
        The same figure of the mean latent's picture, shown at every trial.
    better : "higher" or "lower"
    chance : float or None
        None: depends on the pictures, see ``mean_latent``.
    pool : int or None
        Stimuli that identification chooses from; None where nothing is chosen.
    preprocessing : str
    """

    metric: str
    score: Interval
    mean_latent: float
    better: Literal["higher", "lower"]
    chance: float | None
    pool: int | None
    preprocessing: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)


def score_pictures(
    reconstructed: Pictures,
    stimuli: Pictures,
    true_idx: NDArray[np.integer],
    mean_picture: Pictures,
    networks: Sequence[Network] = (),
    distances: Sequence[Distance] = (),
    seed: int = 0,
) -> tuple[PictureScore, ...]:
    """Score reconstructions with PixCorr and SSIM, and with the networks at hand.

    Parameters
    ----------
    reconstructed : uint8, axes (trial, row, col, rgb)
    stimuli : uint8, axes (stimulus, row, col, rgb)
        The distinct stimuli that were shown: identification's pool.
    true_idx : int, axes (trial,)
        Which of them was shown.
    mean_picture : uint8, axes (row, col, rgb)
        Drawn from the mean latent by the same generator.
    networks : sequence of Network
        For each layer two-way identification and correlation.
    distances : sequence of Distance
    seed : int
        Of the bootstrap over stimuli.

    Raises
    ------
    PictureError
        Sets of pictures that do not belong together.
    """
    if len(reconstructed) != len(true_idx):
        raise PictureError(
            f"pictures: {len(reconstructed)} reconstructions of {len(true_idx)} trials, expected as many."
        )
    shown = stimuli[true_idx]
    guesses = np.broadcast_to(mean_picture, (len(stimuli), *mean_picture.shape))

    def scored(found: PictureValues, guess: Array, pool: int | None = None) -> PictureScore:
        return PictureScore(
            metric=found.metric,
            score=bootstrap_mean(found.values, true_idx, seed),
            mean_latent=float(guess[true_idx].mean()),
            better=found.better,
            chance=found.chance,
            pool=pool,
            preprocessing=found.preprocessing,
        )

    pixelwise: tuple[Callable[[Pictures, Pictures], PictureValues], ...] = (
        pixel_correlation,
        structural_similarity,
    )
    scores = [scored(m(reconstructed, shown), m(guesses, stimuli).values) for m in pixelwise]
    for network in networks:
        for found, guess, pool in _layers(network, reconstructed, stimuli, true_idx, mean_picture):
            scores.append(scored(found, guess, pool))
    for distance in distances:
        found = PictureValues(
            distance.spec.name.upper(),
            distance.distances(reconstructed, shown),
            "lower",
            None,
            distance.spec.preprocessing,
        )
        scores.append(scored(found, distance.distances(guesses, stimuli)))
    return tuple(scores)


def _layers(
    network: Network,
    reconstructed: Pictures,
    stimuli: Pictures,
    true_idx: NDArray[np.integer],
    mean_picture: Pictures,
) -> Iterator[tuple[PictureValues, Array, int | None]]:
    """Yield each layer's figures, the mean picture's for each stimulus, and the pool."""
    for layer in network.spec.layers:
        pool = network.features(stimuli, layer)
        similarity = similarities(network.features(reconstructed, layer), pool)
        guess = similarities(network.features(mean_picture[None], layer), pool)[0]
        every = np.arange(len(stimuli))
        text = f"{network.spec.preprocessing}; Pearson over all units of {layer}"
        true = similarity[np.arange(len(true_idx)), true_idx]
        yield PictureValues(f"{layer} correlation", true, "higher", None, text), guess, None
        if len(stimuli) > 1:
            values = n_way(similarity, true_idx, 2)
            same = n_way(np.broadcast_to(guess, (len(stimuli), len(stimuli))), every, 2)
            yield PictureValues(f"{layer} 2-way", values, "higher", 0.5, text), same, len(stimuli)
