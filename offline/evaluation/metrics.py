"""How well latents were decoded: pure functions, each with its chance level or baseline.

Axes are (trial, latent). Everything in float64. Single trials: nothing is averaged over repeats before scoring.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

TABLE_SIZE = 2**24
"""Numbers in a table of trials and stimuli, at most; more trials are compared block by block."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float


def cosines(a: NDArray[np.floating], b: NDArray[np.floating]) -> Array:
    """Return the cosine of each row of ``a`` with the same row of ``b``.

    Parameters
    ----------
    a, b : float, axes (trial, latent)

    Returns
    -------
    float64, axes (trial,), -1 to 1; 0 where a row is 0.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    norm = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray(np.einsum("tl,tl->t", a, b) / np.where(norm > 0, norm, 1.0))


def two_way_identification(
    decoded: NDArray[np.floating],
    pool: NDArray[np.floating],
    true_idx: NDArray[np.integer],
    mean: NDArray[np.floating],
) -> Array:
    """Return how often the true stimulus beats another one of the pool.

    Parameters
    ----------
    decoded : float, axes (trial, latent)
    pool : float, axes (stimulus, latent)
        Distinct stimuli.
    true_idx : int, axes (trial,)
        Row of the pool that was shown.
    mean : float, axes (latent,)
        Training mean, taken from both.

    Returns
    -------
    float64, axes (trial,), 0 to 1; chance .5
        Share of the other stimuli that correlate less (Pearson over latents) with the decoded latent than the true
        one; a tie counts half, so a constant prediction scores chance.
    """
    if len(pool) == 1:
        return np.full(len(decoded), 0.5)
    units = unit_rows(pool - mean).T
    n = max(1, TABLE_SIZE // len(pool))
    wins = np.empty(len(decoded))
    for start in range(0, len(decoded), n):
        similarity = unit_rows(decoded[start : start + n] - mean) @ units
        true = similarity[np.arange(len(similarity)), true_idx[start : start + n]][:, None]
        ties = (similarity == true).sum(axis=1) - 1
        wins[start : start + n] = (similarity < true).sum(axis=1) + 0.5 * ties
    return np.asarray(wins / (len(pool) - 1))


def correlations(a: NDArray[np.floating], b: NDArray[np.floating]) -> Array:
    """Return Pearson's r over trials, column by column.

    Parameters
    ----------
    a, b : float, axes (trial, column)

    Returns
    -------
    float64, axes (column,); 0 where a column is constant. Chance 0.
    """
    a = np.asarray(a, np.float64) - np.mean(a, axis=0, dtype=np.float64)
    b = np.asarray(b, np.float64) - np.mean(b, axis=0, dtype=np.float64)
    norm = np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0)
    return np.asarray((a * b).sum(axis=0) / np.where(norm > 0, norm, 1.0))


def bootstrap_mean(
    values: Array, groups: NDArray[np.integer], seed: int = 0, n_resamples: int = 2000
) -> Interval:
    """Return the mean of single-trial values and its 95 % interval, resampling stimuli.

    Parameters
    ----------
    values : float64, axes (trial,)
    groups : int, axes (trial,)
        Stimulus of each trial, 0, 1, ...: repeats of one stimulus are not independent and stay together.
    seed, n_resamples : int

    Notes
    -----
    Percentile bootstrap (Efron 1979, doi 10.1214/aos/1176344552).
    """
    total = np.bincount(groups, values)
    count = np.bincount(groups).astype(np.float64)
    present = np.flatnonzero(count)
    drawn = np.random.default_rng(seed).choice(present, (n_resamples, len(present)))
    means = total[drawn].sum(axis=1) / count[drawn].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(float(values.mean()), float(low), float(high))


def unit_rows(rows: NDArray[np.floating]) -> Array:
    """Return each row minus its mean, scaled to length 1 (0 where it is constant): products are Pearson's r."""
    rows = np.asarray(rows, np.float64)
    rows = rows - rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, 1.0))
