"""What one picture costs, layer by layer and part by part: floating-point operations and bytes of memory.

Counted twice from a specification alone: as our ONNX files compute it (``file_costs``) and as the floor counts it
(``floor_costs``). For the profiler and the benchmarks. Must not know torch, ONNX or what was measured.

A multiplication and an addition are two operations. The parts of a layer: ``mixing`` (the convolution over channels),
``up``, ``activation`` (leaky ReLU and clamp, counted as bytes only), ``down``; of the Fourier features ``sines``, and
``mixing``, whose matrix goes into the first layer's weight.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from offline.stimuli.stylegan import filters
from offline.stimuli.stylegan.specification import GeneratorSpec, LayerSpec

PARTS = ("mixing", "up", "activation", "down")
INPUT, SINES = "input", "sines"
RANK_TOLERANCE = 1e-4
"""Relative Frobenius error of a radial filter as a sum of separable ones: passes the project's parity tolerance."""

FLOOR_GFLOP_PER_S = 140.0
"""What the floors of the facts page divide by: two cores with AVX2."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Operations and bytes of one part, per picture."""

    flop: float = 0.0
    bytes: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.flop + other.flop, self.bytes + other.bytes)


@dataclass(frozen=True, slots=True)
class LayerCost:
    """A layer, or the input.

    Attributes
    ----------
    name : str
        As in the specification; ``input`` for the Fourier features.
    parts : dict
        Cost by part.
    """

    name: str
    parts: dict[str, Cost]

    @property
    def total(self) -> Cost:
        """All parts together."""
        return sum(self.parts.values(), Cost())


@dataclass(frozen=True, slots=True)
class Peaks:
    """What a device can do at most.

    Attributes
    ----------
    gflop_per_s : float
        In the mixing: matrix products.
    filter_gflop_per_s : float
        In the filters, which matrix units do not serve; on a CPU the same.
    gb_per_s : float
        Memory, read and written.
    """

    gflop_per_s: float
    filter_gflop_per_s: float
    gb_per_s: float


def floor_costs(spec: GeneratorSpec, itemsize: int = 4, batch: int = 1) -> list[LayerCost]:
    """Count what cannot be avoided by any known order of computation.

    Filters are separable, radial ones a sum of as many separable ones as an error of 1e-4 needs; a layer is one pass
    that reads its input, its weight and writes its output, all at the low rate.

    Parameters
    ----------
    spec : GeneratorSpec
    itemsize : int
        Bytes of a number.
    batch : int
        Pictures drawn together: they share the reading of the weights.

    Returns
    -------
    list of LayerCost
        Per picture; the input, then the layers.
    """
    found = [_input(spec, itemsize, fused=True)]
    for layer in spec.layers:
        n_in, n_out = layer.in_channels, layer.out_channels
        low = layer.convolved_size
        parts = {"mixing": Cost(_mixing_flop(layer), _weight_bytes(layer, itemsize) / batch)}
        moved = itemsize * (n_in * layer.in_size**2 + n_out * layer.out_size**2)
        if layer.is_torgb:
            parts["mixing"] += Cost(0, moved)
        else:
            up, high, out = layer.up_taps / layer.up_factor, layer.tmp_size, layer.out_size
            parts["up"] = Cost(2 * n_out * up * high * (low + high), 0)
            parts["activation"] = Cost()
            flop = 2 * n_out * layer.down_taps * rank_of(layer) * out * (high + out)
            parts["down"] = Cost(flop, 0)
            parts["mixing"] += Cost(0, moved)
        found.append(LayerCost(layer.name, parts))
    return found


