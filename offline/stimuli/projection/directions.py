"""Which directions of w a picture depends on: the Jacobian of the picture by w, its rank, and cosines within it.

A latent can only be found again where the picture shows it. So recovered latents are compared within the row space of
the Jacobian at the true latent: directions along which a change of one SD of w changes the picture by at least a
threshold, in grey levels (RMS over pixels and colours).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from offline.stimuli.projection.start import LatentDistribution

THRESHOLD = 0.5
"""Grey levels of 255, RMS, per SD along the direction: half a step of an 8-bit picture."""

PROBE = 0.005
"""Length, in SD, of the step by which a direction's effect is measured."""

LARGEST = 256
"""Rows and columns to which larger pictures are averaged."""

GREY_LEVELS = 127.5
"""Grey levels per unit of a picture within -1..1."""


@dataclass(frozen=True, slots=True, eq=False)
class PictureDirections:
    """The directions of w that one picture depends on.

    Attributes
    ----------
    sensitivity : Tensor, (direction,)
        Grey levels (RMS) per SD along each direction, descending; all of them.
    basis : Tensor, (rank, latent)
        Orthonormal rows: the span, in w, of what the sensitive directions read.
    threshold : float
    """

    sensitivity: Tensor
    basis: Tensor
    threshold: float

    @property
    def rank(self) -> int:
        """Number of directions above the threshold."""
        return len(self.basis)


def picture_directions(
    synthesis: Callable[[Tensor], Tensor],
    w: Tensor,
    distribution: LatentDistribution,
    *,
    threshold: float = THRESHOLD,
    batch: int = 16,
    done: Callable[[int], None] = lambda n: None,
) -> PictureDirections:
    """Measure the Jacobian of a picture, one direction at a time.

    By differences, so that any synthesis will do, also one that torch cannot differentiate forward.

    Parameters
    ----------
    synthesis : callable
        w (N, 1, latent) -> pictures (N, 3, row, col).
    w : Tensor, (latent,)
    distribution : LatentDistribution
        What one SD is.
    threshold : float
        Grey levels, RMS.
    batch : int
        Pictures drawn at once.
    done : callable
        Told of directions.
    """
    differences = []
    with torch.no_grad():
        for rows in distribution.scale.split(batch):
            # Both sides: the rounding of one common picture would pass for a direction of its own.
            ahead = _bounded(synthesis((w + PROBE * rows)[:, None]))
            behind = _bounded(synthesis((w - PROBE * rows)[:, None]))
            differences.append(((ahead - behind) / (2 * PROBE)).flatten(1))
            done(len(rows))
    moved = torch.cat(differences).double()  # (direction, pixel): J' in whitened units
    energy, turned = torch.linalg.eigh(moved @ moved.T)
    energy, turned = energy.flip(0).clamp_min(0), turned.flip(1)
    sensitivity = (energy / moved.shape[1]).sqrt() * GREY_LEVELS
    seen = turned[:, sensitivity >= threshold]  # (direction, rank)
    # A direction reads u, and u = (w - anchor) @ whitening: in w it reads along whitening @ direction.
    read = distribution.whitening.double() @ seen
    basis = torch.linalg.qr(read)[0].T if seen.shape[1] else read.T
    return PictureDirections(sensitivity.float(), basis.to(w), threshold)


def _bounded(pictures: Tensor) -> Tensor:
    """Cut to what is shown; large pictures shrink to ``LARGEST``, so that 512 of them fit into memory."""
    pictures = pictures.clamp(-1, 1)
    if pictures.shape[-1] > LARGEST:
        pictures = torch.nn.functional.adaptive_avg_pool2d(pictures, LARGEST)
    return pictures


def cosine_within(basis: Tensor, a: Tensor, b: Tensor) -> float:
    """Return the cosine of two latents (latent,) within the span of orthonormal rows (rank, latent)."""
    return float(torch.cosine_similarity(basis @ a, basis @ b, dim=0))
