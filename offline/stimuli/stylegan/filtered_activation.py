"""The alias-free activation: up, leaky ReLU, clamp, down.

Source: Karras et al. 2021, section 3.2. Plain and differentiable; the tests hold it to the golden data.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from offline.stimuli.stylegan.mapping import SLOPE
from offline.stimuli.stylegan.specification import LayerSpec


class FilteredActivation(nn.Module):
    """Up-sampling, leaky ReLU, clamp and down-sampling of one layer.

    Parameters
    ----------
    spec : LayerSpec
    """

    def __init__(self, spec: LayerSpec) -> None:
        super().__init__()
        self.spec = spec

    def forward(self, x: Tensor, up: Tensor | None, down: Tensor | None) -> Tensor:
        """Return (N, C, row, col) at the output's rate.

        Parameters
        ----------
        x : Tensor, float32, (N, C, row, col)
        up : Tensor, (tap,), or None
        down : Tensor, (tap,) or (row tap, col tap), or None
        """
        spec = self.spec
        x = _upsampled(x, up, spec.up_factor, spec.padding)
        if not spec.is_torgb:
            x = nn.functional.leaky_relu(x, SLOPE) * math.sqrt(2.0)
        if spec.conv_clamp is not None:
            x = x.clamp(-spec.conv_clamp, spec.conv_clamp)
        x = _filtered(x, down)
        return x[:, :, :: spec.down_factor, :: spec.down_factor]


def _upsampled(
    x: Tensor, taps: Tensor | None, factor: int, padding: tuple[int, int, int, int]
) -> Tensor:
    n, c, rows, cols = x.shape
    if factor > 1:
        x = x.reshape(n, c, rows, 1, cols, 1)
        x = nn.functional.pad(x, (0, factor - 1, 0, 0, 0, factor - 1))
        x = x.reshape(n, c, rows * factor, cols * factor)
    x = nn.functional.pad(x, padding)
    return _filtered(x, None if taps is None else taps * factor)


def _filtered(x: Tensor, taps: Tensor | None) -> Tensor:
    """Convolve (kernels flipped) without padding; (tap,) acts along both axes."""
    if taps is None:
        return x
    channels = x.shape[1]
    taps = taps.flip(tuple(range(taps.ndim))).to(x.dtype)
    kernels = [taps[None, :], taps[:, None]] if taps.ndim == 1 else [taps]
    for kernel in kernels:
        weight = kernel.expand(channels, 1, *kernel.shape)
        x = nn.functional.conv2d(x, weight, groups=channels)
    return x
