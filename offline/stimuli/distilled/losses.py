"""How far a drawn picture is from its target: robust distances at several sizes, and between edges.

For the training. A mean absolute distance keeps edges sharp where a squared one would settle for their blur; the
coarse levels pull shapes into place before their edges meet. Must not know networks.
"""

from __future__ import annotations

import torch
from torch import Tensor

from offline.stimuli.distilled.plan import LossWeights


def pooled(pictures: Tensor, size: int) -> Tensor:
    """Average pictures (N, 3, row, col) down to size x size."""
    factor = pictures.shape[3] // size
    return torch.nn.functional.avg_pool2d(pictures, factor) if factor > 1 else pictures


def distance(found: Tensor, wanted: Tensor, weights: LossWeights) -> Tensor:
    """Return the loss, a scalar.

    Parameters
    ----------
    found, wanted : Tensor, float32, (N, 3, row, col)
    weights : LossWeights
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
    return total


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
