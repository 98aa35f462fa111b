"""From MUA in the recording's unit to z units, channel by channel, causally.

``frozen`` uses the bundle's mean and SD. ``running`` starts from them and follows the day: statistics are
gathered over whole blocks of the sample clock and take effect from the next block on, so no output depends on
a later sample, nor on how the samples were chunked.
On a new day electrodes have another gain and offset: ``start_day`` lets what was learnt before count for little, so
that the first minute of the day decides, and the time constant rules from there. ``anchor`` sets statistics that the
caller knows, of a calibration run, say. Where days are known beforehand (a recording), ``day_starts`` says so.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

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
    day_starts : sequence of int
        With which samples days begin, counted from the first one, lost ones included: as if ``start_day`` had been
        called before each of them.
    day_weight_s : float
        ``weight_s`` of those days.

    Attributes
    ----------
    mean, variance : float64, axes (channel,)
        In force now.
    evidence : float64, axes (channel,)
        For how many blocks of this day they count; infinite until a day is started.
    """

    def __init__(
        self,
        spec: Normalisation,
        mean: NDArray[np.float64],
        sd: NDArray[np.float64],
        rate_hz: float,
        *,
        day_starts: Sequence[int] = (),
        day_weight_s: float = 0.0,
    ) -> None:
        self._day_starts = deque(sorted(day_starts))
        self._day_weight_s = day_weight_s
        self._position = 0
        self._spec = spec
        self._rate_hz = rate_hz
        self.mean = mean.astype(np.float64)
        self.variance = np.square(sd.astype(np.float64))
        self._forget = 1.0 - math.exp(-spec.block_samples / (spec.time_constant_s * rate_hz))
        self.evidence = np.full(self.mean.shape, np.inf)
        self._block: list[NDArray[np.float32]] = []
        self._filled = 0
        self._set()

    def start_day(self, weight_s: float = 0.0) -> None:
        """Begin a day with the next sample: what is in force holds until the day's first block is learnt.

        Parameters
        ----------
        weight_s : float
            For how many seconds of this day the statistics in force count: 0, the first block replaces them.

        Notes
        -----
        The k-th block of a day enters with weight 1 / (k + weight), as in a plain mean of the day, but at least with
        that of the time constant. Blocks are counted from the day's first sample. ``frozen`` has no days.
        """
        self.evidence[:] = weight_s * self._rate_hz / self._spec.block_samples
        self._block, self._filled = [], 0

    def anchor(
        self, mean: NDArray[np.float64], sd: NDArray[np.float64], weight_s: float = math.inf
    ) -> None:
        """Put statistics in force from the next sample on, and begin a day there.

        Parameters
        ----------
        mean, sd : float64, axes (channel,), in the recording's unit
            From samples that are over, or the result is not causal.
        weight_s : float
            As in ``start_day``; by default they are followed with the time constant only.
        """
        self.mean = mean.astype(np.float64)
        self.variance = np.square(sd.astype(np.float64))
        self.start_day(weight_s)
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
            n = min(len(chunk) - done, self._n_until_change())
            part = chunk[done : done + n]
            out[done : done + n] = self.apply(part)
            self._block.append(part.copy())
            self._filled += n
            self._position += n
            done += n
            if self._filled == self._spec.block_samples:
                self._learn()
        return out

    def skip(self, n: int) -> None:
        """Let ``n`` lost samples pass: blocks stay those of the sample clock."""
        if self._spec.kind == "frozen":
            return
        while n > 0:
            part = min(n, self._n_until_change())
            self._filled += part
            self._position += part
            n -= part
            if self._filled == self._spec.block_samples:
                self._learn()

    def _n_until_change(self) -> int:
        """Begin a day that is due; return how many samples there are until the next one or the end of the block."""
        while self._day_starts and self._day_starts[0] <= self._position:
            self._day_starts.popleft()
            self.start_day(self._day_weight_s)
        n = self._spec.block_samples - self._filled
        return min(n, self._day_starts[0] - self._position) if self._day_starts else n

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
        enough = count >= max(self._spec.block_samples // 2, 1)
        n = np.maximum(count, 1)
        mean = block.sum(axis=0) / n
        a = np.where(enough, np.maximum(self._forget, 1.0 / (self.evidence + 1.0)), 0.0)
        self.evidence += enough
        # Exponentially weighted mean and variance, West 1979, Commun. ACM 22(9): the block enters with weight a.
        step = mean - self.mean
        within = np.where(finite, block - mean, 0.0)
        self.variance = (1 - a) * (self.variance + a * step * step) + a * np.square(within).sum(
            axis=0
        ) / n
        self.mean = self.mean + a * step
        self._set()