def file_costs(spec: GeneratorSpec, itemsize: int = 4, batch: int = 1) -> list[LayerCost]:
    """Count what our ONNX files do: every operator reads its inputs and writes its output.

    Mixing at the low rate; up-sampling to phase planes, rows first; the activation within that; radial down filters as
    one two-dimensional correlation per plane, separable ones along rows, then columns. Channels are not padded, margins
    that no later layer reads are counted as if they were made.

    Parameters
    ----------
    spec, itemsize, batch
        As for ``floor_costs``.

    Returns
    -------
    list of LayerCost
        Per picture; the input, then the layers.
    """
    found = [_input(spec, itemsize, fused=False)]
    for layer in spec.layers:
        n_out, high = layer.out_channels, layer.tmp_size
        low = layer.convolved_size
        read, mixed = layer.in_channels * layer.in_size**2, n_out * low**2
        # The modulated weight is written and read once more per picture.
        weights = _weight_bytes(layer, itemsize)
        mixing = Cost(
            _mixing_flop(layer), itemsize * (read + mixed) + weights / batch + 2 * weights
        )
        parts = {"mixing": mixing}
        if not layer.is_torgb:
            # Between down and up factor 2, zeros are inserted; the planes' taps then include zeros.
            insertion = layer.up_factor // math.gcd(layer.up_factor, layer.down_factor)
            low_up, taps = low * insertion, layer.up_taps // layer.down_factor
            strip, plane = high * low_up, high**2
            moved = n_out * (2 * strip + (1 + layer.down_factor) * low_up**2 + plane)
            if insertion > 1:
                moved += n_out * (low**2 + 3 * low_up**2)
            parts["up"] = Cost(2 * n_out * taps * (strip + plane), itemsize * moved)
            parts["activation"] = Cost(0, itemsize * 2 * n_out * plane)
            parts["down"] = _down(layer, itemsize)
        found.append(LayerCost(layer.name, parts))
    return found


def floor_ms(cost: LayerCost, peaks: Peaks) -> float:
    """Return the roofline's bound of a layer, ms: its arithmetic or its memory, whichever takes longer."""
    mixing = cost.parts["mixing"].flop if "mixing" in cost.parts else 0.0
    arithmetic = mixing / peaks.gflop_per_s + (cost.total.flop - mixing) / peaks.filter_gflop_per_s
    return max(arithmetic, cost.total.bytes / peaks.gb_per_s) / 1e6


def published_floor_ms(costs: Sequence[LayerCost], gflop_per_s: float) -> float:
    """Return the floor as the facts page counts it, ms: arithmetic of all layers, without the Fourier features."""
    flop = sum(c.total.flop for c in costs if c.name != INPUT)
    return flop / gflop_per_s / 1e6


def rank_of(layer: LayerSpec, tolerance: float = RANK_TOLERANCE) -> int:
    """Return how many separable filters make up a layer's down filter, up to a relative Frobenius error."""
    taps = filters.down_filter(layer)
    return 0 if taps is None else 1 if taps.ndim == 1 else _rank(taps, tolerance)


def _rank(taps: NDArray[np.float64], tolerance: float) -> int:
    size = np.linalg.svd(taps, compute_uv=False)
    left_out = np.sqrt(np.cumsum(size[::-1] ** 2))[::-1] / np.linalg.norm(size)
    return max(1, int((left_out > tolerance).sum()))


def _mixing_flop(layer: LayerSpec) -> float:
    low = layer.convolved_size
    return 2.0 * layer.in_channels * layer.out_channels * layer.conv_kernel**2 * low**2


def _weight_bytes(layer: LayerSpec, itemsize: int) -> float:
    return float(itemsize * layer.in_channels * layer.out_channels * layer.conv_kernel**2)


def _down(layer: LayerSpec, itemsize: int) -> Cost:
    n, out, high, factor = layer.out_channels, layer.out_size, layer.tmp_size, layer.down_factor
    # Each correlation but a sum's first also reads and writes the sum so far.
    if layer.down_radial:
        moved = float(high**2 + (2 * factor**2 - 1) * out**2)
        return Cost(2.0 * n * layer.down_taps**2 * out**2, itemsize * n * moved)
    strip = out * high
    moved = high**2 + strip * (2 * factor - 1) / factor + strip + (2 * factor - 1) * out**2
    return Cost(2.0 * n * layer.down_taps * (strip + out**2), itemsize * n * moved)


def _input(spec: GeneratorSpec, itemsize: int, *, fused: bool) -> LayerCost:
    """Two products and a sum per sample of the grid."""
    n, samples = spec.input.channels, spec.input.size**2
    mixing = Cost(2.0 * n * n * spec.layers[0].out_channels, 0)
    passes = 0 if fused else 7
    sines = Cost(3.0 * n * samples, passes * itemsize * n * samples)
    return LayerCost(INPUT, {"mixing": mixing, SINES: sines})
