"""Hair: the mass behind the head, and the front with parting, fringe, strands and sheen."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from offline.stimuli.faces.face_skin import FaceFrame
from offline.stimuli.faces.portrait import Portrait
from offline.stimuli.faces.soft_shapes import (
    bump,
    darken,
    edge,
    fold,
    gauss,
    larger,
    level_of,
    over,
    smaller,
)


@dataclass(frozen=True, slots=True)
class Hair:
    """The hair as a whole.

    Attributes
    ----------
    cover : Tensor
        Coverage of everything within its outer shape, plane.
    opening : Tensor
        Signed distance to the opening that the front hair leaves for the face, plane.
    colour : Tensor
        Shaded colour, (N, 3, row, col).
    """

    cover: Tensor
    opening: Tensor
    colour: Tensor


def hair(p: Portrait, f: FaceFrame) -> Hair:
    """Shape and shade the hair."""
    s, u, v = p.s, p.u, p.v
    # Waves grow from the temples down and swing both sides apart.
    swing = torch.sin(v * 17.0 + torch.tanh(u * 4.0) * 5.0) * torch.sigmoid(v * 9.0 + 1.35)
    du = u + swing * (0.042 * torch.sigmoid(4.0 * s["hair_waviness"]))
    strands = _strands(p, du)
    outer, level = _outer(p, f, du, strands)
    return Hair(
        cover=edge(outer),
        opening=_opening(p, f, du, strands),
        colour=_colour(p, du, level, strands),
    )


def _strands(p: Portrait, du: Tensor) -> Tensor:
    """Streaks that run from the parting over the skull and down: about -1..1."""
    v = p.v
    part = 0.17 * p.s["parting"] + 0.20 * p.turn
    rise = 1.0 / (v + 0.80 + 0.20 * torch.sigmoid(v * 6.0))
    flow = (du - part * torch.sigmoid(v * -6.0 - 0.6)) * rise
    streaks = (
        0.50 * torch.sin(flow * 17.0 + (v * 2.0 + 2.0))
        + 0.35 * torch.sin(flow * 37.0 + v * 4.0)
        + 0.25 * torch.sin(flow * 59.0 - v * 5.0)
    )
    # Near the crown they run together: there their contrast is taken back.
    return streaks * (0.35 + 0.65 * torch.sigmoid(v * 12.0 + 4.6))


def _outer(p: Portrait, f: FaceFrame, du: Tensor, strands: Tensor) -> tuple[Tensor, Tensor]:
    """Signed distance to cap and curtain, and the cap's elliptic level for the sheen."""
    s, v = p.s, p.v
    volume = s["hair_volume"]
    # A turned head shows more of its back.
    ru = f.half_width + 0.052 + 0.043 * volume + 0.35 * p.turn * p.turn
    rv = 0.485 + 0.050 * volume
    dv = v + 0.105 - 0.10 * p.nod
    level = level_of(du, dv, ru, rv)
    out, _ = fold(du)
    spread = ru + 0.004 + torch.sigmoid(v * 9.0 - 2.25) * (0.035 + 0.035 * volume)
    bottom = (0.36 + 0.46 * s["hair_length"]) - v + 0.25 * du * du + 0.020 * strands
    curtain = smaller(smaller(spread - out, bottom, 0.10), dv + 0.15, 0.05)
    return larger(0.20 - 0.20 * level, curtain, 0.03) + 0.0042 * strands, level


def _opening(p: Portrait, f: FaceFrame, du: Tensor, strands: Tensor) -> Tensor:
    s, v = p.s, p.v
    middle = du - 0.24 * p.turn
    part = middle - 0.17 * s["parting"]
    long = torch.sigmoid(4.0 * s["hair_length"] - 0.2)
    inverse_width = 1.0 / (f.half_width * (1.06 - 0.12 * long))
    t = middle * inverse_width
    t2 = t * t
    # Two locks fall from the parting; the sides close in steeply at the temples.
    lock = torch.sqrt(part * part + 0.004)
    top = -0.3294 + 0.22 * p.nod - 0.02 * s["hair_volume"]
    arch = v - top - 0.24 * lock - 0.36 * t2 * t2
    slope = 0.24 * part / lock + (1.44 * inverse_width) * t2 * t
    arch = arch * torch.rsqrt(1.0 + slope * slope)
    fringe_v = -0.36 + 0.18 * torch.sigmoid(4.0 * s["fringe"] - 0.6) + 0.22 * p.nod
    fringe = v - fringe_v + middle * (0.14 * s["parting"]) - 0.45 * middle * middle
    # Short hair ends above the ears.
    sideburn = v + 0.03 - 1.3 * torch.sigmoid(5.0 * s["hair_length"] + 1.1)
    free = smaller(arch, fringe + 0.016 * strands, 0.03)
    return larger(free, sideburn, 0.02) + 0.005 * strands


def _colour(p: Portrait, du: Tensor, level: Tensor, strands: Tensor) -> Tensor:
    v = p.v
    diffuse = p.diffuse(du * 3.0, (v + 0.105) * 2.2, 0.45, 4.0)
    colour = p.lit(p.hair, diffuse) * (1.0 + 0.20 * strands)
    sheen = gauss(level - 0.60 + 0.10 * strands, 0.20) * gauss(du - 0.30 * p.light[0], 1 / 3.2)
    sheen = sheen * torch.sigmoid(v * -8.0 + 0.4) * (0.95 + 0.45 * strands)
    return over(colour, torch.sqrt(colour) * 0.9, sheen)


def back_hair(canvas: Tensor, p: Portrait, h: Hair) -> Tensor:
    """Paint the hair behind head and neck, in the head's shadow."""
    shadow = bump(p.u, p.v - 0.25, 0.36, 0.50)
    return over(canvas, darken(h.colour, 0.20 + 0.50 * shadow, (0.45, 0.42, 0.45)), h.cover)


def front_hair(canvas: Tensor, p: Portrait, f: FaceFrame, h: Hair) -> Tensor:
    """Paint the shadow that the front hair casts on the face, then the front hair itself."""
    cast = torch.sigmoid(h.opening * -34.0 + 0.8) * f.mask * 0.50
    canvas = darken(canvas, cast, (0.45, 0.30, 0.30))
    rim = torch.sigmoid(h.opening * 40.0) * 0.50
    return over(canvas, darken(h.colour, rim, (0.45, 0.42, 0.44)), h.cover * edge(-h.opening))
