"""The synthesis network: Fourier features, then modulated layers with alias-free activations.

Source: Karras et al. 2021, "Alias-Free Generative Adversarial Networks", section 3 and appendices.
Names of parameters and buffers are those of the checkpoints. How an activation is filtered: `filtered_activation`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from offline.stimuli.stylegan import filters
from offline.stimuli.stylegan.filtered_activation import FilteredActivation
from offline.stimuli.stylegan.mapping import FullyConnected
from offline.stimuli.stylegan.specification import GeneratorSpec, InputSpec, LayerSpec


class SynthesisInput(nn.Module):
    """Fourier features, turned and shifted by w.

    Parameters
    ----------
    spec : InputSpec
    w_dim : int
    """

    freqs: Tensor
    phases: Tensor
    transform: Tensor

    def __init__(self, spec: InputSpec, w_dim: int) -> None:
        super().__init__()
        self.spec = spec
        freqs = torch.randn(spec.channels, 2)
        radius = freqs.square().sum(dim=1, keepdim=True).sqrt()
        freqs = freqs / (radius * radius.square().exp().pow(0.25)) * spec.bandwidth
        self.register_buffer("freqs", freqs)
        self.register_buffer("phases", torch.rand(spec.channels) - 0.5)
        self.register_buffer("transform", torch.eye(3))
        self.weight = nn.Parameter(torch.randn(spec.channels, spec.channels))
        self.affine = FullyConnected(w_dim, 4)
        nn.init.zeros_(self.affine.weight)
        with torch.no_grad():
            self.affine.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]))

    def forward(self, w: Tensor) -> Tensor:
        """Return features (N, channel, row, col) for w (N, w_dim)."""
        freqs, phases = self.waves(w)  # (N, C, 2), (N, C)
        amplitude = self.amplitude(freqs)  # (N, C)
        centre = grid(self.spec, w.device, w.dtype)  # (size,)
        across = freqs[:, :, 0, None] * centre + phases[:, :, None]  # (N, C, col)
        along = freqs[:, :, 1, None] * centre  # (N, C, row)
        x = torch.sin(2 * math.pi * (along.unsqueeze(3) + across.unsqueeze(2)))  # (N, C, row, col)
        x = x * amplitude[:, :, None, None]
        mixed = self.weight / math.sqrt(self.spec.channels)
        return torch.einsum("ncrs,oc->nors", x, mixed)  # (N, C, row, col)

    def waves(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """Return frequencies (N, C, 2) (cycles per picture width; x, y) and phases (N, C) as turned and shifted."""
        t = self.affine(w)
        t = t / t[:, :2].norm(dim=1, keepdim=True)
        cos, sin, x, y = t.unbind(dim=1)
        zero, one = torch.zeros_like(cos), torch.ones_like(cos)
        turn = torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], 1).view(-1, 3, 3)
        shift = torch.stack([one, zero, -x, zero, one, -y, zero, zero, one], 1).view(-1, 3, 3)
        whole = turn @ shift @ self.transform  # (N, 3, 3)
        phases = self.phases + (self.freqs @ whole[:, :2, 2:]).squeeze(2)
        return self.freqs @ whole[:, :2, :2], phases

    def amplitude(self, freqs: Tensor) -> Tensor:
        """Fade waves out between the bandwidth and half the sampling rate: (N, C) of (N, C, 2)."""
        excess = freqs.norm(dim=2) - self.spec.bandwidth
        return (1 - excess / (self.spec.sampling_rate / 2 - self.spec.bandwidth)).clamp(0, 1)


class SynthesisLayer(nn.Module):
    """One layer: modulated convolution, bias, filtered leaky ReLU.

    Parameters
    ----------
    spec : LayerSpec
    w_dim : int
    """

    magnitude_ema: Tensor

    def __init__(self, spec: LayerSpec, w_dim: int) -> None:
        super().__init__()
        self.spec = spec
        k = spec.conv_kernel
        self.weight = nn.Parameter(torch.randn(spec.out_channels, spec.in_channels, k, k))
        self.bias = nn.Parameter(torch.zeros(spec.out_channels))
        self.affine = FullyConnected(w_dim, spec.in_channels)
        nn.init.ones_(self.affine.bias)
        self.register_buffer("magnitude_ema", torch.ones(()))
        for name, taps in (
            ("up_filter", filters.up_filter(spec)),
            ("down_filter", filters.down_filter(spec)),
        ):
            self.register_buffer(name, None if taps is None else torch.tensor(taps).float())
        self.activate = FilteredActivation(spec)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Return (N, out channel, row, col) for x (N, in channel, row, col) and w (N, w_dim)."""
        scale_in, scale_out = self.styles(w)  # (N, I), (N, O) or None
        x = x * scale_in[:, :, None, None]
        x = nn.functional.conv2d(x, self.normalised_weight(), padding=self.spec.conv_kernel - 1)
        if scale_out is not None:
            x = x * scale_out[:, :, None, None]
        x = x + self.bias[:, None, None]
        activated: Tensor = self.activate(x, self.up_filter, self.down_filter)
        return activated

    def styles(self, w: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the factors of the input's channels (N, I) and of the output's (N, O; None for ToRGB).

        Scaling the input by s, convolving with the constant weight W and scaling the output by
        ``d_o = rsqrt(sum over i, k of (W_oik s_i)^2 + 1e-8)`` is the modulated convolution (equations 1 and 3 of
        Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN"). The original normalises s by
        its mean square over the whole batch first; that cancels in d up to the 1e-8, so here it is done per sample.
        """
        s = self.affine(w)  # (N, I)
        gain = torch.rsqrt(self.magnitude_ema)
        if self.spec.is_torgb:
            fan_in = self.spec.in_channels * self.spec.conv_kernel**2
            return s * (gain / math.sqrt(fan_in)), None
        s = s * torch.rsqrt(s.square().mean(dim=1, keepdim=True))
        energy = self.normalised_weight().square().sum(dim=(2, 3))  # (O, I)
        return s * gain, torch.rsqrt(s.square() @ energy.t() + 1e-8)

    def normalised_weight(self) -> Tensor:
        """Return the weight (O, I, k, k), with unit mean square per output channel but for ToRGB."""
        if self.spec.is_torgb:
            return self.weight
        return self.weight * torch.rsqrt(self.weight.square().mean(dim=(1, 2, 3), keepdim=True))


class Synthesis(nn.Module):
    """From w to a picture.

    Parameters
    ----------
    spec : GeneratorSpec
    """

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__()
        self.spec = spec
        self.input = SynthesisInput(spec.input, spec.w_dim)
        for layer in spec.layers:
            self.add_module(layer.name, SynthesisLayer(layer, spec.w_dim))

    @property
    def layers(self) -> list[SynthesisLayer]:
        """The layers in order."""
        return [getattr(self, layer.name) for layer in self.spec.layers]

    def forward(self, w: Tensor) -> Tensor:
        """Draw pictures.

        Parameters
        ----------
        w : Tensor, float32, (N, K, w_dim)
            K = 1 (the same w for all layers) or num_ws.

        Returns
        -------
        Tensor, float32, (N, 3, row, col)
            rgb, nominally within -1..1.

        Raises
        ------
        ValueError
            K is neither 1 nor num_ws.
        """
        return self.drawn(w, SynthesisLayer.__call__)

    def drawn(self, w: Tensor, run: Callable[[SynthesisLayer, Tensor, Tensor], Tensor]) -> Tensor:
        """Draw as ``forward`` does, where ``run(layer, x, row of w)`` gives what each layer gives."""
        if w.shape[1] not in (1, self.spec.num_ws):
            raise ValueError(
                f"w: {w.shape[1]} rows, expected 1 or {self.spec.num_ws} (input and layers)."
            )
        rows = w.expand(-1, self.spec.num_ws, -1).unbind(dim=1)
        x = self.input(rows[0])
        for layer, row in zip(self.layers, rows[1:], strict=True):
            x = run(layer, x, row)
        return x * self.spec.output_scale


def grid(spec: InputSpec, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the pixel centres along one axis, (size,), in picture widths from the centre."""
    centre = torch.arange(spec.size, device=device, dtype=torch.float64) + 0.5 - spec.size / 2
    return (centre / spec.sampling_rate).to(dtype)
