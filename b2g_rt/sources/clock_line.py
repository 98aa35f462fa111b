"""The line between sample index and time: t = time + period * (index - idx).

Fitted to block means of the stamps, with the past forgotten over about a minute, so that a device 200 ppm off
its nominal rate is followed. The fit is kept as weighted means and centred moments: the origin moves along with
the stream, so hours of samples cost no precision. Pure arithmetic; knows no samples, no LSL.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MEMORY_S = 60.0
# How far real devices are from their nominal rate; decides how long noisy stamps must be watched before the
# fitted slope is believed more than the nominal one.
PRIOR_SLOPE_SD = 300e-6
# Float64 seconds of a machine that is up for months resolve 1e-9 s; nothing is known better than this.
_NOISE_FLOOR_S = 1e-6


@dataclass(frozen=True, slots=True)
class Line:
    """One straight piece: seconds (LSL clock) and index on the sample clock."""

    idx: float
    time_s: float
    period_s: float

    def time_of(self, index: float) -> float:
        """Return the time of an index (may be fractional), s."""
        return self.time_s + self.period_s * (index - self.idx)

    def position_of(self, time_s: float) -> float:
        """Return the (fractional) index at a time."""
        return self.idx + (time_s - self.time_s) / self.period_s


class LineFit:
    """Recursive weighted regression of time on index.

    Parameters
    ----------
    nominal_period_s : float
        Seconds per sample as declared; the slope until the stamps say better.

    Notes
    -----
    Least squares with exponential forgetting, centred form, and a normal prior on the slope:
    period = (S_it + k * nominal) / (S_ii + k), k = variance of a block mean / variance of the prior.
    """

    def __init__(self, nominal_period_s: float) -> None:
        self._nominal = nominal_period_s
        self._memory = MEMORY_S / nominal_period_s
        self._weight = 0.0
        self._idx = 0.0
        self._time_s = 0.0
        self._newest_idx = 0.0
        self._s_ii = 0.0
        self._s_it = 0.0
        self._noise = 0.0
        self._n_noise = 0
        self._before: list[tuple[float, float]] = []
        self.line = Line(0.0, 0.0, nominal_period_s)

    def anchor(self, index: float, time_s: float) -> None:
        """Lay the line through a point and keep the slope: at the start, after a restart or a clock step."""
        self._weight = 0.0
        self.line = Line(index, time_s, self.line.period_s)

    def add(self, idx: float, time_s: float, weight: float, variance: float) -> None:
        """Add the mean of one block.

        Parameters
        ----------
        idx, time_s : float
            Mean index and mean stamp of the block's samples, s.
        weight : float
            Share of the block that was received, 0 to 1.
        variance : float
            Of the stamps around the line, s^2; stands for the noise of a block mean until that is known.
        """
        if self._weight == 0.0:
            self._weight, self._idx, self._time_s = weight, idx, time_s
            self._before = []
            if self._n_noise == 0:
                self._noise = variance
        else:
            self._measure_noise(idx, time_s)
            self._update(idx, time_s, weight)
        self._before = [*self._before[-1:], (idx, time_s)]
        self._newest_idx = idx
        prior = max(self._noise, _NOISE_FLOOR_S**2) / (PRIOR_SLOPE_SD * self._nominal) ** 2
        period = (self._s_it + prior * self._nominal) / (self._s_ii + prior)
        self.line = Line(self._idx, self._time_s, period)

    def _measure_noise(self, idx: float, time_s: float) -> None:
        """Compare the block before with the straight line between its neighbours: no slope enters."""
        if len(self._before) < 2:
            return
        (idx_0, time_0), (idx_1, time_1) = self._before
        share = (idx_1 - idx_0) / (idx - idx_0)
        off = time_1 - time_0 - share * (time_s - time_0)
        square = off * off / (1.0 + share * share + (1.0 - share) ** 2)
        self._n_noise = min(self._n_noise + 1, 50)
        self._noise += (square - self._noise) / self._n_noise

    def _update(self, idx: float, time_s: float, weight: float) -> None:
        keep = math.exp(-max(0.0, idx - self._newest_idx) / self._memory)
        old = self._weight * keep
        total = old + weight
        d_idx, d_time = idx - self._idx, time_s - self._time_s
        share = old * weight / total
        self._s_ii = self._s_ii * keep + share * d_idx * d_idx
        self._s_it = self._s_it * keep + share * d_idx * d_time
        self._idx += weight / total * d_idx
        self._time_s += weight / total * d_time
        self._weight = total
