"""How well each single latent dimension was decoded: Pearson's r and R2, beside what the mean latent explains.

Pure functions of decoded and true latents, axes (trial, latent), in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline.evaluation.metrics import Array, correlations
from offline.resampling import N_PERMUTATIONS, ArrayInterval, bootstrap, permute_pairs
from offline.scheduling.workers import Workers


@dataclass(frozen=True, slots=True, eq=False)
class DimensionScores:
    """One figure per latent dimension.

    Attributes
    ----------
    pearson : float64, axes (latent,)
        Over trials; chance 0, and 0 for the mean latent, which is constant.
    r2 : float64, axes (latent,)
        At most 1, without a lower bound; 0 for whoever knew the mean of these very trials.
    mean_latent_r2 : float64, axes (latent,)
        R2 of the training mean: the baseline, 0 or less.
    explained : float
        Share of the mean latent's squared error, over all dimensions, that decoding removes; at most 1, negative
        where the mean latent is better.
    mean_pearson, mean_r2 : ArrayInterval
        Means over dimensions, intervals over stimuli.
    """

    pearson: Array
    r2: Array
    mean_latent_r2: Array
    explained: float
    mean_pearson: ArrayInterval
    mean_r2: ArrayInterval

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "pearson": self.pearson.tolist(),
            "r2": self.r2.tolist(),
            "mean_latent_r2": self.mean_latent_r2.tolist(),
            "explained": self.explained,
            "mean_pearson": _plain(self.mean_pearson),
            "mean_r2": _plain(self.mean_r2),
            "chance_pearson": 0.0,
        }


def r_squared(decoded: NDArray[np.floating], true: NDArray[np.floating]) -> Array:
    """Return 1 - residual / total sum of squares, column by column.

    Parameters
    ----------
    decoded, true : float, axes (trial, column)

    Returns
    -------
    float64, axes (column,), at most 1; 0 where the truth is constant.

    Notes
    -----
    The total is around the mean of the given trials, as in scikit-learn's ``r2_score``, not around the training mean.
    """
    decoded, true = np.asarray(decoded, np.float64), np.asarray(true, np.float64)
    residual = np.square(true - decoded).sum(axis=0)
    total = np.square(true - true.mean(axis=0)).sum(axis=0)
    varies = np.ptp(true, axis=0) > 0
    return np.asarray(np.where(varies, 1.0 - residual / np.where(varies, total, 1.0), 0.0))


def score_dimensions(
    decoded: NDArray[np.floating],
    true: NDArray[np.floating],
    mean: NDArray[np.floating],
    groups: NDArray[np.integer],
    n_resamples: int = 200,
    seed: int = 0,
    workers: Workers | None = None,
) -> DimensionScores:
    """Score each dimension.

    Parameters
    ----------
    decoded, true : float, axes (trial, latent)
    mean : float, axes (latent,)
        Training mean.
    groups : int, axes (trial,)
        Stimulus of each trial.
    n_resamples, seed : int
        Of the bootstrap over stimuli.
    workers : Workers, optional
        They do the bootstrap; figures are the same without.
    """
    decoded, true = np.asarray(decoded, np.float64), np.asarray(true, np.float64)
    guess = np.broadcast_to(np.asarray(mean, np.float64), true.shape)
    error = float(np.square(true - decoded).sum())
    error_of_mean = float(np.square(true - guess).sum())

    # A few resampled stimuli vary less than they should, some dimensions hardly at all: R2 of these very trials would
    # be biased far downwards, its interval beside it. So errors are resampled, in units of the variance that is there.
    squares = np.square(true - decoded)
    varies = np.ptp(true, axis=0) > 0
    unit = np.where(varies, 1.0 / np.where(varies, true.var(axis=0), 1.0), 0.0)
    means = partial(_means, decoded, true, squares, unit, float(varies.mean()))
    both = bootstrap(means, groups, n_resamples, seed, workers)
    return DimensionScores(
        pearson=correlations(decoded, true),
        r2=r_squared(decoded, true),
        mean_latent_r2=r_squared(guess, true),
        explained=1.0 - error / error_of_mean if error_of_mean > 0 else 0.0,
        mean_pearson=ArrayInterval(both.value[0], both.low[0], both.high[0]),
        mean_r2=ArrayInterval(both.value[1], both.low[1], both.high[1]),
    )


def dimension_p_values(
    decoded: NDArray[np.floating],
    true: NDArray[np.floating],
    groups: NDArray[np.integer],
    n_permutations: int = N_PERMUTATIONS,
    seed: int = 0,
    workers: Workers | None = None,
) -> tuple[Array, Array]:
    """Test each dimension's Pearson's r by permuting stimuli.

    Parameters
    ----------
    decoded, true : float, axes (trial, latent)
    groups : int, axes (trial,)
        Stimulus of each trial; repeats have the same true latent.
    n_permutations, seed : int
    workers : Workers, optional
        They do the permutations; p-values are the same without.

    Returns
    -------
    float64, axes (latent,) : p-values, one-sided
    float64, axes (latent,) : the same, adjusted for the false discovery rate (Benjamini & Hochberg 1995)
    """
    from scipy.stats import false_discovery_control

    statistic = partial(_correlations, decoded, true)
    _, p = permute_pairs(statistic, groups, n_permutations, seed, workers)
    return p, np.asarray(false_discovery_control(p))


def _means(
    decoded: NDArray[np.floating],
    true: NDArray[np.floating],
    squares: NDArray[np.floating],
    unit: NDArray[np.floating],
    varying: float,
    rows: NDArray[np.intp],
) -> Array:
    """Return the means over dimensions of r and R2, of resampled trials."""
    r = correlations(decoded[rows], true[rows]).mean()
    return np.array([r, varying - (squares[rows].mean(axis=0) * unit).mean()])


def _correlations(
    decoded: NDArray[np.floating], true: NDArray[np.floating], rows: NDArray[np.intp]
) -> Array:
    return correlations(decoded, true[rows])


def _plain(interval: ArrayInterval) -> dict[str, float]:
    return {
        "mean": float(interval.value),
        "low": float(interval.low),
        "high": float(interval.high),
    }
