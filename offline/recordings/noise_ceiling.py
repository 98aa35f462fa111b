"""The ceiling that noise sets to whatever predicts responses: variance of the stimulus apart from that of noise.

From repetitions, see reliability.py, whose ``oracle_correlation`` is the ceiling TVSD ships. Axes are (repetition,
stimulus, channel). Everything in float64; NaN is a missing response.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from offline.recordings.reliability import ROUNDING, Array, mean_of_present


@dataclass(frozen=True, slots=True, eq=False)
class VarianceComponents:
    """What of a response's variance is the stimulus, and what is noise.

    Attributes
    ----------
    signal, noise : float64, axes (channel,)
        Variance over stimuli of the expected response, never negative; variance of one trial around it.
    """

    signal: Array
    noise: Array

    def explained_share(self, n_repetitions: float = 1.0) -> Array:
        """Return the share of the variance of means over so many repetitions that stimuli explain, axes (channel,).

        For one repetition this is q of the simulated macaque. 0 where nothing varies.
        """
        total = self.signal + self.noise / n_repetitions
        return np.asarray(self.signal / np.where(total > 0, total, 1.0))

    def noise_ceiling(self, n_repetitions: float = 1.0) -> Array:
        """Return the highest correlation that a prediction can have with means over so many repetitions.

        Returns
        -------
        float64, axes (channel,), 0 to 1

        Notes
        -----
        sqrt(signal / (signal + noise / n)), as in the Natural Scenes Dataset (Allen et al. 2022, doi
        10.1038/s41593-021-00962-x), there as a percentage of variance.
        """
        return np.asarray(np.sqrt(self.explained_share(n_repetitions)))


def variance_components(values: NDArray[np.floating]) -> VarianceComponents:
    """Separate the stimulus's variance from noise.

    Parameters
    ----------
    values : float, axes (repetition, stimulus, channel)

    Returns
    -------
    VarianceComponents
        NaN for a channel without a repeated stimulus, or with less than two stimuli.

    Notes
    -----
    noise = squares around each stimulus's mean / (trials - stimuli); signal = variance of the stimulus means (n - 1)
    minus noise times the mean of 1 / repetitions: unbiased, then clipped at 0.
    """
    there = np.isfinite(values)
    n = there.sum(axis=0).astype(np.float64)  # (stimulus, channel)
    means = mean_of_present(values)
    residuals = np.where(there, values - means, 0.0)
    n_stimuli = (n > 0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        noise = np.square(residuals).sum(axis=(0, 1)) / np.maximum(n - 1.0, 0.0).sum(axis=0)
        centred = np.where(n > 0, means - mean_of_present(means), 0.0)
        between = np.square(centred).sum(axis=0) / (n_stimuli - 1)
        per_mean = np.where(n > 0, 1.0 / n, 0.0).sum(axis=0) / n_stimuli
    rounding = (ROUNDING * np.abs(np.where(there, values, 0.0)).max(axis=(0, 1))) ** 2
    noise = np.where(noise <= rounding, 0.0, noise)
    signal = np.maximum(between - noise * per_mean, 0.0)
    return VarianceComponents(np.where(signal <= rounding, 0.0, signal), noise)
