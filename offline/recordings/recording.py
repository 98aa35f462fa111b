"""A recorded stream as training sees it: blocks of samples with their place on the sample clock.

A recorded session and a simulated stream answer alike, so statistics and features are computed by one function
for both, a block at a time. Knows nothing of windows or decoders.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.simulation.stream import SimulatedStream

BLOCK_SAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive rows of a recording.

    Attributes
    ----------
    index : int64, axes (sample,)
        On the sample clock, in order of reception; a jump ahead is a gap, a step back a late or doubled sample.
    values : float32, axes (sample, channel)
        In the recording's unit.
    """

    index: NDArray[np.int64]
    values: NDArray[np.float32]


class Recording(Protocol):
    """What statistics and features are computed from."""

    @property
    def channels(self) -> ChannelMap:
        """The electrodes, in channel order."""

    @property
    def n_samples(self) -> int:
        """Rows in all, for progress."""

    def blocks(self, n_samples: int = BLOCK_SAMPLES) -> Iterator[Block]:
        """Yield the recording from its first row, at most ``n_samples`` rows at a time."""


class SimulatedRecording:
    """A simulated stream, made while it is read; never held as a whole.

    Parameters
    ----------
    stream : SimulatedStream
    channels : ChannelMap
        The macaque's.
    """

    def __init__(self, stream: SimulatedStream, channels: ChannelMap) -> None:
        self._stream = stream
        self.channels = channels
        self.n_samples = stream.n_samples

    def blocks(self, n_samples: int = BLOCK_SAMPLES) -> Iterator[Block]:
        """Yield the stream from its first sample."""
        for start, values in self._stream.blocks(n_samples):
            index = np.arange(start, start + len(values), dtype=np.int64)
            yield Block(index, self.channels.pick(values))
