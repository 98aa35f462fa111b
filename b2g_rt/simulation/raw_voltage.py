"""30 kHz voltage that has a stream's MUA in it: Poisson spikes on thermal noise.

For tests of the chain from voltage to MUA, and for sources that must send voltage. Each column fires at a rate
proportional to its MUA; line noise, saturation and losses come on top with ``DisturbedStream``. A block's randomness
depends only on the seed and its place. Knows no files, no filters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.simulation.disturbances import Stream

BLOCK_MS = 100
"""Milliseconds that share one random generator."""


@dataclass(frozen=True, slots=True)
class VoltageSpec:
    """What the voltage is made of.

    Attributes
    ----------
    rate_hz : float
        A whole number of samples per millisecond.
    spikes_per_uv_s : float
        Spikes per second for each microvolt of MUA: 30 gives 360 per second at a baseline of 12 uV, several neurons.
    spike_uv : float
        Trough of a spike.
    thermal_uv : float
        SD of the noise.
    """

    rate_hz: float = 30_000.0
    spikes_per_uv_s: float = 30.0
    spike_uv: float = 40.0
    thermal_uv: float = 5.0

    @property
    def samples_per_ms(self) -> int:
        """Voltage samples per MUA sample."""
        return round(self.rate_hz / 1000.0)

    def waveform(self) -> NDArray[np.float32]:
        """Return a spike, float32, axes (sample,): a trough of 0.2 ms and a shallow peak behind it, 1 ms in all."""
        t = np.arange(self.samples_per_ms) / self.rate_hz * 1000.0
        trough = -np.exp(-np.square((t - 0.25) / 0.1))
        peak = 0.35 * np.exp(-np.square((t - 0.55) / 0.2))
        return (self.spike_uv * (trough + peak)).astype(np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for provenance."""
        return asdict(self)


class RawVoltage:
    """A stream of voltage made of a stream of MUA at 1 kHz.

    Parameters
    ----------
    mua : Stream
        In microvolts, without losses.
    spec : VoltageSpec
    seed : int

    Attributes
    ----------
    n_trials, n_samples, n_columns : int
        Samples of voltage.
    onsets : int64, axes (trial,)
        In samples of voltage.
    """

    def __init__(self, mua: Stream, spec: VoltageSpec, seed: int) -> None:
        self._mua = mua
        self._spec = spec
        self._seed = seed
        self.n_trials, self.n_columns = mua.n_trials, mua.n_columns
        self.n_samples = mua.n_samples * spec.samples_per_ms
        self.onsets: NDArray[np.int64] = mua.onsets * spec.samples_per_ms

    def blocks(self, n_samples: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield (index of the first sample, float32 axes (sample, stream column), microvolts)."""
        if n_samples < 1:
            raise ValueError(f"{n_samples} samples per block, expected at least 1")
        held: list[NDArray[np.float32]] = []
        n_held = start = 0
        for internal in self._internal_blocks():
            at = 0
            while at < len(internal):
                part = internal[at : at + n_samples - n_held]
                held.append(part)
                n_held += len(part)
                at += len(part)
                if n_held == n_samples:
                    yield start, np.concatenate(held)
                    start += n_held
                    held, n_held = [], 0
        if n_held:
            yield start, np.concatenate(held)

    def _internal_blocks(self) -> Iterator[NDArray[np.float32]]:
        waveform = self._spec.waveform()
        tail = np.zeros((len(waveform) - 1, self.n_columns), np.float32)
        for position, (_, mua) in enumerate(self._mua.blocks(BLOCK_MS)):
            rng = np.random.default_rng([self._seed, 5, position])
            fired = self._fired(mua, rng)
            n = len(fired)
            voltage = np.zeros((n + len(tail), self.n_columns), np.float32)
            voltage[: len(tail)] = tail
            for lag, height in enumerate(waveform):
                voltage[lag : lag + n] += height * fired
            tail = voltage[n:].copy()
            noise = rng.standard_normal((n, self.n_columns), dtype=np.float32)
            yield voltage[:n] + np.float32(self._spec.thermal_uv) * noise

    def _fired(self, mua: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """Return the number of spikes that begin at each sample, axes (sample, stream column)."""
        per_ms = self._spec.samples_per_ms
        count = rng.poisson(np.maximum(mua, 0.0) * self._spec.spikes_per_uv_s / 1000.0)
        ms, column = np.nonzero(count)
        times = count[ms, column]
        ms, column = np.repeat(ms, times), np.repeat(column, times)
        fired = np.zeros((len(mua) * per_ms, self.n_columns), np.float32)
        np.add.at(fired, (ms * per_ms + rng.integers(0, per_ms, len(ms)), column), 1.0)
        return fired
