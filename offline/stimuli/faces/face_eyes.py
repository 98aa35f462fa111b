"""Eyes, brows and glasses: drawn once on the plane folded at the midline between the eyes."""

from __future__ import annotations

import torch
from torch import Tensor

from offline.stimuli.faces.face_skin import SKIN_INK, FaceFrame
from offline.stimuli.faces.portrait import Portrait
from offline.stimuli.faces.soft_shapes import bump, darken, edge, fold, gauss, over, rgb, tint


def eyes(canvas: Tensor, p: Portrait, f: FaceFrame) -> Tensor:
    """Paint both eyes: sclera, iris, pupil, glints, lids and lashes."""
    s = p.s
    size = torch.exp(0.24 * s["eye_size"])
    out, side = fold(p.u - f.eye_u)
    a, dv = out - f.eye_gap, p.v - f.eye_v
    # Outer corners lie higher; the far eye of a turned head is narrower.
    rise = 0.10 + 0.20 * s["eye_tilt"]
    a, dv = a - rise * dv, dv + rise * a
    narrow = torch.exp(side * (0.16 * s["yaw"]))
    t = a * narrow * (1.0 / (0.0915 * torch.exp(0.17 * s["eye_size"])))
    t2 = t * t
    # Lids are parabolas through the corners; the upper one's top lies towards the nose.
    arch = 1.0 - t2
    open_up = size * (0.050 - 0.006 * s["smile"])
    open_down = size * (0.029 - 0.008 * s["smile"])
    upper = dv + open_up * arch * (1.0 - 0.16 * t)
    lower = open_down * arch - dv
    opening = edge(upper, 200.0) * edge(lower, 200.0)

    canvas = over(canvas, _ball(canvas, p, a, dv, side, t2, upper, size), opening)

    outer = torch.sigmoid(t * 2.5)
    corner = bump(t + 0.93, dv - 0.003, 0.14, 0.011) * 0.6
    canvas = over(canvas, p.skin * rgb(canvas, 0.86, 0.60, 0.56), corner)
    crease = gauss(dv + open_up * (1.0 - 0.8 * t2) + 0.026 * size, 0.010)
    under = gauss(lower, 0.008) * edge(arch * 0.03) * (0.30 + 0.35 * outer)
    canvas = darken(canvas, crease * torch.exp(t2 * t2 * -0.8) * 0.45 + under, SKIN_INK)
    line = (upper + 0.002) / (0.009 + 0.010 * outer)
    lash = torch.exp(-(line * line)) * edge(arch * 0.03 + 0.0036, 200.0) * 0.92
    flick = bump(t - 1.14, dv + 0.010, 0.16, 0.012) * 0.30
    return over(canvas, p.hair * 0.25 + 0.02, lash + flick - lash * flick)


def _ball(
    canvas: Tensor,
    p: Portrait,
    a: Tensor,
    dv: Tensor,
    side: Tensor,
    t2: Tensor,
    upper: Tensor,
    size: Tensor,
) -> Tensor:
    """Colour of the eyeball, before the lids cut it out."""
    s, lx = p.s, p.light[0]
    lid_shadow = torch.sigmoid(upper * -60.0 + 0.3)
    white = p.lit(rgb(canvas, 0.93, 0.92, 0.92), torch.sigmoid(side * (3.0 * lx) + 1.4))
    ball = darken(white, t2 * 0.28, (0.50, 0.42, 0.46))

    radius = 0.045 * size
    du = a * side - 0.06 * p.turn  # the eyes look at the viewer
    dv = dv + 0.008 * size
    level = (du * du + dv * dv) * (1.0 / (radius * radius))
    hue = s["iris_hue"]
    iris = tint((0.36, 0.29, 0.17), (hue, (0.10, 0.62, 1.15)), (hue * hue, (-0.30, -0.18, 0.02)))
    # Darker towards its rim and the lid, brighter where the light comes out again.
    depth = torch.exp(level * level * -0.55) * (1.0 + torch.tanh(dv * 9.0 - du * (3.6 * lx)))
    ball = over(ball, iris * (0.42 + 0.85 * depth), edge((1.0 - level) * (0.5 * radius), 200.0))
    pupil = edge((0.20 - level) * radius, 150.0)
    ball = over(ball, rgb(canvas, 0.03, 0.02, 0.03), pupil)
    ball = darken(ball, lid_shadow * 0.95, (0.42, 0.36, 0.40))
    glint = bump(du - 0.016 * size - 0.012 * lx, dv + 0.014 * size, 0.0115, 0.0115)
    small = bump(du + 0.015 * size, dv - 0.016 * size, 0.009, 0.009)
    return over(ball, rgb(canvas, 1.0, 1.0, 1.0), glint + 0.28 * small)


def brows(canvas: Tensor, p: Portrait, f: FaceFrame) -> Tensor:
    """Paint both brows: arched bands that thin out to the temples, of short strokes."""
    s = p.s
    out, side = fold(p.u - f.eye_u)
    a = out - f.eye_gap - 0.008
    t = a * torch.exp(side * (0.14 * s["yaw"])) * (1.0 / 0.112)
    t2 = t * t
    centre = f.eye_v - 0.128 - 0.020 * s["eye_size"] - 0.010 * s["smile"]
    tilt = 0.28 * s["brow_angle"] + 0.02
    dv = p.v - centre - tilt * a - 0.040 * t2 + 0.010 * t
    thick = 0.019 * torch.exp(0.42 * s["brow_thickness"])
    band = thick * (1.0 - 0.45 * t) * (1.0 - 0.95 * t2 * t2)
    strokes = torch.sin(a * 190.0 + p.v * 120.0)
    cover = edge(band - torch.sqrt(dv * dv + 1e-5) + 0.0015 * strokes, 150.0)
    cover = cover * edge(0.0525 - 0.05 * t2, 120.0) * (0.84 + 0.04 * strokes)
    return over(canvas, p.hair * (0.55 + 0.03 * strokes) + 0.01, cover)


def glasses(canvas: Tensor, p: Portrait, f: FaceFrame) -> Tensor:
    """Paint glasses: rims, bridge, temples and a reflection."""
    s, lx = p.s, p.light[0]
    amount = torch.sigmoid(9.0 * s["glasses"] - 3.6)
    d = p.u - f.eye_u
    out, side = fold(d)
    dv = p.v - f.eye_v - 0.008
    narrow = torch.exp(side * (0.14 * s["yaw"]))
    reach = (out - f.eye_gap - 0.008) * narrow
    a, b = reach * (1.0 / 0.122), dv * (1.0 / 0.100)
    a2, b2 = a * a, b * b
    lens = 0.028 - 0.028 * (a2 * a2 + b2 * b2 + 1.1 * a2 * b2)
    level = dv + 0.030
    temple = gauss(level, 0.0105) * edge(reach - 0.122)
    bridge = gauss(level - 1.6 * d * d, 0.0105) * edge((f.eye_gap - 0.115) - out)
    rims = gauss(lens, 0.0105) + temple * f.mask + bridge
    streak = gauss(a * side * 0.8 + b - (0.55 + 0.3 * lx), 0.31)
    canvas = over(canvas, p.light_colour * 0.95, edge(lens) * (0.055 + 0.12 * streak) * amount)
    frame = p.lit(rgb(canvas, 0.16, 0.13, 0.13), torch.sigmoid(p.u * (4.0 * lx)))
    return over(canvas, frame, torch.tanh(rims * 1.3) * amount)
