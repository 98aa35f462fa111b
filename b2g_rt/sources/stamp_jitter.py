"""How much a stream's stamps scatter around the fitted line, and what that makes a jump.

A hardware clock scatters by some 50 us: a single lost sample shows. Stamps made at push time scatter by
milliseconds: only more than that shows. Pure arithmetic.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

UNKNOWN_THRESHOLD_S = 0.020
MIN_SAMPLES = 0.75
N_RMS = 6.0
# Stamps this regular are computed, not measured: pushes leave no trace in them.
COMPUTED_S = 10e-6
_N_MEMORY = 50
_N_SETTLE = 10
# Stamps beyond the threshold may mean that the jitter grew, or one long stall: they count, but not much.
_MAX_BEYOND_SHARE = 0.05


class StampJitter:
    """Running mean square of the residuals, and the thresholds that follow.

    Parameters
    ----------
    period_s : float
        Nominal seconds per sample.
    fixed_threshold_s : float, optional
        Given by the user; then only this counts.
    floor_s : float
        The threshold is never below this.
    """

    def __init__(self, period_s: float, fixed_threshold_s: float | None, floor_s: float) -> None:
        self._least_s = max(MIN_SAMPLES * period_s, floor_s)
        self._fixed_s = fixed_threshold_s
        self._square = 0.0
        self._n_blocks = 0
        self.threshold_s = (
            max(UNKNOWN_THRESHOLD_S, self._least_s)
            if fixed_threshold_s is None
            else fixed_threshold_s
        )

    @property
    def rms_s(self) -> float | None:
        """Root mean square around the line, s; None until a block was added."""
        return self._square**0.5 if self._n_blocks else None

    @property
    def precise(self) -> bool:
        """Whether a stamp alone tells the slot."""
        return self._n_blocks > 0 and N_RMS * self._square**0.5 <= self._least_s

    @property
    def computed(self) -> bool:
        """Whether the stamps are so regular that they cannot have been measured one by one."""
        return self._n_blocks > 0 and self._square**0.5 < COMPUTED_S

    def add(self, residuals: NDArray[np.float64], n_beyond: int) -> None:
        """Take in one block: residuals within the threshold, s, and how many lay beyond."""
        n = len(residuals) + n_beyond
        if n == 0:
            return
        # The first line goes through a single stamp: its offset is not jitter.
        centre = float(residuals.mean()) if self._n_blocks == 0 and len(residuals) else 0.0
        beyond = min(n_beyond, _MAX_BEYOND_SHARE * n) * self.threshold_s**2
        square = (float(np.square(residuals - centre).sum()) + beyond) / n
        self._n_blocks += 1
        self._square += (square - self._square) / min(self._n_blocks, _N_MEMORY)
        if self._fixed_s is None:
            self.threshold_s = self._threshold()

    def _threshold(self) -> float:
        by_jitter = N_RMS * self._square**0.5
        if by_jitter > self._least_s and self._n_blocks < _N_SETTLE:
            by_jitter = max(by_jitter, UNKNOWN_THRESHOLD_S)
        return float(max(by_jitter, self._least_s))
