"""Scores of decoded single trials: at one window, over all windows, per picture parameter.

Takes decoded and true latents, whoever decoded them; knows no decoders, recordings or files. Every score stands
beside its baseline (the mean latent) or its chance level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline.evaluation.metrics import (
    Interval,
    bootstrap_mean,
    correlations,
    cosines,
    two_way_identification,
)

CHANCE_TWO_WAY = 0.5


@dataclass(frozen=True, slots=True)
class KnownTrials:
    """The truth about the trials that were decoded.

    Attributes
    ----------
    pool : float32, axes (stimulus, latent)
        Latents of the distinct stimuli that identification chooses from.
    true_idx : int64, axes (trial,)
        Row of the pool that was shown.
    mean : float32, axes (latent,)
        Training mean of the latents.
    """

    pool: NDArray[np.float32]
    true_idx: NDArray[np.int64]
    mean: NDArray[np.float32]

    @property
    def latents(self) -> NDArray[np.float32]:
        """True latents, axes (trial, latent)."""
        return self.pool[self.true_idx]

    def chosen(self, trials: NDArray[np.intp]) -> KnownTrials:
        """Return the truth about some trials, int, axes (trial,); their stimuli alone make the pool."""
        rows, true_idx = np.unique(self.true_idx[trials], return_inverse=True)
        return KnownTrials(self.pool[rows], true_idx.astype(np.int64), self.mean)


@dataclass(frozen=True, slots=True)
class WindowScores:
    """Scores of one window.

    Attributes
    ----------
    window_idx : int
    n_trials : int
        Trials that could be decoded; the others had too much missing.
    cosine : Interval
        Decoded against true latent.
    mean_latent_cosine : float
        The mean latent against the same true latents.
    centred_cosine : Interval
        Both minus the training mean; chance 0.
    two_way : Interval
        Chance .5.
    """

    window_idx: int
    n_trials: int
    cosine: Interval
    mean_latent_cosine: float
    centred_cosine: Interval
    two_way: Interval


@dataclass(frozen=True, slots=True)
class Scores:
    """Everything a report prints.

    Attributes
    ----------
    windows : tuple of WindowScores
    pool : int
        Number of stimuli that two-way identification chooses from.
    parameters : dict of name to Pearson's r
        Picture parameters read from the decoded latents of the last window against the true ones; empty where they
        are not known.
    """

    windows: tuple[WindowScores, ...]
    pool: int
    parameters: dict[str, float]

    @property
    def last(self) -> WindowScores:
        """The last window: k = 8 in the paper's setting."""
        return self.windows[-1]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "windows": [_rounded(asdict(w)) for w in self.windows],
            "pool": self.pool,
            "chance_two_way": CHANCE_TWO_WAY,
            "parameters": _rounded(self.parameters),
        }


def score(
    decoded: NDArray[np.float32],
    known: KnownTrials,
    reading: NDArray[np.float32] | None = None,
    parameters: Sequence[str] = (),
) -> Scores:
    """Score single trials.

    Parameters
    ----------
    decoded : float32, axes (trial, window, latent)
        NaN throughout where a window could not be decoded.
    known : KnownTrials
    reading : float32, axes (parameter, latent), optional
        How picture parameters are read from latents (minus any mean).
    parameters : sequence of str
        Their names.
    """
    windows = tuple(score_window(decoded[:, k], known, k) for k in range(decoded.shape[1]))
    r: dict[str, float] = {}
    if reading is not None:
        whole = np.isfinite(decoded[:, -1]).all(axis=1)
        found = correlations(decoded[whole, -1] @ reading.T, known.latents[whole] @ reading.T)
        r = {name: float(value) for name, value in zip(parameters, found, strict=True)}
    return Scores(windows, len(known.pool), r)


def score_window(decoded: NDArray[np.float32], known: KnownTrials, window_idx: int) -> WindowScores:
    """Score one window; ``decoded``: float32, axes (trial, latent)."""
    whole = np.isfinite(decoded).all(axis=1)
    decoded, true, shown = decoded[whole], known.latents[whole], known.true_idx[whole]
    mean = known.mean.astype(np.float64)
    return WindowScores(
        window_idx=window_idx,
        n_trials=int(whole.sum()),
        cosine=bootstrap_mean(cosines(decoded, true), shown),
        mean_latent_cosine=float(cosines(np.broadcast_to(mean, true.shape), true).mean()),
        centred_cosine=bootstrap_mean(cosines(decoded - mean, true - mean), shown),
        two_way=bootstrap_mean(two_way_identification(decoded, known.pool, shown, mean), shown),
    )


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return round(value, 4) if isinstance(value, float) else value
