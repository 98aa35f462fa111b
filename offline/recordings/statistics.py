"""Mean and SD of every channel, in one pass over a recording.

Gathered block by block with the pairwise update of Chan, Golub and LeVeque (1979, Stanford STAN-CS-79-773) in
float64, so that a large offset costs no digits. Statistics come from training recordings only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from offline.recordings.recording import Recording


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """Running mean and sum of squared deviations.

    Attributes
    ----------
    count, mean, squares : float64, axes (channel,)
        Finite samples, their mean, and the sum of squared deviations from it; the recording's unit.
    """

    count: NDArray[np.float64]
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]

    @classmethod
    def of(cls, values: NDArray[np.float32]) -> ChannelStatistics:
        """Return those of one block, axes (sample, channel); NaN and infinite samples do not count."""
        wide = values.astype(np.float64)
        n = np.full(wide.shape[1], float(len(wide)))
        mean = wide.sum(axis=0) / max(1, len(wide))
        if not np.isfinite(mean).all():
            finite = np.isfinite(wide)
            n = finite.sum(axis=0).astype(np.float64)
            mean = np.where(finite, wide, 0.0).sum(axis=0) / np.maximum(n, 1.0)
            wide = np.where(finite, wide, mean)
        wide -= mean
        return cls(n, mean, np.einsum("sc,sc->c", wide, wide))

    def merged(self, other: ChannelStatistics) -> ChannelStatistics:
        """Return the statistics of both sets of samples together."""
        n = self.count + other.count
        share = other.count / np.maximum(n, 1.0)
        step = other.mean - self.mean
        return ChannelStatistics(
            n,
            self.mean + step * share,
            self.squares + other.squares + step * step * self.count * share,
        )

    @property
    def sd(self) -> NDArray[np.float64]:
        """Standard deviation, float64, axes (channel,); 0 for a channel without samples."""
        return np.asarray(np.sqrt(self.squares / np.maximum(self.count, 1.0)))


def channel_statistics(
    recording: Recording, progress: Callable[[int], None] | None = None
) -> ChannelStatistics:
    """Return the statistics of a whole recording.

    Parameters
    ----------
    recording : Recording
    progress : callable, optional
        Called with the number of samples done since the last call.
    """
    blank = np.zeros(recording.channels.n_channels)
    total = ChannelStatistics(blank, blank, blank)
    for block in recording.blocks():
        total = total.merged(ChannelStatistics.of(block.values))
        if progress:
            progress(len(block.index))
    return total


def merged_statistics(parts: Iterable[ChannelStatistics]) -> ChannelStatistics:
    """Return the statistics of several recordings together, in the order given."""
    first, *others = parts
    for other in others:
        first = first.merged(other)
    return first
