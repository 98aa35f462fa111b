"""Smooth shapes on planes: the brushes with which a face is drawn.

For the layers of the face. Every brush is differentiable everywhere and made of operations that
ONNX Runtime vectorises on the CPU; few operations matter more than few pixels, because a plane of
128 x 128 costs no more than the call. Planes are (N or 1, 1, row, col) float32, scalars
(N, 1, 1, 1), colours (N or 1, 3, 1, 1) as display values of 0..1, lengths in the picture's own
unit. Must not know what is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

EDGE_SHARPNESS = 165.0
"""Slope of an edge: from 10 % to 90 % within about two pixels of 128."""

Scalar = Tensor | float
Rgb = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of the picture, as half-open shares (0..1) of its rows and columns."""

    top: float
    bottom: float
    left: float
    right: float

    def crop(self, plane: Tensor) -> Tensor:
        """Cut the rectangle out of a plane; axes of length 1 (broadcast) stay."""
        n_row, n_col = plane.shape[2], plane.shape[3]
        if n_row > 1:
            plane = plane[:, :, round(self.top * n_row) : round(self.bottom * n_row)]
        if n_col > 1:
            plane = plane[:, :, :, round(self.left * n_col) : round(self.right * n_col)]
        return plane

    def paste(self, canvas: Tensor, piece: Tensor) -> Tensor:
        """Put the rectangle back into the canvas (N, 3, row, col)."""
        n_row, n_col = canvas.shape[2], canvas.shape[3]
        top, bottom = round(self.top * n_row), round(self.bottom * n_row)
        left, right = round(self.left * n_col), round(self.right * n_col)
        band = canvas[:, :, top:bottom]
        middle = torch.cat([band[..., :left], piece, band[..., right:]], dim=3)
        return torch.cat([canvas[:, :, :top], middle, canvas[:, :, bottom:]], dim=2)


def edge(distance: Tensor, sharpness: float = EDGE_SHARPNESS) -> Tensor:
    """Anti-aliased coverage of a shape from its signed distance (positive inside)."""
    return torch.sigmoid(distance * sharpness)


def gauss(distance: Tensor, width: float) -> Tensor:
    """Soft line: 1 where the distance is 0, 1/e at the width."""
    return torch.exp(distance * distance * (-1.0 / (width * width)))


def level_of(du: Tensor, dv: Tensor, ru: Scalar, rv: Scalar) -> Tensor:
    """Squared elliptic radius: 0 at the centre, 1 on the ellipse with these radii."""
    a = du * (1.0 / ru)
    b = dv * (1.0 / rv)
    return a * a + b * b


def bump(du: Tensor, dv: Tensor, ru: Scalar, rv: Scalar) -> Tensor:
    """Gaussian bump: 1 at its centre, 1/e on the ellipse with these radii."""
    return torch.exp(-level_of(du, dv, ru, rv))


def ellipse(du: Tensor, dv: Tensor, ru: Scalar, rv: Scalar) -> Tensor:
    """Signed distance to an ellipse, in the mean between its radii (positive inside)."""
    return (1.0 - level_of(du, dv, ru, rv)) * (1.0 / (1.0 / ru + 1.0 / rv))


def larger(a: Tensor, b: Tensor, blend: float) -> Tensor:
    """Smooth maximum: the union of two signed distances, rounded over the length `blend`."""
    d = a - b
    return 0.5 * (a + b + torch.sqrt(d * d + blend * blend))


def smaller(a: Tensor, b: Tensor, blend: float) -> Tensor:
    """Smooth minimum: the intersection of two signed distances."""
    d = a - b
    return 0.5 * (a + b - torch.sqrt(d * d + blend * blend))


def fold(d: Tensor) -> tuple[Tensor, Tensor]:
    """Fold the plane at a midline, so that one drawing makes both eyes.

    Parameters
    ----------
    d : Tensor
        Signed distance from the midline.

    Returns
    -------
    out : Tensor
        Distance outwards from the midline, a smooth ``|d|``.
    side : Tensor
        Smooth sign of d: -1 left, 1 right.
    """
    side = d * torch.rsqrt(d * d + 1.6e-5)
    return d * side, side


def rgb(like: Tensor, r: float, g: float, b: float) -> Tensor:
    """Constant colour (1, 3, 1, 1) on the device of `like`."""
    return torch.tensor([r, g, b], dtype=like.dtype, device=like.device).reshape(1, 3, 1, 1)


def tint(base: Rgb, *terms: tuple[Tensor, Rgb]) -> Tensor:
    """Colour ``base * exp(sum of scalar * direction)``, (N, 3, 1, 1): it stays positive."""
    like = terms[0][0]
    log = rgb(like, *(math.log(channel) for channel in base))
    for scalar, direction in terms:
        log = log + scalar * rgb(like, *direction)
    return torch.exp(log)


