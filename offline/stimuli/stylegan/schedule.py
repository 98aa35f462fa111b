"""How the layers of StyleGAN3 and StyleGAN-XL follow from a handful of numbers.

Sources: Karras et al. 2021, "Alias-Free Generative Adversarial Networks", section 3.2 and appendix C;
Sauer et al. 2022, "StyleGAN-XL", section 3.2 (super-resolution heads). Must not know torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

from offline.stimuli.stylegan.specification import (
    GeneratorSpec,
    InputSpec,
    LayerSpec,
    MappingSpec,
)

N_CRITICAL = 2
FIRST_CUTOFF = 2.0
FIRST_STOPBAND = 2**2.1
LAST_STOPBAND_REL = 2**0.3
FILTER_SIZE = 6
CONV_CLAMP = 256.0
OUTPUT_SCALE = 0.25


@dataclass(frozen=True, slots=True)
class Widths:
    """Numbers that a network is built from.

    Attributes
    ----------
    resolution : int
        Rows and columns of the picture, a power of two.
    channel_base, channel_max : int
        Channels are ``(channel_base / 2) / cutoff``, at most ``channel_max``.
    n_layers : int
        Layers before ToRGB.
    conv_kernel : int
        3: StyleGAN3-T; 1: StyleGAN3-R and StyleGAN-XL.
    radial : bool
        Radial down filters where not critically sampled (R and XL).
    margin : int
        Samples around the picture, per side.
    """

    resolution: int
    channel_base: int = 32768
    channel_max: int = 512
    n_layers: int = 14
    conv_kernel: int = 3
    radial: bool = False
    margin: int = 10


@dataclass(frozen=True, slots=True)
class _Point:
    """The signal between two layers."""

    cutoff: float
    stopband: float
    rate: float
    size: int
    channels: int

    @property
    def half_width(self) -> float:
        return max(self.stopband, self.rate / 2) - self.cutoff


def stylegan3(
    name: str,
    widths: Widths,
    *,
    z_dim: int = 512,
    n_classes: int = 0,
    w_dim: int = 512,
    mapping: MappingSpec | None = None,
) -> GeneratorSpec:
    """Return the specification of a StyleGAN3 network.

    Parameters
    ----------
    name : str
    widths : Widths
    z_dim, n_classes, w_dim : int
    mapping : MappingSpec, optional
        By default two layers, with a linear embedding where there are classes.
    """
    points = _points(widths, widths.n_layers, FIRST_CUTOFF, FIRST_STOPBAND)
    layers = _layers(points, widths, first_idx=0)
    start = points[0]
    return GeneratorSpec(
        name=name,
        z_dim=z_dim,
        n_classes=n_classes,
        w_dim=w_dim,
        resolution=widths.resolution,
        output_scale=OUTPUT_SCALE,
        mapping=mapping or MappingSpec(embedding="linear" if n_classes else "none"),
        input=InputSpec(start.channels, start.size, start.rate, start.cutoff),
        layers=tuple(layers),
    )


def superresolution(
    stem: GeneratorSpec, widths: Widths, head_layers: int, name: str | None = None
) -> GeneratorSpec:
    """Return a StyleGAN-XL network: a stem without its critically sampled layers, and a head to a new resolution.

    Parameters
    ----------
    stem : GeneratorSpec
        A StyleGAN3 network, or one that has such a head already.
    widths : Widths
        Of the head; ``n_layers`` is not used.
    head_layers : int
        Layers of the head before ToRGB.
    name : str, optional
    """
    kept = [layer for layer in stem.layers if not layer.is_critically_sampled]
    last = kept[-1]
    # The stopband of the kept layer: where half its rate is larger, the band between was widened to it.
    points = _points(
        widths,
        head_layers,
        last.out_cutoff,
        _stopband(last),
        start=_Point(
            last.out_cutoff,
            _stopband(last),
            last.out_sampling_rate,
            last.out_size,
            last.out_channels,
        ),
    )
    head = _layers(points, widths, first_idx=len(kept) + 1)
    return replace(
        stem,
        name=name or f"{stem.name}-{widths.resolution}",
        resolution=widths.resolution,
        layers=(*kept, *head),
    )


def _stopband(layer: LayerSpec) -> float:
    return layer.out_cutoff + layer.out_half_width


def _points(
    widths: Widths,
    n_layers: int,
    first_cutoff: float,
    first_stopband: float,
    start: _Point | None = None,
) -> list[_Point]:
    """Cutoff, stopband, rate, size and channels before the first layer and after each: N + 1 points."""
    last_cutoff = widths.resolution / 2
    last_stopband = last_cutoff * LAST_STOPBAND_REL
    points = []
    for i in range(n_layers + 1):
        exponent = min(i / (n_layers - N_CRITICAL), 1.0)
        cutoff = first_cutoff * (last_cutoff / first_cutoff) ** exponent
        stopband = first_stopband * (last_stopband / first_stopband) ** exponent
        rate = 2.0 ** math.ceil(math.log2(min(2 * stopband, widths.resolution)))
        size = int(rate) + 2 * widths.margin
        if i >= n_layers - 1:
            size = widths.resolution
        channels = round(min((widths.channel_base / 2) / cutoff, widths.channel_max))
        points.append(_Point(cutoff, stopband, rate, size, 3 if i == n_layers else channels))
    if start is not None:
        points[0] = start
    return points


def _layers(points: list[_Point], widths: Widths, first_idx: int) -> list[LayerSpec]:
    """Layer i goes from point max(i - 1, 0) to point i."""
    n_layers = len(points) - 1
    ends = [(points[0], points[0]), *pairwise(points)]
    return [
        _layer(
            i + first_idx,
            before,
            after,
            widths,
            is_torgb=i == n_layers,
            is_critical=i >= n_layers - N_CRITICAL,
        )
        for i, (before, after) in enumerate(ends)
    ]


def _layer(
    idx: int, before: _Point, after: _Point, widths: Widths, *, is_torgb: bool, is_critical: bool
) -> LayerSpec:
    tmp_rate = max(before.rate, after.rate) * (1 if is_torgb else 2)
    up, down = round(tmp_rate / before.rate), round(tmp_rate / after.rate)
    up_taps = FILTER_SIZE * up if up > 1 and not is_torgb else 1
    down_taps = FILTER_SIZE * down if down > 1 and not is_torgb else 1
    kernel = 1 if is_torgb else widths.conv_kernel
    total = (after.size - 1) * down + 1 - (before.size + kernel - 1) * up + up_taps + down_taps - 2
    low = (total + up) // 2
    return LayerSpec(
        name=f"L{idx}_{after.size}_{after.channels}",
        is_torgb=is_torgb,
        is_critically_sampled=is_critical,
        in_channels=before.channels,
        out_channels=after.channels,
        in_size=before.size,
        out_size=after.size,
        in_sampling_rate=before.rate,
        out_sampling_rate=after.rate,
        in_cutoff=before.cutoff,
        out_cutoff=after.cutoff,
        in_half_width=before.half_width,
        out_half_width=after.half_width,
        up_factor=up,
        down_factor=down,
        up_taps=up_taps,
        down_taps=down_taps,
        down_radial=widths.radial and not is_critical and down_taps > 1,
        padding=(low, total - low, low, total - low),
        conv_kernel=kernel,
        conv_clamp=CONV_CLAMP,
    )
