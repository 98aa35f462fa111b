"""How a response rises and falls: the gain K(t) of each electrode after a stimulus.

For the macaque, which multiplies stimulus responses by it. Knows neither stimuli nor noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class TimeCourse:
    """Shape of the gain after the onset latency; 1 kHz, one sample per millisecond.

    Attributes
    ----------
    rise_ms : float
        Time from 10 to 90 % of a logistic rise; half of it is reached at the latency.
    transient_decay_ms : float
        Time constant with which the transient falls to the plateau.
    plateau : float
        Height of the plateau, as share of the transient's.
    stimulus_ms : float
        How long the stimulus is shown; the gain decays from there plus the latency.
    offset_decay_ms : float
        Time constant of that decay.
    length_ms : int
        After so long the gain is taken as 0.
    """

    rise_ms: float = 8.0
    transient_decay_ms: float = 35.0
    plateau: float = 0.4
    stimulus_ms: float = 200.0
    offset_decay_ms: float = 25.0
    length_ms: int = 500

    def gain(
        self, latency_ms: NDArray[np.float64], window_ms: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the gain of each channel, normalised over its response window.

        Parameters
        ----------
        latency_ms : float64, axes (channel,)
            Onset latency.
        window_ms : int64, axes (channel, 2)
            Response window [start, stop) over which the mean gain is 1.

        Returns
        -------
        float64, axes (sample, channel); sample 0 is the onset.

        Raises
        ------
        ValueError
            A response window reaches beyond ``length_ms``.
        """
        if window_ms.min() < 0 or window_ms.max() > self.length_ms:
            raise ValueError(f"response window beyond 0 to {self.length_ms} ms")
        since = np.arange(self.length_ms, dtype=np.float64)[:, None] - latency_ms[None, :]
        on = np.maximum(since, 0.0)
        off = np.maximum(since - self.stimulus_ms, 0.0)
        shape = self.plateau + (1.0 - self.plateau) * np.exp(-on / self.transient_decay_ms)
        steepness = 2.0 * np.log(9.0) / self.rise_ms
        # Far before the latency the exponential would overflow; there the rise is 0 anyway.
        rise = 1.0 / (1.0 + np.exp(np.minimum(-steepness * since, 500.0)))
        gain: NDArray[np.float64] = rise * shape * np.exp(-off / self.offset_decay_ms)
        total = np.vstack([np.zeros((1, gain.shape[1])), np.cumsum(gain, axis=0)])
        columns = np.arange(gain.shape[1])
        start, stop = window_ms[:, 0], window_ms[:, 1]
        mean = (total[stop, columns] - total[start, columns]) / (stop - start)
        gain /= mean
        return gain
