"""How well a trial was decoded, against the bundle's latents, with the baselines beside it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.bundle import Stimuli


@dataclass(frozen=True, slots=True)
class TrialScore:
    """Raw and centred cosine, that of the mean latent, and two-way identification (share, chance .5)."""

    cosine: float
    mean_latent_cosine: float
    centred_cosine: float
    two_way: float


def cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Return the cosine of two latents, axes (latent,); 0 where one of them is 0."""
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norm if norm else 0.0


class TrialScorer:
    """Scores decoded latents against known stimuli.

    Parameters
    ----------
    stimuli : Stimuli
    latent_mean : float32, axes (latent,)
        The training mean: baseline, and what "centred" subtracts.
    """

    def __init__(self, stimuli: Stimuli, latent_mean: NDArray[np.float32]) -> None:
        self._stimuli = stimuli
        # Looked up for every frame: not by a walk through thousands of ids.
        self._positions = {stimulus: row for row, stimulus in enumerate(stimuli.ids)}
        self._mean = latent_mean.astype(np.float64)
        centred = stimuli.latent.astype(np.float64) - self._mean
        # Pearson over latents: each row's own mean and length taken out once.
        rows = centred - centred.mean(axis=1, keepdims=True)
        length = np.linalg.norm(rows, axis=1, keepdims=True)
        self._rows = rows / np.where(length > 0, length, 1.0)

    @property
    def pool(self) -> int:
        """Number of stimuli that identification chooses from."""
        return len(self._stimuli.ids)

    def knows(self, stimulus: str) -> bool:
        """Whether the stimulus has a latent in the bundle."""
        return self._positions.get(stimulus) is not None

    def raw_cosine(self, latent: NDArray[np.float32], stimulus: str) -> float | None:
        """Return the raw cosine, or None for an unknown stimulus."""
        position = self._positions.get(stimulus)
        if position is None:
            return None
        return cosine(latent.astype(np.float64), self._stimuli.latent[position].astype(np.float64))

    def score(self, latent: NDArray[np.float32], stimulus: str) -> TrialScore | None:
        """Score one decoded latent, axes (latent,); None for an unknown stimulus."""
        position = self._positions.get(stimulus)
        if position is None:
            return None
        decoded = latent.astype(np.float64)
        true = self._stimuli.latent[position].astype(np.float64)
        centred = decoded - self._mean
        similarity = self._rows @ (centred - centred.mean())
        others = np.delete(similarity, position)
        two_way = 0.5
        if len(others):
            # A tie counts half, so a constant prediction scores chance.
            wins = np.count_nonzero(others < similarity[position])
            ties = np.count_nonzero(others == similarity[position])
            two_way = (wins + 0.5 * ties) / len(others)
        return TrialScore(
            cosine=cosine(decoded, true),
            mean_latent_cosine=cosine(self._mean, true),
            centred_cosine=cosine(centred, true - self._mean),
            two_way=float(two_way),
        )
