"""From MUA in the recording's unit to z units, channel by channel, causally.

``frozen`` uses the bundle's mean and SD. ``running`` starts from them and follows the day: statistics are
gathered over whole blocks of the sample clock and take effect from the next block on, so no output depends on
a later sample, nor on how the samples were chunked.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.bundle import Normalisation

N_SD_LEARNT = 20.0
"""What is learnt from a sample is cut off this many SDs from the mean; what is passed on is not."""


class Normaliser:
    """Turns chunks into z units; state is explicit in the attributes.

    Parameters
    ----------
    spec : Normalisation
    mean, sd : float64, axes (channel,)
        To start from (``running``) or to stay with (``frozen``), in the recording's unit.
    rate_hz : float
        Samples per second of recorded time.

    Attributes
    ----------
    mean, variance : float64, axes (channel,)
        In force now.
    """

    def __init__(
        self,
        spec: Normalisation,
        mean: NDArray[np.float64],
        sd: NDArray[np.float64],
        rate_hz: float,
    ) -> None:
        self._spec = spec
        self.mean = mean.astype(np.float64)
        self.variance = np.square(sd.astype(np.float64))
        self._forget = 1.0 - math.exp(-spec.block_samples / (spec.time_constant_s * rate_hz))
        self._block: list[NDArray[np.float32]] = []
        self._filled = 0
        self._set()

    def _set(self) -> None:
        sd = np.sqrt(self.variance)
        # A flat electrode carries nothing: 0, rather than a division by 0.
        self._scale = np.where(sd > 0, 1.0 / np.where(sd > 0, sd, 1.0), 0.0).astype(np.float32)
        self._offset = self.mean.astype(np.float32)

    def apply(self, chunk: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normalise without learning: for samples that arrive after their turn; axes as in ``push``."""
        return (chunk - self._offset) * self._scale

    def push(self, chunk: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normalise the next samples.

        Parameters
        ----------
        chunk : float32, axes (sample, channel)
            In the recording's unit; consecutive with the last chunk but for lost samples.

        Returns
        -------
        float32, axes (sample, channel), z units; NaN and infinite samples pass through as they are.
        """
        if self._spec.kind == "frozen":
            return self.apply(chunk)
        out = np.empty_like(chunk)
        done = 0
        while done < len(chunk):
            n = min(len(chunk) - done, self._spec.block_samples - self._filled)
            part = chunk[done : done + n]
            out[done : done + n] = self.apply(part)
            self._block.append(part.copy())
            self._filled += n
            done += n
            if self._filled == self._spec.block_samples:
                self._learn()
        return out

    def skip(self, n: int) -> None:
        """Let ``n`` lost samples pass: blocks stay those of the sample clock."""
        if self._spec.kind == "frozen":
            return
        while n > 0:
            part = min(n, self._spec.block_samples - self._filled)
            self._filled += part
            n -= part
            if self._filled == self._spec.block_samples:
                self._learn()

    def _learn(self) -> None:
        parts, self._block, self._filled = self._block, [], 0
        if not parts:
            return
        block = np.concatenate(parts).astype(np.float64)
        finite = np.isfinite(block)
        # A saturated sample (an artefact, a rail) must not widen the scale for the rest of the day.
        reach = np.where(self.variance > 0, N_SD_LEARNT * np.sqrt(self.variance), np.inf)
        block = np.clip(block, self.mean - reach, self.mean + reach)
        count = finite.sum(axis=0)
        block = np.where(finite, block, 0.0)
        enough = count >= self._spec.block_samples // 2
        n = np.maximum(count, 1)
        mean = block.sum(axis=0) / n
        a = np.where(enough, self._forget, 0.0)
        # Exponentially weighted mean and variance, West 1979, Commun. ACM 22(9): the block enters with weight a.
        step = mean - self.mean
        within = np.where(finite, block - mean, 0.0)
        self.variance = (1 - a) * (self.variance + a * step * step) + a * np.square(within).sum(
            axis=0
        ) / n
        self.mean = self.mean + a * step
        self._set()
