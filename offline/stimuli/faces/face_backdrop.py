"""Background, neck, shoulders and clothing: what is behind and below the head."""

from __future__ import annotations

import torch
from torch import Tensor

from offline.stimuli.faces.portrait import Portrait
from offline.stimuli.faces.soft_shapes import (
    bump,
    darken,
    edge,
    ellipse,
    gauss,
    larger,
    over,
    smaller,
    tint,
)


def background(p: Portrait) -> Tensor:
    """Paint the background: a hue, a gradient, a glow on the side that the light comes from."""
    s = p.s
    hue = tint(
        (0.47, 0.50, 0.53),
        (s["background_warmth"], (0.36, 0.02, -0.42)),
        (s["background_green"], (-0.27, 0.14, -0.04)),
        (s["background_brightness"], (0.40, 0.40, 0.40)),
    )
    slope = p.y * (-0.10 - 0.50 * s["background_gradient"]) - 0.16
    glow = bump(p.x - 0.75 * p.light[0], p.y + 0.25, 0.95, 1.0)
    return hue * torch.exp(glow * 0.34 + slope)


def body(canvas: Tensor, p: Portrait) -> Tensor:
    """Paint neck, shoulders and clothing; they do not turn with the head."""
    s, x, y = p.s, p.x, p.y
    # The neck's upper end follows the tilted head.
    dx = x - (0.10 * s["roll"] * torch.sigmoid(3.0 - 6.0 * y) - 0.02 * s["yaw"])
    ax = torch.sqrt(dx * dx + 1e-3)
    a2 = ax * ax
    width = 0.172 * torch.exp(0.17 * s["neck_width"])
    neck = width + 0.10 * torch.sigmoid(14.0 * y - 7.7) - ax
    fall = 0.40 - 0.10 * s["neck_width"]
    shoulder = (y - 0.50) - a2 * (fall / (ax + 0.25) + 0.42 * ax)
    canvas = over(
        canvas,
        _bare_skin(p, dx, ax),
        edge(larger(smaller(neck, y - 0.1, 0.02), shoulder, 0.02)),
    )

    neckline = ellipse(dx, y - 0.53, 0.22 + 0.03 * s["neck_width"], 0.155 + 0.085 * s["neckline"])
    fabric = edge(smaller(shoulder + 0.012, -neckline, 0.004))
    colour = _cloth(p, dx)
    canvas = over(canvas, colour, fabric)
    canvas = over(canvas, colour * 1.22 + 0.03, gauss(neckline + 0.030, 1 / 75) * fabric * 0.55)
    return darken(canvas, gauss(neckline + 0.052, 1 / 120) * fabric * 0.28, (0.3, 0.3, 0.3))


def _bare_skin(p: Portrait, dx: Tensor, ax: Tensor) -> Tensor:
    y = p.y
    colour = p.lit(p.skin, p.diffuse(dx * 2.6, (y - 0.62) * 0.3, 0.52))
    # The head's shadow falls away from the light; below it collar bones and their notch.
    shadow = bump(dx + 0.10 * p.light[0], y - 0.43, 0.26, 0.15)
    notch = bump(dx, y - 0.68, 0.035, 0.05)
    bones = bump(ax - 0.17, y - 0.70 + 0.12 * ax, 0.11, 0.018)
    return darken(colour, shadow * 0.65 + notch * 0.30 + bones * 0.22, (0.50, 0.36, 0.36))


def _cloth(p: Portrait, dx: Tensor) -> Tensor:
    s, x, y = p.s, p.x, p.y
    hue = s["clothing_hue"]
    dye = tint((0.40, 0.38, 0.40), (hue, (0.62, -0.45, -0.55)), (hue * hue, (-0.30, 0.05, 0.10)))
    folds = torch.sin(9.0 * x + (3.0 * y + 1.0)) * torch.sin(5.0 * y - 4.0 * x)
    colour = p.lit(dye, p.diffuse(x * 1.5 + 0.18 * folds, (y - 1.2) * 1.1, 0.45, 4.0))
    shadow = bump(dx + 0.15 * p.light[0], y - 0.50, 0.36, 0.18)
    return darken(colour, shadow * 0.45, (0.40, 0.40, 0.45))
