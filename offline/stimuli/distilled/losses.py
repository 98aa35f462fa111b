"""How far a drawn picture is from its target: robust distances at several sizes, and between edges.

For the training. A mean absolute distance keeps edges sharp where a squared one would settle for their blur; the
coarse levels pull shapes into place before their edges meet. Contrast is compared without its exact place, as complex
cells of V1 see it, since where an edge is uncertain a distance between pixels prefers none. Must not know networks.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from offline.stimuli.distilled.plan import LossWeights

SCALES = 3
ORIENTATIONS = 4
GABOR_SIZE = 9
GABOR_PERIOD_PX = 4.0
GABOR_SD_PX = 1.8
DARK_ENERGY = 1e-4
"""Keeps the root's slope finite where there is no contrast."""


def pooled(pictures: Tensor, size: int) -> Tensor:
    """Average pictures (N, 3, row, col) down to size x size."""
    factor = pictures.shape[3] // size
    return torch.nn.functional.avg_pool2d(pictures, factor) if factor > 1 else pictures


def distance(found: Tensor, wanted: Tensor, weights: LossWeights, energy: float = 0.0) -> Tensor:
    """Return the loss, a scalar.

    Parameters
    ----------
    found, wanted : Tensor, float32, (N, 3, row, col)
    weights : LossWeights
    energy : float
        Weight of ``contrast_distance``.
    """
    error = found - wanted
    attention = _attention(error.shape[3], weights.centre)
    total = error.new_zeros(())
    for level, weight in enumerate(weights.levels):
        if level:
            error = torch.nn.functional.avg_pool2d(error, 2)
            attention = torch.nn.functional.avg_pool2d(attention, 2)
        total = total + weight * (charbonnier(error, weights.epsilon) * attention).mean()
        if level == 0 and weights.gradient:
            across, along = error.diff(dim=3), error.diff(dim=2)
            edges = (charbonnier(across, weights.epsilon) * attention[..., 1:]).mean()
            edges = edges + (charbonnier(along, weights.epsilon) * attention[:, :, 1:]).mean()
            total = total + weights.gradient * edges
    if energy:
        total = total + energy * contrast_distance(found, wanted)
    return total


def contrast_distance(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean absolute difference of local contrast energy, summed over three scales, a scalar.

    The energy of a place, scale and orientation is the root of the squared responses of an even and an odd Gabor
    filter, averaged over 4 x 4 pixels. Source: Adelson and Bergen 1985, "Spatiotemporal energy models for the
    perception of motion", the spatial part.

    Parameters
    ----------
    found, wanted : Tensor, float32, (N, 3, row, col)
        Of 64 rows and columns or more.
    """
    total = found.new_zeros(())
    for scale in range(SCALES):
        if scale:
            found = torch.nn.functional.avg_pool2d(found, 2)
            wanted = torch.nn.functional.avg_pool2d(wanted, 2)
        total = total + (contrast_energy(found) - contrast_energy(wanted)).abs().mean()
    return total


def contrast_energy(pictures: Tensor) -> Tensor:
    """Return the contrast energy (N * 3, orientation, row, col) of pictures (N, 3, row, col), every other place."""
    responses = torch.nn.functional.conv2d(pictures.flatten(0, 1).unsqueeze(1), _gabor_pairs())
    square = responses.unflatten(1, (ORIENTATIONS, 2)).square().sum(dim=2)
    return torch.nn.functional.avg_pool2d(torch.sqrt(square + DARK_ENERGY), 4, 2)


@cache
def _gabor_pairs() -> Tensor:
    """Even and odd filters by turns, (orientation * 2, 1, row, col), without response to a plain surface."""
    place = torch.arange(GABOR_SIZE) - GABOR_SIZE // 2
    y, x = torch.meshgrid(place, place, indexing="ij")
    window = torch.exp(-(x * x + y * y) / (2 * GABOR_SD_PX**2))
    window = window / window.sum()
    pairs = []
    for idx in range(ORIENTATIONS):
        angle = math.pi * idx / ORIENTATIONS
        wave = (x * math.cos(angle) + y * math.sin(angle)) * (2 * math.pi / GABOR_PERIOD_PX)
        even = window * torch.cos(wave)
        pairs += [even - window * even.sum(), window * torch.sin(wave)]
    return torch.stack(pairs).unsqueeze(1)


def charbonnier(error: Tensor, epsilon: float) -> Tensor:
    """Return a smooth absolute value, 0 at 0."""
    return torch.sqrt(error * error + epsilon * epsilon) - epsilon


def sharpness(pictures: Tensor) -> Tensor:
    """Return each picture's mean squared difference of neighbours, (N,)."""
    across, along = pictures.diff(dim=3), pictures.diff(dim=2)
    return across.square().mean(dim=(1, 2, 3)) + along.square().mean(dim=(1, 2, 3))


def _attention(size: int, centre: float) -> Tensor:
    """Weights of pixels, (1, 1, row, col), mean 1: a bump over eyes, nose and mouth."""
    place = (torch.arange(size, dtype=torch.float32) + 0.5) / size
    across = torch.exp(-(((place - 0.5) / 0.26) ** 2))
    along = torch.exp(-(((place - 0.54) / 0.24) ** 2))
    bump = 1.0 + centre * along[:, None] * across[None, :]
    return (bump / bump.mean())[None, None]
