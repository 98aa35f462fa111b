"""Compare a file's numbers with the published arithmetic: a check that changes nothing.

Source: Karras et al. 2021, "Alias-Free Generative Adversarial Networks", appendix C. Knows specifications only.
"""

from __future__ import annotations

import math
from typing import Any

from offline.stimuli.stylegan.published import NETWORKS, published, same_numbers
from offline.stimuli.stylegan.schedule import FILTER_SIZE, Widths, stylegan3
from offline.stimuli.stylegan.specification import GeneratorSpec, LayerSpec


def arithmetic_remarks(spec: GeneratorSpec) -> list[str]:
    """Tell what differs from the published arithmetic; the file's own numbers are used all the same.

    Factors, taps and padding of every layer; where those agree and the network has no heads, the whole schedule.
    """
    remarks = []
    for layer in spec.layers:
        for key, found, expected in _arithmetic(layer):
            if found != expected:
                remarks.append(
                    f"{layer.name}: {key} {found}, by the published arithmetic {expected}"
                )
    if not remarks:
        first, n = spec.layers[0], len(spec.layers) - 1
        radial = any(layer.down_radial for layer in spec.layers)
        widths = Widths(spec.resolution, n_layers=n, conv_kernel=first.conv_kernel, radial=radial)
        difference = _schedule_difference(spec, widths)
        if difference is not None:
            remarks.append(difference)
    return remarks


def _arithmetic(layer: LayerSpec) -> list[tuple[str, Any, Any]]:
    """Factors, taps and padding as they follow from rates and sizes."""
    rate = max(layer.in_sampling_rate, layer.out_sampling_rate) * (1 if layer.is_torgb else 2)
    up, down = round(rate / layer.in_sampling_rate), round(rate / layer.out_sampling_rate)
    up_taps = FILTER_SIZE * up if up > 1 and not layer.is_torgb else 1
    down_taps = FILTER_SIZE * down if down > 1 and not layer.is_torgb else 1
    total = (layer.out_size - 1) * down + 1 - (layer.in_size + layer.conv_kernel - 1) * up
    total += up_taps + down_taps - 2
    low = (total + up) // 2
    return [
        ("up_factor", layer.up_factor, up),
        ("down_factor", layer.down_factor, down),
        ("up_taps", layer.up_taps, up_taps),
        ("down_taps", layer.down_taps, down_taps),
        ("padding", layer.padding, (low, total - low, low, total - low)),
    ]


def _schedule_difference(spec: GeneratorSpec, widths: Widths) -> str | None:
    """Compare a network without heads with the published schedule; channels are the file's."""
    if any(int(layer.name[1:].split("_")[0]) != i for i, layer in enumerate(spec.layers)):
        return None  # A number is skipped where a head begins: no single schedule.
    if len(spec.layers) < 5 or spec.resolution & (spec.resolution - 1) or spec.resolution < 8:
        return f"{len(spec.layers)} layers to {spec.resolution} px: no published schedule"
    expected = stylegan3(spec.name, widths)
    fields = ("in_size", "out_size", "in_cutoff", "out_cutoff", "in_half_width", "out_half_width")
    for mine, theirs in zip(spec.layers, expected.layers, strict=True):
        for key in (*fields, "in_sampling_rate", "out_sampling_rate", "is_critically_sampled"):
            found, told = getattr(mine, key), getattr(theirs, key)
            if not math.isclose(found, told, rel_tol=1e-6):
                return f"{mine.name}: {key} {found:g}, by the published schedule {told:g}"
    return None


def published_as(spec: GeneratorSpec) -> list[str]:
    """Return the names of the published networks that have exactly these numbers."""
    return [name for name in NETWORKS if same_numbers(spec, published(name)) is None]
