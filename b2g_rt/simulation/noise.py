"""Noise of the electrodes: one global mode, modes per array and by distance, and private noise.

For the simulated stream. The noise of any sample depends only on the seed and the sample's
position, never on how the samples were asked for. Knows neither stimuli nor time courses.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ELECTRODES_PER_ARRAY, ChannelMap

BLOCK = 1000
"""Samples that share one random generator."""

CACHED_ROWS = 100
"""Samples worked on at once, so that they stay in the processor's cache."""

TAPS = (0.25, 0.5, 0.25)
"""Temporal kernel: the MUA envelope is low-passed, so neighbouring samples correlate."""

WINDOW = 100
"""Samples over which the mean's variance is what a noise of variance 1 means."""


@dataclass(frozen=True, slots=True)
class NoiseSpec:
    """How the noise variance of an electrode is shared out; the rest is private.

    Attributes
    ----------
    global_share : float
        One mode that all electrodes have alike.
    array_share : float
        One mode per array.
    distance_share : float
        Modes per array whose correlation falls with the distance between electrodes.
    distance_wavelength : float
        Electrodes until those modes' correlation is back at 1; at a quarter of it, it is 0.
    """

    global_share: float = 0.10
    array_share: float = 0.05
    distance_share: float = 0.05
    distance_wavelength: float = 20.0

    @property
    def private_share(self) -> float:
        """Share that no other electrode has."""
        return 1.0 - self.global_share - self.array_share - self.distance_share


def noise_modes(spec: NoiseSpec, channels: ChannelMap) -> NDArray[np.float64]:
    """Return the loadings of the shared modes.

    Parameters
    ----------
    spec : NoiseSpec
    channels : ChannelMap

    Returns
    -------
    float64, axes (mode, channel); squares sum to the shared share in every channel.

    Notes
    -----
    Distance modes are pairs of a sine and a cosine along rows and along columns: their covariance
    depends on the distance alone, and every electrode gets the same variance.
    """
    modes = [np.full(channels.n_channels, math.sqrt(spec.global_share))]
    wave = 2.0 * math.pi / spec.distance_wavelength
    for array in np.unique(channels.array):
        here = channels.array == array
        modes.append(here * math.sqrt(spec.array_share))
        for position in (channels.row, channels.col):
            for turn in (np.cos, np.sin):
                modes.append(here * math.sqrt(spec.distance_share / 2) * turn(wave * position))
    return np.stack(modes)


def sample_sd() -> float:
    """Return the SD before the kernel that gives a mean over WINDOW samples the variance 1."""
    weight = np.convolve(np.full(WINDOW, 1.0 / WINDOW), TAPS)
    return float(1.0 / np.sqrt(np.sum(weight**2)))


class Noise:
    """Consecutive blocks of noise whose 100-sample mean has variance 1 in every column.

    Parameters
    ----------
    modes : float64, axes (mode, channel)
        See ``noise_modes``.
    stream_idx : int64, axes (channel,)
        Columns of the channels.
    n_columns : int
        Columns of the stream; those that are no channel get private noise alone.
    scale : float32, axes (stream column,)
        Multiplies each column.
    seed : int
    """

    def __init__(
        self,
        modes: NDArray[np.float64],
        stream_idx: NDArray[np.int64],
        n_columns: int,
        scale: NDArray[np.float32],
        seed: int,
    ) -> None:
        self._seed = seed
        column_scale = scale.astype(np.float64) * sample_sd()
        loading = np.zeros((len(modes), n_columns))
        loading[:, stream_idx] = modes
        private = np.sqrt(1.0 - np.square(loading).sum(axis=0))
        self._n_modes = len(modes)
        self._strips = _strips((loading * column_scale).astype(np.float32))
        self._private = (private * column_scale).astype(np.float32)
        self._block_idx = 0
        # Two rows before the first sample, for the kernel.
        self._tail = self._white(_generator(seed, 0), len(TAPS) - 1)

    def next_block(self) -> NDArray[np.float32]:
        """Return the next BLOCK samples, float32, axes (sample, stream column), a new array."""
        self._block_idx += 1
        white = self._white(_generator(self._seed, self._block_idx), BLOCK)
        padded = np.concatenate([self._tail, white])
        self._tail = white[-(len(TAPS) - 1) :].copy()
        np.multiply(padded[:BLOCK], np.float32(TAPS[0]), out=white)
        part = np.empty_like(white)
        for lag, tap in enumerate(TAPS[1:], start=1):
            np.multiply(padded[lag : lag + BLOCK], np.float32(tap), out=part)
            white += part
        return white

    def _white(self, rng: np.random.Generator, n: int) -> NDArray[np.float32]:
        modes = rng.standard_normal((n, self._n_modes), dtype=np.float32)
        shared = [(columns, modes[:, own], loading) for columns, own, loading in self._strips]
        white = np.empty((n, len(self._private)), np.float32)
        for start in range(0, n, CACHED_ROWS):
            rows = slice(start, start + CACHED_ROWS)
            part = white[rows]
            rng.standard_normal(out=part, dtype=np.float32)
            part *= self._private
            for columns, strength, loading in shared:
                part[:, columns] += strength[rows] @ loading
        return white


def _strips(
    loading: NDArray[np.float32],
) -> list[tuple[slice, NDArray[np.intp], NDArray[np.float32]]]:
    # Most modes live in one array: small products, of the modes that a strip has, are far fewer
    # operations than one large product, and too small for BLAS to spread over busy cores.
    strips = []
    for start in range(0, loading.shape[1], ELECTRODES_PER_ARRAY):
        columns = slice(start, start + ELECTRODES_PER_ARRAY)
        own = np.flatnonzero(loading[:, columns].any(axis=1))
        if len(own):
            strips.append((columns, own, np.ascontiguousarray(loading[own, columns])))
    return strips


def _generator(seed: int, block_idx: int) -> np.random.Generator:
    sequence = np.random.SeedSequence(seed, spawn_key=(block_idx,))
    return np.random.Generator(np.random.SFC64(sequence))
