"""The alias-free activation: up, leaky ReLU, clamp, down.

Source: Karras et al. 2021, section 3.2. Plain and differentiable; the tests hold it to the golden data. On the CPU
training and projection put ``fused_activation`` in its place, see ``use_fused_activations``.
"""

from __future__ import annotations

import importlib.util
import math

import numpy as np
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
        self.fused = False

    def forward(self, x: Tensor, up: Tensor | None, down: Tensor | None) -> Tensor:
        """Return (N, C, row, col) at the output's rate.

        Parameters
        ----------
        x : Tensor, float32, (N, C, row, col)
        up : Tensor, (tap,), or None
        down : Tensor, (tap,) or (row tap, col tap), or None
        """
        spec = self.spec
        if self.fused and x.device.type == "cpu" and x.dtype == torch.float32 and fusable(spec):
            return self._fused(x, up, down)
        x = _upsampled(x, up, spec.up_factor, spec.padding)
        if not spec.is_torgb:
            x = nn.functional.leaky_relu(x, SLOPE) * math.sqrt(2.0)
        if spec.conv_clamp is not None:
            x = x.clamp(-spec.conv_clamp, spec.conv_clamp)
        x = _filtered(x, down)
        return x[:, :, :: spec.down_factor, :: spec.down_factor]

    def _fused(self, x: Tensor, up: Tensor | None, down: Tensor | None) -> Tensor:
        from offline.stimuli.stylegan.fused_activation import Filters, FusedActivation, phases

        spec = self.spec
        assert up is not None  # noqa: S101
        assert down is not None  # noqa: S101
        taps = up.numpy().astype(np.float64)[::-1] * spec.up_factor
        weights, first = phases(taps, spec.up_factor, spec.padding[0])
        filters = Filters(
            up=weights,
            first=first,
            down=np.ascontiguousarray(down.numpy()[::-1]),
            tmp_size=spec.tmp_size,
            out_size=spec.out_size,
            slope=SLOPE,
            gain=math.sqrt(2.0),
            clamp=math.inf if spec.conv_clamp is None else spec.conv_clamp,
        )
        activated: Tensor = FusedActivation.apply(x, filters)
        return activated


def use_fused_activations(module: nn.Module, *, fused: bool = True) -> bool:
    """Let all activations within a module run in one pass where they can; nothing happens without numba.

    Pictures and gradients stay the same within rounding. The first pass compiles for some seconds. Not for export,
    nor for functional transforms of torch.

    Returns
    -------
    bool
        Whether numba is there.
    """
    there = fused_activations_exist()
    for one in module.modules():
        if isinstance(one, FilteredActivation):
            one.fused = fused and there
    return there


def fused_activations_exist() -> bool:
    """Whether numba is installed, which they are compiled by."""
    return importlib.util.find_spec("numba") is not None


def fusable(spec: LayerSpec) -> bool:
    """Whether ``fused_activation`` serves a layer: separable filters, activation, down by 2."""
    whole = spec.up_taps == 6 * spec.up_factor and spec.down_taps == 12
    square = spec.padding[:2] == spec.padding[2:]
    regular = spec.down_factor == 2 and spec.up_factor in (2, 4) and square
    return whole and regular and not spec.down_radial and not spec.is_torgb


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
