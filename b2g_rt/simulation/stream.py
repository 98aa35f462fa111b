"""The simulated stream: consecutive blocks of MUA in microvolts, as an amplifier would send them.

The same numbers whatever the block size; a few blocks in memory, whatever the session's length.
For the session writer, the simulated source and training. Knows no files, no clocks.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from b2g_rt.simulation.macaque import Macaque
from b2g_rt.simulation.noise import BLOCK, Noise
from b2g_rt.simulation.protocol import Protocol

DEAD_BASELINE_UV = 1.0
DEAD_SCALE_UV = 0.02
"""A dead electrode: mean, and noise as ``scale_uv`` of a live one, both without any response."""

TRIALS_AT_ONCE = 500


class SimulatedStream:
    """One session of one macaque.

    Parameters
    ----------
    macaque : Macaque
    w : float, axes (trial, latent)
        Latent of the stimulus of each trial, in the order of presentation.
    protocol : Protocol
    seed : int
        Of the noise alone; the animal has its own.

    Attributes
    ----------
    n_trials, n_samples, n_columns : int
    onsets : int64, axes (trial,)
        Sample index of each onset.
    """

    def __init__(
        self, macaque: Macaque, w: NDArray[np.floating], protocol: Protocol, seed: int
    ) -> None:
        self._macaque = macaque
        self._seed = seed
        self.n_trials = len(w)
        self.onsets: NDArray[np.int64] = protocol.onsets(self.n_trials)
        self.n_samples: int = protocol.n_samples(self.n_trials)
        truth, channels = macaque.truth(), macaque.channels
        self.n_columns: int = channels.n_stream_channels
        self._response_uv = np.zeros((self.n_trials, self.n_columns), np.float32)
        for start in range(0, self.n_trials, TRIALS_AT_ONCE):
            rows = slice(start, start + TRIALS_AT_ONCE)
            response = macaque.response(w[rows]) * truth.scale_uv
            self._response_uv[rows, channels.stream_idx] = response
        self._gain = np.zeros((len(truth.gain), self.n_columns), np.float32)
        self._gain[:, channels.stream_idx] = truth.gain
        self._baseline_uv = np.full(self.n_columns, DEAD_BASELINE_UV, np.float32)
        self._baseline_uv[channels.stream_idx] = truth.baseline_uv
        self._noise_uv = np.full(self.n_columns, DEAD_SCALE_UV, np.float32)
        self._noise_uv[channels.stream_idx] = truth.scale_uv * np.sqrt(1.0 - truth.q)

    def blocks(self, n_samples: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield the session from its first sample.

        Parameters
        ----------
        n_samples : int
            Samples per block; the last may be shorter.

        Yields
        ------
        start : int
            Index of the block's first sample.
        block : float32, axes (sample, stream column), microvolts
            The caller's own.

        Raises
        ------
        ValueError
            Blocks of less than one sample.
        """
        if n_samples < 1:
            raise ValueError(f"{n_samples} samples per block, expected at least 1")
        start = 0
        block = self._empty(start, n_samples)
        filled = 0
        for internal in self._internal_blocks():
            taken = 0
            while taken < len(internal):
                n = min(len(internal) - taken, len(block) - filled)
                block[filled : filled + n] = internal[taken : taken + n]
                taken += n
                filled += n
                if filled == len(block):
                    yield start, block
                    start += filled
                    block, filled = self._empty(start, n_samples), 0

    def _empty(self, start: int, n: int) -> NDArray[np.float32]:
        return np.empty((min(n, self.n_samples - start), self.n_columns), np.float32)

    def _internal_blocks(self) -> Iterator[NDArray[np.float32]]:
        channels = self._macaque.channels
        noise = Noise(
            self._macaque.noise_modes,
            channels.stream_idx,
            self.n_columns,
            self._noise_uv,
            self._seed,
        )
        for start in range(0, self.n_samples, BLOCK):
            block = noise.next_block()[: self.n_samples - start]
            block += self._baseline_uv
            self._add_responses(block, start)
            yield block

    def _add_responses(self, block: NDArray[np.float32], start: int) -> None:
        length = len(self._gain)
        first = int(np.searchsorted(self.onsets, start - length, side="right"))
        stop = int(np.searchsorted(self.onsets, start + len(block), side="left"))
        for trial in range(first, stop):
            onset = int(self.onsets[trial])
            a, b = max(start, onset), min(start + len(block), onset + length)
            block[a - start : b - start] += (
                self._gain[a - onset : b - onset] * self._response_uv[trial]
            )
