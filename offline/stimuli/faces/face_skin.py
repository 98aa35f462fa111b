"""The bare head: where its features are, the ears, and the skin with its relief."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from offline.stimuli.faces.portrait import Portrait
from offline.stimuli.faces.soft_shapes import (
    Bumps,
    Region,
    Rgb,
    Scalar,
    bump,
    darken,
    edge,
    ellipse,
    fold,
    over,
    rgb,
)

SKIN_INK: Rgb = (0.55, 0.36, 0.34)
"""What a crease or hollow does to skin: darker, and redder, because light returns through it."""


@dataclass(frozen=True, slots=True)
class FaceFrame:
    """Where things are in the face, in head coordinates.

    Attributes
    ----------
    eye_u, eye_v, eye_gap : Tensor
        Midpoint between the eyes and half their distance.
    nose_u, nose_v, wing : Tensor
        Tip of the nose and half its width.
    mouth_u, mouth_v, chin_u, chin_v, half_width : Tensor
        Centre of mouth and chin, half width of the head.
    outline, mask : Tensor
        Signed distance to the face's outline and its coverage, planes.
    """

    eye_u: Tensor
    eye_v: Tensor
    eye_gap: Tensor
    nose_u: Tensor
    nose_v: Tensor
    wing: Tensor
    mouth_u: Tensor
    mouth_v: Tensor
    chin_u: Tensor
    chin_v: Tensor
    half_width: Tensor
    outline: Tensor
    mask: Tensor

    def crop(self, region: Region) -> FaceFrame:
        """Restrict the planes to a region."""
        return replace(self, outline=region.crop(self.outline), mask=region.crop(self.mask))


def face_frame(p: Portrait) -> FaceFrame:
    """Place the features and the outline; what lies further in front moves more."""
    s, turn, nod = p.s, p.turn, p.nod
    half_width = 0.335 * torch.exp(0.12 * s["face_width"])
    chin = 0.450 + 0.050 * s["chin_length"]
    outline = _outline(p, half_width, chin)
    gap = 0.11 * s["eye_spacing"] + 0.06 * s["face_width"] + 0.05 * s["eye_size"]
    return FaceFrame(
        eye_u=0.27 * turn,
        eye_v=0.30 * nod,
        eye_gap=0.150 * torch.exp(gap),
        nose_u=0.42 * turn,
        nose_v=0.160 + 0.045 * s["nose_length"] + 0.42 * nod,
        wing=0.050 * torch.exp(0.30 * s["nose_width"]),
        mouth_u=0.31 * turn,
        mouth_v=0.285 + 0.022 * s["nose_length"] + 0.010 * s["chin_length"] + 0.34 * nod,
        chin_u=0.24 * turn,
        chin_v=chin - 0.03 + 0.16 * nod,
        half_width=half_width,
        outline=outline,
        mask=edge(outline),
    )


def _outline(p: Portrait, half_width: Tensor, chin: Tensor) -> Tensor:
    """Signed distance to an egg that narrows below the eyes by the jaw and bulges by the cheek."""
    s = p.s
    du, dv = p.u - 0.13 * p.turn, p.v - 0.10 * p.nod
    below = torch.sigmoid(dv * 14.0)
    height = dv * (1.0 / 0.50 + below * (1.0 / chin - 1.0 / 0.50))
    cheek = (dv - 0.20) * (1.0 / 0.16)
    taper = dv * below * (0.45 - 0.60 * s["jaw_width"])
    bulge = torch.exp(-(cheek * cheek)) * (0.11 * s["cheek_fullness"])
    width = du * torch.exp(taper - bulge) * (1.0 / half_width)
    w2, h2 = width * width, height * height
    corner = 0.10 - below * (0.42 * s["jaw_width"])
    return 0.19 - 0.19 * (w2 + h2 + corner * w2 * h2)


def ears(canvas: Tensor, p: Portrait, f: FaceFrame) -> Tensor:
    """Paint both ears, behind the face."""
    size = torch.exp(0.24 * p.s["ear_size"])
    # A turning head shows more of the near ear and hides the far one behind the cheek.
    out, side = fold(p.u - 0.025 * p.s["yaw"])
    dv = p.v - 0.045 + 0.10 * p.nod
    du = out - (f.half_width - 0.006) + 0.16 * dv
    inner = bump(du - 0.008, dv, 0.026 * size, 0.062 * size)
    light = torch.sigmoid(side * (4.0 * p.light[0]) + 0.6) * (1.0 - 0.8 * inner)
    colour = p.lit(p.skin * rgb(canvas, 1.0, 0.90, 0.87), light)
    return over(canvas, colour, edge(ellipse(du, dv, 0.058 * size, 0.105 * size)))


@dataclass(frozen=True, slots=True)
class _Mound:
    """One bump of the face: its place, its height in the relief, its share in each tone."""

    place: tuple[Scalar, Scalar, Scalar, Scalar]
    height: float = 0.0
    blush: float = 0.0
    hollow: float = 0.0
    gloss: float = 0.0


def _mounds(p: Portrait, f: FaceFrame) -> list[_Mound]:
    lx, wing = p.light[0], f.wing
    nose_u, nose_v = f.nose_u, f.nose_v
    mounds = [
        _Mound((nose_u * 0.88, nose_v - 0.11, 0.048, 0.100), height=0.032),
        _Mound((nose_u, nose_v - 0.012, wing * 0.92, 0.044), height=0.042, blush=0.6),
        _Mound((nose_u - wing * 1.05, nose_v + 0.008, 0.028, 0.028), height=0.016),
        _Mound((nose_u + wing * 1.05, nose_v + 0.008, 0.028, 0.028), height=0.016),
        _Mound((f.mouth_u, f.mouth_v - 0.015, 0.120, 0.080), height=0.022),
        _Mound((f.mouth_u, f.mouth_v + 0.075, 0.070, 0.026), height=-0.012, hollow=0.20),
        _Mound((f.chin_u, f.chin_v - 0.030, 0.085, 0.060), height=0.024),
    ]
    for side in (-1.0, 1.0):
        eye_u = f.eye_u + side * f.eye_gap
        cheek_u = f.eye_u + side * 1.22 * f.eye_gap
        mounds += [
            _Mound((eye_u, f.eye_v + 0.005, 0.095, 0.070), height=-0.028),
            _Mound((eye_u, f.eye_v - 0.105, 0.110, 0.050), height=0.018),
            _Mound((cheek_u, f.eye_v + 0.155, 0.097, 0.075), height=0.026, blush=1.0),
            _Mound((eye_u - side * 0.035, f.eye_v - 0.035, 0.085, 0.042), hollow=0.55),
            _Mound((eye_u, f.eye_v + 0.060, 0.070, 0.020), hollow=0.08),
            _Mound((cheek_u + 0.02 * lx, f.eye_v + 0.100, 0.060, 0.032), gloss=0.22),
        ]
    return [
        *mounds,
        _Mound((nose_u - 0.030 * lx, nose_v + 0.048, wing * 1.1, 0.016), hollow=0.48),
        _Mound((nose_u + 0.012 * lx, nose_v - 0.020, 0.018, 0.022), gloss=0.55),
        _Mound((nose_u * 0.9 + 0.012 * lx, nose_v - 0.10, 0.014, 0.070), gloss=0.30),
        _Mound((0.22 * p.turn + 0.12 * lx, 0.10 * p.nod - 0.24, 0.13, 0.06), gloss=0.30),
    ]


def skin(canvas: Tensor, p: Portrait, f: FaceFrame) -> Tensor:
    """Paint the face's skin: relief in two-tone light, blush, hollows and gloss."""
    u, v = p.u, p.v
    mounds = _mounds(p, f)
    bumps = Bumps(u, v, [mound.place for mound in mounds])
    au, bu, av, bv = bumps.slopes([mound.height for mound in mounds])
    blush, hollow, gloss = bumps.mix(
        [
            [mound.blush for mound in mounds],
            [mound.hollow for mound in mounds],
            [mound.gloss for mound in mounds],
        ]
    )
    # The head itself is a dome, 3.0 and 1.7 its curvatures.
    nx = (au + 3.0) * u - (bu + 0.39 * p.turn)
    ny = (av + 1.7) * v - (bv + 0.17 * p.nod)
    diffuse = p.diffuse(nx, ny)
    colour = p.lit(p.skin, diffuse)
    # Blood shows where the skin is thin and along the edge of the light.
    warm = blush * (0.22 + 0.12 * p.s["skin_warmth"]) + diffuse * (1.0 - diffuse) * 0.56
    colour = darken(colour, warm, (0.98, 0.70, 0.66))
    rim = torch.sigmoid(f.outline * -40.0)
    colour = darken(colour, hollow * 0.50 + rim * 0.33, SKIN_INK)
    colour = over(colour, torch.sqrt(colour + 0.02), gloss * diffuse * 0.60)
    return over(canvas, colour, f.mask)
