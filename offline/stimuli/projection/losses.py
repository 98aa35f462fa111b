"""How far a picture is from its target: pixels and a pyramid of means over ever larger squares.

Quadratic on purpose: the loss is ``<d, M d>`` for the difference d of two pictures and a symmetric linear M, so that
gradient descent and Gauss-Newton share it. No trained network takes part: nothing to download, and what is near is
near in light and colour. Must not know generators nor latents.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

COARSEST = 8
SATURATED = 1.0 - 1.0 / 255.0
"""From here to 1 lies the brightest of the 256 grey levels (with its sign, the darkest)."""


@dataclass(frozen=True, slots=True)
class PyramidLoss:
    """Mean squared difference at several scales.

    Attributes
    ----------
    factors : tuple of int
        Sides of the squares, in pixels, over which pictures are averaged; 1 is the pixels themselves.
    shares : tuple of float
        Weight of each, summing to 1.
    """

    factors: tuple[int, ...]
    shares: tuple[float, ...]

    def energy(self, difference: Tensor) -> Tensor:
        """Return the loss of each picture, (N,), of differences (N, 3, row, col)."""
        loss = difference.new_zeros(difference.shape[0])
        for factor, share in zip(self.factors, self.shares, strict=True):
            d = difference if factor == 1 else avg_pool2d(difference, factor)
            loss = loss + share * d.square().mean(dim=(1, 2, 3))
        return loss

    def weigh(self, difference: Tensor) -> Tensor:
        """Return M d, (N, 3, row, col): half the gradient of ``energy`` by the difference."""
        n = difference[0].numel()
        weighed = torch.zeros_like(difference)
        for factor, share in zip(self.factors, self.shares, strict=True):
            d = difference
            if factor > 1:
                # Every pixel of a square moves the square's mean by 1 / factor^2, and there are factor^2 times fewer
                # squares than pixels: the two cancel.
                d = interpolate(avg_pool2d(d, factor), scale_factor=factor, mode="nearest")
            weighed += d * (share / n)
        return weighed


def pyramid_loss(resolution: int, coarse: float) -> PyramidLoss:
    """Return the loss for pictures of a size.

    Parameters
    ----------
    resolution : int
        Rows and columns, a power of two or a multiple of ``COARSEST`` by one.
    coarse : float, 0 to 1
        Share of everything above the pixels: 1 looks at the coarsest scale alone, 0 at the pixels alone; between them
        weights fall geometrically from one end to the other.
    """
    n = max(1, (resolution // COARSEST).bit_length())
    factors = tuple(2**i for i in range(n))
    if coarse <= 0.0 or n == 1:
        return PyramidLoss((1,), (1.0,))
    if coarse >= 1.0:
        return PyramidLoss(factors[-1:], (1.0,))
    raw = [(coarse / (1.0 - coarse)) ** i for i in range(n)]
    return PyramidLoss(factors, tuple(r / sum(raw) for r in raw))


def unmatched(picture: Tensor, target: Tensor) -> Tensor:
    """Return 1 where the two can differ, 0 where the target is at the end of its range and the picture beyond it.

    A picture file ends at black and white; what a generator draws beyond them is shown as these.
    """
    above = (target >= SATURATED) & (picture > target)
    below = (target <= -SATURATED) & (picture < target)
    return (~(above | below)).to(picture.dtype)
