"""Nostrils, mouth, beard and the lines of age."""

from __future__ import annotations

import torch
from torch import Tensor

from offline.stimuli.faces.face_skin import SKIN_INK, FaceFrame
from offline.stimuli.faces.portrait import Portrait
from offline.stimuli.faces.soft_shapes import (
    Rgb,
    bump,
    darken,
    edge,
    ellipse,
    fold,
    gauss,
    larger,
    over,
    rgb,
)

LIP_INK: Rgb = (0.42, 0.22, 0.22)


def nose(canvas: Tensor, p: Portrait, f: FaceFrame) -> Tensor:
    """Paint nostrils and the wings' edges; the nose's body is in the skin's relief."""
    out, _ = fold(p.u - f.nose_u)
    dv = p.v - f.nose_v
    du = out - f.wing * 0.56
    nostril = bump(du, dv - 0.030 + 0.10 * du, f.wing * 0.27, 0.0095)
    low = dv - 0.004
    wing = bump(out - f.wing * 1.36 + 5.0 * low * low, low, 0.0115, 0.030)
    return darken(canvas, nostril * 1.0 + wing * 0.32, (0.42, 0.25, 0.23))


def mouth(canvas: Tensor, p: Portrait, f: FaceFrame) -> Tensor:
    """Paint the lips and, between them, the open mouth with its teeth."""
    s, lx = p.s, p.light[0]
    inverse_width = (1.0 / 0.116) * torch.exp(-0.22 * s["mouth_width"] - 0.10 * s["smile"])
    out, side = fold(p.u - f.mouth_u)
    out = out * torch.exp(side * (0.18 * s["yaw"])) * inverse_width
    t = out * side
    t2 = t * t
    arch = 1.0 - t2
    curve = (0.030 + 0.034 * s["smile"]) * (torch.tanh(t2 * 0.9) * 1.3 - 0.35)
    full = torch.exp(0.36 * s["lip_fullness"])
    gap = 0.0405 * torch.sigmoid(5.0 * s["mouth_open"] - 2.1)
    bow = torch.exp(t2 * -26.0)
    peak = gauss(t2 - 0.06, 1 / 9)
    dv = p.v - f.mouth_v + curve - 0.006 * bow
    gap_here = gap * arch
    above = gap_here * 0.8 + dv  # distance below the upper lip's lower edge
    below = dv - gap_here * 1.3  # distance below the lower lip's upper edge
    top = above + (0.036 * full) * arch * (1.0 - 0.30 * bow + 0.06 * peak)
    bottom = (0.046 * full) * arch * (1.0 - 0.25 * t2) - below
    ends = edge(arch * 0.05, 160.0) * f.mask
    open_above, open_below = edge(above), edge(below)

    light = torch.sigmoid(t * (3.0 * lx) + 0.9)
    under = bump(t, below - 0.058 * full, 0.72, 0.016)
    canvas = darken(canvas, under * 0.32, SKIN_INK)
    inside = open_above * (1.0 - open_below) * ends
    canvas = over(canvas, rgb(canvas, 0.20, 0.06, 0.07), inside * torch.sigmoid(250.0 * gap - 1.5))
    teeth = edge(0.016 + 0.4 * gap_here - above) * edge(0.036 - 0.05 * t2, 90.0) * inside
    enamel = p.lit(rgb(canvas, 0.93, 0.91, 0.88), light) * (1.0 - 0.25 * t2)
    canvas = over(canvas, enamel, teeth * torch.sigmoid(300.0 * gap - 3.5))

    lip = p.skin * rgb(canvas, 0.88, 0.60, 0.60)
    lip = lip * torch.exp(s["skin_warmth"] * rgb(canvas, 0.06, -0.10, -0.06))
    upper_cover = edge(top) * (1.0 - open_above) * ends * 0.92
    canvas = over(canvas, p.lit(lip * 0.88, light * 0.75), upper_cover)
    shine = bump(t - 0.25 * lx, below - 0.017 * full, 0.42, 0.0125) * 0.40
    low_lip = p.lit(lip, light)
    low_lip = over(low_lip, torch.sqrt(low_lip), shine)
    canvas = over(canvas, low_lip, open_below * edge(bottom) * ends * 0.92)
    corner = bump(out - 1.03, dv, 0.12, 0.016) * f.mask * 0.30
    line = gauss(above, 1 / 95) * ends * (0.62 - 0.20 * t2)
    return darken(canvas, line + corner, LIP_INK)


def beard(canvas: Tensor, p: Portrait, f: FaceFrame) -> Tensor:
    """Paint the beard: jaw, chin and moustache, the lips left free."""
    amount = torch.sigmoid(6.5 * p.s["beard"] - 3.0)
    du, dv = p.u - f.mouth_u, p.v - f.mouth_v
    jaw = (dv - 0.060 + 2.2 * du * du) * 0.5
    moustache = ellipse(du, dv + 0.052, 0.150, 0.034)
    chin = ellipse(du, dv - 0.10, 0.17, 0.13)
    region = larger(larger(jaw, moustache, 0.02), chin, 0.02)
    lips = ellipse(du, dv - 0.008, 0.118, 0.048)
    cover = edge(region + 0.008 * p.grain, 55.0) * edge(-lips, 70.0) * f.mask
    light = torch.sigmoid((p.u - 0.1 * p.turn) * (9.8 * p.light[0]) + 0.9)
    colour = p.lit(p.hair * 0.55, light) * (1.0 + 0.13 * p.grain)
    return over(canvas, colour, cover * amount * (0.86 + 0.08 * p.grain))


def age_lines(canvas: Tensor, p: Portrait, f: FaceFrame) -> Tensor:
    """Paint the lines of age: folds beside the mouth, bags, crow's feet, forehead."""
    u, v = p.u, p.v
    amount = torch.sigmoid(6.0 * p.s["age"] - 2.4)
    out, _ = fold(u - f.mouth_u)
    dv = v - f.mouth_v + 0.055
    crease = gauss(out - 0.105 - 0.45 * dv - 2.0 * dv * dv, 1 / 58)
    lines = crease * torch.exp(dv * dv * -196.0) * 0.8
    out, _ = fold(u - f.eye_u)
    a, dv = out - f.eye_gap, v - f.eye_v
    a2 = a * a
    bag = gauss(dv - 0.075 + 3.0 * a2, 1 / 75)
    lines = lines + bag * torch.exp(a2 * -169.0) * 0.55
    foot = a - 0.135
    rays = torch.exp(-(((dv - 0.005 + 0.5 * foot) * 110.0) ** 2))
    rays = rays + torch.exp(-(((dv - 0.005 - 0.1 * foot) * 110.0) ** 2))
    rays = rays + torch.exp(-(((dv - 0.005 - 0.7 * foot) * 110.0) ** 2))
    lines = lines + rays * gauss(foot, 1 / 32) * 0.4
    du = u - 0.24 * p.turn
    wave = v - 0.26 * p.nod + 0.25 * du * du
    brow = gauss(wave + 0.200, 1 / 105) + gauss(wave + 0.235, 1 / 105) + gauss(wave + 0.27, 1 / 105)
    lines = lines + brow * gauss(du, 1 / 6) * 0.45
    return darken(canvas, lines * (amount * 0.60) * f.mask, SKIN_INK)
