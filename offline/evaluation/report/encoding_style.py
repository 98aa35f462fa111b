"""Colours of feature spaces: one ramp for the layers of a network, colours of their own for all others.

A hierarchy is read from names: VGG1 to VGG5 are five steps of one thing, w and CLIP are not. Dark is early. The ramp
is viridis, which colour-blind eyes see as one from dark to light, of a second network red to yellow; the rest is of
Okabe & Ito.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_RAMPS = (("viridis", 0.0, 0.86), ("YlOrRd", 1.0, 0.3))
_OTHERS = ("#D55E00", "#CC79A7", "#E69F00", "#8c4a1f", "#000000", "#56B4E9")
_BESIDE_BOTH = ("#CC79A7", "#56B4E9", "#000000", "#999999")


def space_colours(spaces: Sequence[str]) -> dict[str, str]:
    """Return a colour per space, as matplotlib and HTML write them.

    Parameters
    ----------
    spaces : sequence of str
        Lowest of the hierarchy first.
    """
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    found: dict[str, str] = {}
    hierarchies = [h for h in hierarchies_of(spaces) if len(h) > 1]
    for layers, (name, low, high) in zip(hierarchies, _RAMPS, strict=False):
        step = (high - low) / (len(layers) - 1)
        found |= {space: to_hex(colormaps[name](low + i * step)) for i, space in enumerate(layers)}
    rest = [space for space in spaces if space not in found]
    others = _OTHERS if len(hierarchies) < len(_RAMPS) else _BESIDE_BOTH
    if len(rest) <= len(others):
        return found | dict(zip(rest, others, strict=False))
    shades = [to_hex(colormaps["cividis"](i / (len(rest) - 1))) for i in range(len(rest))]
    return found | dict(zip(rest, shades, strict=True))


def hierarchies_of(spaces: Sequence[str]) -> list[tuple[str, ...]]:
    """Return spaces whose names differ in a number at the end only, together; in the order they come."""
    together: dict[str, list[str]] = {}
    for space in spaces:
        stem = re.sub(r"\d+$", "", space)
        together.setdefault(space if stem == space else stem + "\0", []).append(space)
    return [tuple(own) for own in together.values()]


def legend_columns(labels: Sequence[str]) -> int:
    """Return how many entries of a legend fit beside each other on the page."""
    longest = max(map(len, labels), default=1)
    return max(1, min(len(labels), int(8.8 / (0.55 + 0.08 * longest))))
