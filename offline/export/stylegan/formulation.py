"""In which of several mathematically equal ways a synthesis is written: plain data, for exporter and benchmarks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self


@dataclass(frozen=True, slots=True)
class Formulation:
    """How a synthesis is written as a graph; the defaults are the fastest known on a CPU, ``for_half`` is for GPUs.

    Attributes
    ----------
    channel_multiple : int
        Channels are padded to a multiple of this with zero weights: ONNX Runtime's blocked layout (8 channels with
        AVX2, 16 with AVX512) takes only such convolutions.
    down : {'full', 'separable'}
        Radial down filters as one two-dimensional convolution per phase plane, or as a sum of separable ones.
    rank_tolerance : float
        Of 'separable': relative Frobenius error of the filter that may be left out, per layer.
    mixing : {'matmul', 'conv'}
        1x1 convolutions with style and demodulation in the weight, or as a static convolution between two
        multiplications. 3x3 ones are always the latter.
    insertion : {'concat', 'matmul'}
        Where the rate is quadrupled: how zero rows come in, by a copy or by a larger product.
    clamp : {'conv', 'clip', 'none'}
        As the activation of a convolution that does nothing, which keeps ONNX Runtime's CPU provider in its blocked
        layout; as it is, which a GPU fuses; or left out: another network where activations exceed it, to measure
        what it costs.
    """

    channel_multiple: int = 8
    down: Literal["full", "separable"] = "full"
    rank_tolerance: float = 1e-4
    mixing: Literal["matmul", "conv"] = "matmul"
    insertion: Literal["concat", "matmul"] = "concat"
    clamp: Literal["conv", "clip", "none"] = "conv"

    @classmethod
    def for_half(cls) -> Self:
        """Return what suits a GPU."""
        return cls(clamp="clip")

    def padded(self, channels: int) -> int:
        """Return the number of channels that so many are padded to."""
        return -(-channels // self.channel_multiple) * self.channel_multiple