def over(canvas: Tensor, colour: Tensor, coverage: Tensor) -> Tensor:
    """Paint a colour (one, or a plane of colours) over the canvas (N, 3, row, col)."""
    return canvas + coverage * (colour - canvas)


def darken(canvas: Tensor, coverage: Tensor, ink: Rgb) -> Tensor:
    """Multiply the canvas by ``ink ** coverage``: shadows and lines that keep what is below."""
    return canvas * torch.exp(coverage * rgb(canvas, *(math.log(channel) for channel in ink)))


class Bumps:
    """Many Gaussian bumps at once: their exponents are one matrix product.

    An exponent ``-((u - cu) / ru)^2 - ((v - cv) / rv)^2`` is linear in (u^2, v^2, u, v, 1).

    Parameters
    ----------
    u, v : Tensor
        Coordinates, (N, 1, row, col).
    shapes : sequence of (cu, cv, ru, rv)
        Centre and radii of each bump, scalars (N, 1, 1, 1) or numbers.
    """

    def __init__(
        self, u: Tensor, v: Tensor, shapes: Sequence[tuple[Scalar, Scalar, Scalar, Scalar]]
    ) -> None:
        zero = _any_scalar(shapes) * 0.0
        self._rows, self._cols = u.shape[2], u.shape[3]
        self.cu, self.cv, ru, rv = (
            _column([shape[i] for shape in shapes], zero) for i in range(4)
        )  # each (N or 1, bump, 1)
        self.iu, self.iv = 1.0 / (ru * ru), 1.0 / (rv * rv)
        u_pull, v_pull = self.iu * self.cu, self.iv * self.cv
        constant = u_pull * self.cu + v_pull * self.cv
        whole = zero.flatten(1).unsqueeze(2) + constant  # (N, bump, 1)
        iu, iv = whole * 0.0 + self.iu, whole * 0.0 + self.iv
        weights = torch.cat([-iu, -iv, 2.0 * u_pull + 0.0 * iu, 2.0 * v_pull + 0.0 * iv], dim=2)
        basis = torch.cat([u * u, v * v, u, v], dim=1).flatten(2)  # (N, 4, row * col)
        self.planes = torch.exp(weights @ basis - whole)  # (N, bump, row * col)

    def mix(self, weights: Sequence[Sequence[float]]) -> tuple[Tensor, ...]:
        """Weighted sums of the bumps: one plane per row of weights (mixture, bump)."""
        like = self.planes
        table = torch.tensor(weights, dtype=like.dtype, device=like.device)
        return self._split(table @ like)

    def slopes(self, heights: Sequence[float]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Sum what gives the relief's slope, the bumps having these heights.

        Returns
        -------
        au, bu, av, bv : Tensor
            The outward normal's tilt is ``au * u - bu`` along u and ``av * v - bv`` along v.
        """
        like = self.planes
        n_relief = len(heights)
        twice = torch.tensor(heights, dtype=like.dtype, device=like.device).reshape(1, -1, 1) * 2.0
        au, av = self.iu[:, :n_relief] * twice, self.iv[:, :n_relief] * twice
        bu, bv = au * self.cu[:, :n_relief], av * self.cv[:, :n_relief]
        zero = bu * 0.0
        table = torch.cat([au + zero, bu, av + zero, bv + zero], dim=2).transpose(1, 2)
        au, bu, av, bv = self._split(table @ like[:, :n_relief])
        return au, bu, av, bv

    def _split(self, flat: Tensor) -> tuple[Tensor, ...]:
        planes = flat.unflatten(2, (self._rows, self._cols))  # (N, mixture, row, col)
        return torch.split(planes, 1, dim=1)


def _any_scalar(shapes: Sequence[tuple[Scalar, Scalar, Scalar, Scalar]]) -> Tensor:
    for shape in shapes:
        for value in shape:
            if isinstance(value, Tensor):
                return value
    raise ValueError("Bumps: no centre or radius depends on the face, expected at least one")


def _column(values: Sequence[Scalar], zero: Tensor) -> Tensor:
    fixed = [0.0 if isinstance(value, Tensor) else value for value in values]
    constant = torch.tensor(fixed, dtype=zero.dtype, device=zero.device).reshape(1, -1, 1)
    if not any(isinstance(value, Tensor) for value in values):
        return constant
    varying = [value if isinstance(value, Tensor) else zero for value in values]
    return torch.cat(varying, dim=1).flatten(2) + constant  # (N, bump, 1)
