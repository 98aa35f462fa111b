"""The straightforward formulation of the synthesis, in torch: what every speed-up of this project is measured against.

As published: weights are modulated per sample and applied as one grouped convolution, up-sampling inserts zeros,
filters are depthwise convolutions at the full rate and down-sampling keeps every n-th sample of the result.
For tests and benchmarks; parameters and names are those of ``Generator``, whose state dict it loads as it is.

Variants: ``ref-1D``, the reference, applies 1-D filters along both axes where the filter is separable;
``ref-2D`` applies every filter as a full 2-D one; ``ref-1D-strided`` computes only the samples that are kept.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from offline.stimuli.stylegan.generator import Generator
from offline.stimuli.stylegan.specification import GeneratorSpec
from offline.stimuli.stylegan.synthesis import Synthesis, SynthesisInput, SynthesisLayer

Variant = Literal["ref-1D", "ref-2D", "ref-1D-strided"]
VARIANTS: tuple[Variant, ...] = ("ref-1D", "ref-2D", "ref-1D-strided")
SLOPE = 0.2


class StraightforwardSynthesis(Synthesis):
    """From w (N, 1 or num_ws, w_dim) to pictures (N, 3, row, col), computed as published.

    Parameters
    ----------
    spec : GeneratorSpec
    variant : {'ref-1D', 'ref-2D', 'ref-1D-strided'}
    """

    def __init__(self, spec: GeneratorSpec, variant: Variant = "ref-1D") -> None:
        super().__init__(spec)
        self.variant = variant

    def forward(self, w: Tensor) -> Tensor:
        """Draw pictures (N, 3, row, col), float32."""
        rows = w.expand(-1, self.spec.num_ws, -1).unbind(dim=1)
        x = fourier_features(self.input, rows[0])
        for layer, row in zip(self.layers, rows[1:], strict=True):
            x = self._layer(layer, x, row)
        return x * self.spec.output_scale

    def _layer(self, layer: SynthesisLayer, x: Tensor, w: Tensor) -> Tensor:
        spec = layer.spec
        x = modulated_convolution(layer, x, w)
        x = x + layer.bias[:, None, None]
        x = self._up(x, layer._buffers["up_filter"], spec.up_factor, spec.padding)
        if not spec.is_torgb:
            x = nn.functional.leaky_relu(x, SLOPE) * math.sqrt(2.0)
        if spec.conv_clamp is not None:
            x = x.clamp(-spec.conv_clamp, spec.conv_clamp)
        return self._down(x, layer._buffers["down_filter"], spec.down_factor)

    def _up(
        self, x: Tensor, taps: Tensor | None, factor: int, padding: tuple[int, int, int, int]
    ) -> Tensor:
        n, c, rows, cols = x.shape
        x = x.reshape(n, c, rows, 1, cols, 1)
        x = nn.functional.pad(x, (0, factor - 1, 0, 0, 0, factor - 1))
        x = x.reshape(n, c, rows * factor, cols * factor)
        x = nn.functional.pad(x, padding)
        return x if taps is None else self._filtered(x, taps * factor, 1)

    def _down(self, x: Tensor, taps: Tensor | None, factor: int) -> Tensor:
        if taps is None:
            return x
        if self.variant == "ref-1D-strided":
            return self._filtered(x, taps, factor)
        return self._filtered(x, taps, 1)[:, :, ::factor, ::factor]

    def _filtered(self, x: Tensor, taps: Tensor, stride: int) -> Tensor:
        if taps.ndim == 1 and self.variant == "ref-2D":
            taps = torch.outer(taps, taps)
        taps = taps.flip(tuple(range(taps.ndim)))  # applied as a convolution
        channels = x.shape[1]
        if taps.ndim == 2:
            weight = taps.expand(channels, 1, *taps.shape)
            return nn.functional.conv2d(x, weight, groups=channels, stride=stride)
        row, col = taps[:, None], taps[None, :]
        x = nn.functional.conv2d(
            x, row.expand(channels, 1, *row.shape), groups=channels, stride=(stride, 1)
        )
        return nn.functional.conv2d(
            x, col.expand(channels, 1, *col.shape), groups=channels, stride=(1, stride)
        )


class StraightforwardGenerator(Generator):
    """A generator whose synthesis is computed as published; loads the state dict of ``Generator``."""

    def __init__(self, spec: GeneratorSpec, variant: Variant = "ref-1D") -> None:
        super().__init__(spec)
        self.synthesis = StraightforwardSynthesis(spec, variant)


def modulated_convolution(layer: SynthesisLayer, x: Tensor, w: Tensor) -> Tensor:
    """Modulate the weight per sample and convolve all samples as one grouped convolution.

    Parameters
    ----------
    layer : SynthesisLayer
    x : Tensor, (N, in channel, row, col)
    w : Tensor, (N, w_dim)

    Returns
    -------
    Tensor, (N, out channel, row + k - 1, col + k - 1)
    """
    spec = layer.spec
    n, _, rows, cols = x.shape
    s = layer.affine(w)  # (N, I)
    weight: Tensor = layer.weight  # (O, I, k, k)
    if spec.is_torgb:
        s = s / math.sqrt(spec.in_channels * spec.conv_kernel**2)
    else:
        weight = weight * torch.rsqrt(weight.square().mean(dim=(1, 2, 3), keepdim=True))
        s = s * torch.rsqrt(s.square().mean())
    modulated = weight * s[:, None, :, None, None]  # (N, O, I, k, k)
    if not spec.is_torgb:
        energy = modulated.square().sum(dim=(2, 3, 4), keepdim=True)
        modulated = modulated * torch.rsqrt(energy + 1e-8)
    modulated = modulated * torch.rsqrt(layer.magnitude_ema)
    grouped = modulated.reshape(n * spec.out_channels, *modulated.shape[2:])
    x = x.reshape(1, n * spec.in_channels, rows, cols)
    x = nn.functional.conv2d(x, grouped, padding=spec.conv_kernel - 1, groups=n)
    return x.reshape(n, spec.out_channels, *x.shape[2:])


def fourier_features(module: SynthesisInput, w: Tensor) -> Tensor:
    """Return the first layer's input (N, channel, row, col): one sine per channel and sample of the grid."""
    spec = module.spec
    t = module.affine(w)
    t = t / t[:, :2].norm(dim=1, keepdim=True)
    turn = torch.eye(3).repeat(len(w), 1, 1)
    turn[:, 0, 0], turn[:, 0, 1] = t[:, 0], -t[:, 1]
    turn[:, 1, 0], turn[:, 1, 1] = t[:, 1], t[:, 0]
    shift = torch.eye(3).repeat(len(w), 1, 1)
    shift[:, 0, 2], shift[:, 1, 2] = -t[:, 2], -t[:, 3]
    whole = turn @ shift @ module.transform  # (N, 3, 3)
    phases = module.phases + (module.freqs @ whole[:, :2, 2:]).squeeze(2)  # (N, C)
    freqs = module.freqs @ whole[:, :2, :2]  # (N, C, 2)
    excess = freqs.norm(dim=2) - spec.bandwidth
    amplitude = (1 - excess / (spec.sampling_rate / 2 - spec.bandwidth)).clamp(0, 1)
    theta = torch.eye(2, 3) * (0.5 * spec.size / spec.sampling_rate)
    size = [1, 1, spec.size, spec.size]
    grid = nn.functional.affine_grid(theta[None], size, align_corners=False)  # (1, row, col, 2)
    x = grid @ freqs.transpose(1, 2)[:, None]  # (N, row, col, C)
    x = torch.sin(2 * math.pi * (x + phases[:, None, None])) * amplitude[:, None, None]
    x = x @ (module.weight / math.sqrt(spec.channels)).t()
    return x.permute(0, 3, 1, 2)
