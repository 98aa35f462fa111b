"""How well responses repeat: sorted by stimulus and repetition, correlated with each other.

``pair_reliability`` and ``oracle_correlation`` are the fields ``reliab`` and ``oracle`` of the THINGS ventral stream
data set (TVSD; Papale et al. 2025, doi 10.1016/j.neuron.2024.12.003), computed as its norm_MUA.m does; where no
repetition is missing they agree with it. Repetitions are counted from stimulus ids, because the data set's own column
of repetitions is shuffled. For electrode selection and reports; knows no files, windows or decoders.
Axes are (repetition, stimulus, channel). Everything in float64; NaN is a missing response.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import SessionError

Array = NDArray[np.float64]

_CHANNELS_AT_ONCE = 64
ROUNDING = 1e-12
"""A standard deviation below this share of the values themselves is rounding, not variation."""


@dataclass(frozen=True, slots=True, eq=False)
class Repetitions:
    """Responses to stimuli that were shown several times.

    Attributes
    ----------
    values : float64, axes (repetition, stimulus, channel)
        In the order of presentation; NaN beyond a stimulus's last repetition.
    stimuli : tuple of str, axes (stimulus,)
        Ascending.
    """

    values: Array
    stimuli: tuple[str, ...]

    @property
    def counts(self) -> NDArray[np.int64]:
        """How often each stimulus was shown, int64, axes (stimulus,); a presentation without any value counts not."""
        return np.isfinite(self.values).any(axis=2).sum(axis=0)

    @property
    def averaged(self) -> Array:
        """Mean over what is there of the repetitions, float64, axes (stimulus, channel)."""
        return mean_of_present(self.values)


def repetitions(
    responses: NDArray[np.floating], stimuli: Sequence[str], at_least: int = 2
) -> Repetitions:
    """Sort trials by stimulus and repetition.

    Parameters
    ----------
    responses : float, axes (trial, channel)
        Mean over each channel's response window, say; NaN where it is missing.
    stimuli : sequence of str, axes (trial,)
    at_least : int
        Stimuli shown less often are left out.

    Raises
    ------
    SessionError
        No stimulus was shown that often.
    """
    shown, of_trial, counts = np.unique(
        np.asarray(stimuli), return_inverse=True, return_counts=True
    )
    kept = np.flatnonzero(counts >= at_least)
    if not len(kept):
        raise SessionError(
            f"repetitions: {len(shown)} stimuli in {len(of_trial)} trials, none shown {at_least} times, expected "
            "repeated stimuli. Give a session with test stimuli."
        )
    values = np.full((int(counts[kept].max()), len(kept), responses.shape[1]), np.nan)
    for position, stimulus in enumerate(kept):
        trials = np.flatnonzero(of_trial == stimulus)
        values[: len(trials), position] = responses[trials]
    return Repetitions(values, tuple(str(shown[i]) for i in kept))


def averaged_repetitions(
    responses: NDArray[np.floating], stimuli: Sequence[str]
) -> tuple[Array, tuple[str, ...]]:
    """Average all trials of each stimulus: the paper's test responses.

    Parameters
    ----------
    responses : float, axes (trial, ...)
        Of any shape behind the trials, windows say; NaN is left out of the mean.
    stimuli : sequence of str, axes (trial,)

    Returns
    -------
    float64, axes (stimulus, ...); NaN where no trial has a value
    tuple of str, axes (stimulus,)
        Ascending.
    """
    shown, of_trial = np.unique(np.asarray(stimuli), return_inverse=True)
    means = [mean_of_present(responses[of_trial == i]) for i in range(len(shown))]
    return np.stack(means), tuple(str(s) for s in shown)


def pair_reliability(values: NDArray[np.floating]) -> Array:
    """Return Pearson's r over stimuli between every two repetitions (TVSD: ``reliab``).

    Parameters
    ----------
    values : float, axes (repetition, stimulus, channel)

    Returns
    -------
    float64, axes (pair, channel), -1 to 1; chance 0
        Pairs (0, 1), (0, 2), ..., (1, 2), ...: 435 of 30 repetitions. Over the stimuli that both repetitions have;
        NaN where one of the two does not vary over these.
    """
    first, second = np.triu_indices(len(values), 1)
    r = np.empty((len(first), values.shape[2]))
    for part in _channel_blocks(values.shape[2]):
        x, there, peak = _by_channel(values[:, :, part])
        n = there @ there.mT
        sums = x @ there.mT
        squares = (x * x) @ there.mT
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = squares - sums * sums / n
            shared = x @ x.mT - sums * sums.mT / n
            spread[spread <= ROUNDING * squares + n * (ROUNDING * peak) ** 2] = np.nan
            r[:, part] = (shared / np.sqrt(spread * spread.mT))[:, first, second].T
    return r


def mean_reliability(values: NDArray[np.floating]) -> Array:
    """Return the mean of ``pair_reliability`` over pairs, float64, axes (channel,); NaN where no pair has a value."""
    return mean_of_present(pair_reliability(values))


def oracle_correlation(values: NDArray[np.floating]) -> Array:
    """Return how well the mean of all other repetitions predicts one (TVSD: ``oracle``).

    Parameters
    ----------
    values : float, axes (repetition, stimulus, channel)

    Returns
    -------
    float64, axes (channel,), -1 to 1; chance 0
        Pearson's r over stimuli, mean over the repetitions left out; NaN where nothing varies. No prediction of single
        trials is expected to correlate much better.
    """
    r = np.empty((len(values), values.shape[2]))
    for part in _channel_blocks(values.shape[2]):
        block = np.asarray(values[:, :, part], np.float64)
        there = np.isfinite(block)
        filled = np.where(there, block, 0.0)
        n_others = there.sum(axis=0) - there
        with np.errstate(invalid="ignore", divide="ignore"):
            others = (filled.sum(axis=0) - filled) / n_others
        r[:, part] = correlation_over_stimuli(block, np.where(n_others > 0, others, np.nan))
    return mean_of_present(r)


def split_half_reliability(
    values: NDArray[np.floating],
    n_splits: int = 100,
    seed: int = 0,
    spearman_brown: bool = False,
) -> Array:
    """Return Pearson's r over stimuli between the means of two random halves of the repetitions.

    Parameters
    ----------
    values : float, axes (repetition, stimulus, channel)
        At least two repetitions.
    n_splits, seed : int
        The result is the mean over this many splits; of an odd number of repetitions one half has one more.
    spearman_brown : bool
        Correct to the reliability of the mean of all repetitions, 2 r / (1 + r).

    Returns
    -------
    float64, axes (channel,), -1 to 1; chance 0; NaN where nothing varies.
    """
    rng = np.random.default_rng(seed)
    half = len(values) // 2
    r = np.empty((n_splits, values.shape[2]))
    for split in range(n_splits):
        order = rng.permutation(len(values))
        a, b = (mean_of_present(values[rows]) for rows in (order[:half], order[half:]))
        r[split] = correlation_over_stimuli(a[None], b[None])[0]
    mean = mean_of_present(r)
    return np.asarray(2.0 * mean / (1.0 + mean)) if spearman_brown else mean


def _channel_blocks(n_channels: int) -> Iterator[slice]:
    for start in range(0, n_channels, _CHANNELS_AT_ONCE):
        yield slice(start, min(start + _CHANNELS_AT_ONCE, n_channels))


def _by_channel(values: NDArray[np.floating]) -> tuple[Array, Array, Array]:
    """Return values minus each repetition's mean with 0 for missing ones, 1 where there, and the largest magnitude.

    Axes (channel, repetition, stimulus) twice, then (channel, repetition, 1).
    """
    x = np.ascontiguousarray(values.transpose(2, 0, 1), np.float64)
    there = np.isfinite(x)
    x = np.where(there, x, 0.0)
    peak = np.abs(x).max(axis=2, keepdims=True)
    x -= x.sum(axis=2, keepdims=True) / np.maximum(there.sum(axis=2, keepdims=True), 1)
    return np.where(there, x, 0.0), there.astype(np.float64), peak


def correlation_over_stimuli(a: NDArray[np.floating], b: NDArray[np.floating]) -> Array:
    """Return Pearson's r over the stimuli that both have.

    Parameters
    ----------
    a, b : float64, axes (repetition, stimulus, channel)
        One of them may have one repetition for all of the other's; NaN is a missing response.

    Returns
    -------
    float64, axes (repetition, channel); NaN where one does not vary
    """
    there = np.isfinite(a) & np.isfinite(b)
    n = np.maximum(there.sum(axis=1, keepdims=True), 1)
    deviations, lengths = [], []
    for values in (a, b):
        x = np.where(there, values, 0.0)
        deviation = np.where(there, x - x.sum(axis=1, keepdims=True) / n, 0.0)
        square = np.square(deviation).sum(axis=1)
        square[square <= n[:, 0] * (ROUNDING * np.abs(x).max(axis=1)) ** 2] = np.nan
        deviations.append(deviation)
        lengths.append(np.sqrt(square))
    product = (deviations[0] * deviations[1]).sum(axis=1)
    return np.asarray(product / (lengths[0] * lengths[1]))


def mean_of_present(values: NDArray[np.floating]) -> Array:
    """Return the mean over the first axis of what is not NaN; NaN where nothing is."""
    there = np.isfinite(values)
    total = np.where(there, values, 0.0).sum(axis=0, dtype=np.float64)
    count = there.sum(axis=0)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))
