"""What a correlation between predicted and observed responses is worth: tests, corrections, the noise ceiling.

The t test takes stimuli for independent draws; permutations and the bootstrap ask less of them, and take all repeats
of a stimulus together. Knows no feature spaces, kernels or files. Everything in float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from offline.recordings.reliability import correlation_over_stimuli
from offline.resampling import (
    N_PERMUTATIONS,
    N_RESAMPLES,
    ArrayInterval,
    Rows,
    bootstrap,
    permute_pairs,
)
from offline.scheduling.workers import Workers

Array = NDArray[np.float64]
Correction = Literal["bonferroni", "fdr", "none"]

MIN_CEILING = 0.1
"""Below it dividing by the noise ceiling would only enlarge noise."""


def pearson(predicted: NDArray[np.floating], observed: NDArray[np.floating]) -> Array:
    """Return Pearson's r over stimuli.

    Parameters
    ----------
    predicted : float, axes (stimulus, channel) or (space, stimulus, channel)
    observed : float, axes (stimulus, channel)
        NaN, in either: that stimulus does not count for that channel.

    Returns
    -------
    float64, axes (channel,) or (space, channel), -1 to 1
        0 where either does not vary, or where less than two stimuli are left. Chance 0.
    """
    wanted = np.asarray(observed, np.float64)[None]
    per_space = predicted[None] if predicted.ndim == 2 else predicted
    # One space at a time: the deviations of all would be several times what is given.
    found = [
        correlation_over_stimuli(np.asarray(p, np.float64)[None], wanted)[0] for p in per_space
    ]
    r = np.clip(np.nan_to_num(np.stack(found), nan=0.0), -1.0, 1.0)
    return np.asarray(r[0] if predicted.ndim == 2 else r)


def n_scored(predicted: NDArray[np.floating], observed: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return how many stimuli ``pearson`` has for each r, int64, of its axes."""
    there = np.isfinite(predicted) & np.isfinite(observed)
    return np.asarray(there.sum(axis=-2, dtype=np.int64))


def t_test_p(r: NDArray[np.floating] | float, n: NDArray[np.integer] | int) -> Array:
    """Return the two-sided p-value of a correlation, against 0.

    Parameters
    ----------
    r : float, axes (...)
    n : int, or axes that fit
        Stimuli that r is of.

    Returns
    -------
    float64, axes (...), 0 to 1; 1 where r is 0 or NaN, or n less than 3

    Notes
    -----
    t = r sqrt((n - 2) / (1 - r^2)) has Student's distribution with n - 2 degrees of freedom: exactly, where either of
    the two is normal and stimuli are independent (Fisher 1915, Biometrika 10:507). Repeated stimuli are not: average
    them first.
    """
    from scipy.special import stdtr

    r, n = np.broadcast_arrays(np.nan_to_num(np.asarray(r, np.float64)), np.asarray(n))
    freedom = np.maximum(n - 2.0, 1.0)
    with np.errstate(divide="ignore"):
        t = np.abs(r) * np.sqrt(freedom / (1.0 - np.minimum(np.square(r), 1.0)))
    return np.asarray(np.where(n >= 3, np.minimum(2.0 * stdtr(freedom, -t), 1.0), 1.0))


def bonferroni(p: NDArray[np.floating]) -> Array:
    """Return p-values times how many there are along the last axis, at most 1: the chance of any false one."""
    p = np.asarray(p, np.float64)
    return np.asarray(np.minimum(p * p.shape[-1], 1.0))


def false_discovery(p: NDArray[np.floating]) -> Array:
    """Return p-values adjusted along the last axis: calling those up to q leaves a share q of false ones, on average.

    Notes
    -----
    Benjamini & Hochberg 1995, doi 10.1111/j.2517-6161.1995.tb02031.x, for tests that are independent or positively
    dependent, as electrodes with shared noise are.
    """
    from scipy.stats import false_discovery_control

    p = np.asarray(p, np.float64)
    return np.asarray(false_discovery_control(p, axis=-1) if p.size else p)


def corrected(p: NDArray[np.floating], correction: Correction) -> Array:
    """Return p-values corrected for how many there are along the last axis.

    Raises
    ------
    ValueError
        There is no such correction.
    """
    if correction == "bonferroni":
        return bonferroni(p)
    if correction == "fdr":
        return false_discovery(p)
    if correction == "none":
        return np.asarray(p, np.float64)
    raise ValueError(f"correction '{correction}', expected bonferroni, fdr or none.")


def normalised(
    r: NDArray[np.floating], ceiling: NDArray[np.floating], min_ceiling: float = MIN_CEILING
) -> Array:
    """Return r as a share of the highest that noise leaves room for.

    Parameters
    ----------
    r : float, axes (..., channel)
    ceiling : float, axes (channel,)
        Noise ceiling of the responses that r was computed with, 0 to 1.
    min_ceiling : float
        Channels with a lower one have no share.

    Returns
    -------
    float64, axes (..., channel)
        NaN where the ceiling is NaN (nothing was repeated) or lower than ``min_ceiling`` (dividing by what is near 0
        gives any number). Not clipped: both are estimates, so that a good model may exceed 1.

    Notes
    -----
    Spearman's correction for attenuation, of the observed side only: the model is judged as it predicts.
    """
    usable = np.asarray(ceiling, np.float64)
    usable = np.where(usable >= max(min_ceiling, np.finfo(np.float64).tiny), usable, np.nan)
    return np.asarray(r / usable)


