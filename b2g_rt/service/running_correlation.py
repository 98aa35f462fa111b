"""Pearson's r of each electrode over trials that come one by one, in memory that does not grow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class RunningCorrelation:
    """Correlation of two numbers per electrode, each electrode over the trials in which both are there.

    Parameters
    ----------
    n_channels : int

    Notes
    -----
    Means, squares and products about the running means, updated by Welford's formula: sums of raw products would
    lose the variance of electrodes that are far from 0 (B. P. Welford, Technometrics 4, 1962, 419-420).
    """

    def __init__(self, n_channels: int) -> None:
        self.n_trials: NDArray[np.int64] = np.zeros(n_channels, np.int64)
        self._mean: Array = np.zeros((2, n_channels))
        self._square: Array = np.zeros((2, n_channels))
        self._product: Array = np.zeros(n_channels)

    def add(self, first: NDArray[np.float32], second: NDArray[np.float32]) -> None:
        """Take one trial, axes (channel,); an electrode with a NaN in either is left out."""
        known = np.isfinite(first) & np.isfinite(second)
        pair = np.stack([first[known], second[known]]).astype(np.float64)
        self.n_trials[known] += 1
        before = pair - self._mean[:, known]
        self._mean[:, known] += before / self.n_trials[known]
        after = pair - self._mean[:, known]
        self._square[:, known] += before * after
        self._product[known] += before[0] * after[1]

    def r(self, at_least: int) -> Array:
        """Return r, float64, axes (channel,); NaN where there are fewer trials, or no variation."""
        scale = np.sqrt(self._square[0]) * np.sqrt(self._square[1])
        known = (self.n_trials >= at_least) & (scale > 0)
        r = np.full(len(scale), np.nan)
        r[known] = np.clip(self._product[known] / scale[known], -1.0, 1.0)
        return r


def correlation(first: NDArray[np.float32], second: NDArray[np.float32]) -> float | None:
    """Return Pearson's r over electrodes, axes (channel,); None with fewer than three or without variation."""
    if len(first) < 3:
        return None
    a = first.astype(np.float64) - first.mean(dtype=np.float64)
    b = second.astype(np.float64) - second.mean(dtype=np.float64)
    scale = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.clip(a @ b / scale, -1.0, 1.0)) if scale > 0 else None