@dataclass(frozen=True, slots=True, eq=False)
class _PairedR:
    """|r| of every prediction with another stimulus's response: what a permutation asks for."""

    predicted: NDArray[np.floating]
    observed: NDArray[np.floating]

    def __call__(self, rows: Rows) -> Array:
        return np.abs(pearson(self.predicted[:, rows], self.observed))


@dataclass(frozen=True, slots=True, eq=False)
class _PairedUnits:
    """The same where nothing is missing: means and lengths do not depend on who is paired with whom."""

    predicted: Array
    observed: Array

    def __call__(self, rows: Rows) -> Array:
        return np.abs(np.einsum("ptc,tc->pc", self.predicted[:, rows], self.observed))


def permutation_p(
    predicted: NDArray[np.floating],
    observed: NDArray[np.floating],
    *,
    stimuli: NDArray[np.integer] | None = None,
    n_permutations: int = N_PERMUTATIONS,
    seed: int = 0,
    workers: Workers | None = None,
) -> Array:
    """Test each r against chance by giving responses to other stimuli; two-sided.

    Parameters
    ----------
    predicted : float, axes (trial, channel) or (space, trial, channel)
        The same for all trials of a stimulus.
    observed : float, axes (trial, channel)
    stimuli : int, axes (trial,), optional
        Stimulus of each trial, whose repeats move together; by default each trial is one of its own.
    n_permutations, seed : int
    workers : Workers, optional

    Returns
    -------
    float64, axes (channel,) or (space, channel); never below 1 / (n_permutations + 1), not corrected
        All channels and spaces see the same permutations, so that their dependence is kept.
    """
    groups = np.arange(len(observed)) if stimuli is None else np.asarray(stimuli)
    per_space = predicted[None] if predicted.ndim == 2 else predicted
    # Where stimuli have unequal numbers of trials, a permutation changes what is predicted, not only its order.
    balanced = len(set(np.unique(groups, return_counts=True)[1])) == 1
    statistic: _PairedR | _PairedUnits
    if balanced and np.isfinite(per_space).all() and np.isfinite(observed).all():
        statistic = _PairedUnits(_unit_columns(per_space), _unit_columns(observed))
    else:
        statistic = _PairedR(per_space, observed)
    _, p = permute_pairs(statistic, groups, n_permutations, seed, workers)
    return np.asarray(p[0] if predicted.ndim == 2 else p)


def _unit_columns(values: NDArray[np.floating]) -> Array:
    """Return deviations over the second last axis, of length 1; 0 where they are rounding."""
    x = np.asarray(values, np.float64)
    deviation = x - x.mean(axis=-2, keepdims=True)
    length = np.linalg.norm(deviation, axis=-2, keepdims=True)
    varies = length > 1e-12 * np.sqrt(x.shape[-2]) * np.abs(x).max(axis=-2, keepdims=True)
    return np.asarray(np.where(varies, deviation / np.where(varies, length, 1.0), 0.0))


@dataclass(frozen=True, slots=True, eq=False)
class _MeanR:
    """The mean r over each group of channels, for stimuli that may be drawn several times."""

    predicted: NDArray[np.floating]
    observed: NDArray[np.floating]
    groups: tuple[Rows, ...]

    def __call__(self, rows: Rows) -> Array:
        r = pearson(self.predicted[:, rows], self.observed[rows])
        return np.stack([r[:, channels].mean(axis=1) for channels in self.groups])


def mean_r_interval(
    predicted: NDArray[np.floating],
    observed: NDArray[np.floating],
    groups: tuple[Rows, ...],
    *,
    stimuli: NDArray[np.integer] | None = None,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
    workers: Workers | None = None,
) -> ArrayInterval:
    """Return the mean r over channels and its 95 % interval, resampling stimuli.

    Parameters
    ----------
    predicted : float, axes (space, trial, channel)
    observed : float, axes (trial, channel)
    groups : tuple of int, axes (channel,)
        Channels to take the mean over: one group per ROI, say. None empty.
    stimuli : int, axes (trial,), optional
        Stimulus of each trial; by default each trial is one of its own.
    n_resamples, seed : int
    workers : Workers, optional

    Returns
    -------
    ArrayInterval, axes (group, space)
        How far the mean over these very electrodes would vary with other test stimuli; electrodes are not resampled.
    """
    of_trial = np.arange(len(observed)) if stimuli is None else np.asarray(stimuli)
    return bootstrap(_MeanR(predicted, observed, groups), of_trial, n_resamples, seed, workers)
