"""What is to be made small: the difference of pictures, and the distance of w from its anchor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from offline.stimuli.projection.losses import PyramidLoss, unmatched

HELD_FULLY = 4e-3
"""Mean squared error (of values within -1..1) from which a picture is held by the anchor fully: 30 dB."""

HELD_LEAST = 1e-2


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Targets, and how pictures come from whitened latents.

    Attributes
    ----------
    synthesis : callable
        w (N, layer, latent) -> pictures (N, 3, row, col).
    target : Tensor, (N, 3, row, col)
        rgb within -1..1.
    anchor : Tensor, (N, latent)
    scale : Tensor, (direction, latent)
    """

    synthesis: Callable[[Tensor], Tensor]
    target: Tensor
    anchor: Tensor
    scale: Tensor

    def w_of(self, u: Tensor) -> Tensor:
        """Return w (N, layer, latent) of whitened latents (N, layer, direction)."""
        return self.anchor[:, None, :] + u @ self.scale

    def draw(self, u: Tensor) -> Tensor:
        """Return pictures (N, 3, row, col) of whitened latents (N, layer, direction)."""
        return self.synthesis(self.w_of(u))

    def part(self, idx: Tensor) -> Problem:
        """Return the problem of some of the pictures, which may come up several times."""
        return Problem(self.synthesis, self.target[idx], self.anchor[idx], self.scale)


@dataclass(frozen=True, slots=True, eq=False)
class Objective:
    """Weights at one moment of the optimisation.

    Attributes
    ----------
    pixels : PyramidLoss
    anchor : float
        Times the squared length of u (its mean over layers): the squared Mahalanobis distance from the anchor.
    spread : float
        Times the mean squared length of the layers' departures from their mean.
    held : Tensor, (N,), or 1
        Times both, per picture; see ``relaxed``.
    """

    pixels: PyramidLoss
    anchor: float
    spread: float
    held: Tensor | float = 1.0

    def relaxed(self, picture: Tensor, target: Tensor) -> Objective:
        """Return it with each picture held in proportion to its squared error, from ``HELD_FULLY`` up fully.

        With the anchor as the prior of u and errors of unknown variance, the most likely u weighs the prior by that
        variance: a photograph that the generator cannot draw says less about w than a picture that it can.
        """
        error = (picture.clamp(-1.0, 1.0) - target).square().mean(dim=(1, 2, 3))
        return replace(self, held=(error / HELD_FULLY).clamp(HELD_LEAST, 1.0).detach())

    def loss(self, picture: Tensor, target: Tensor, u: Tensor) -> Tensor:
        """Return the loss of each picture, (N,)."""
        difference = (picture - target) * unmatched(picture.detach(), target)
        return self.pixels.energy(difference) + 0.5 * (u * self.pull(u)).sum(dim=(1, 2))

    def pull(self, u: Tensor) -> Tensor:
        """Return the gradient of the anchor's terms, linear in u (N, layer, direction)."""
        n_layers = u.shape[1]
        centre = u.mean(dim=1, keepdim=True)
        pull = self.anchor * centre.expand_as(u) + self.spread * (u - centre)
        held = self.held if isinstance(self.held, float) else self.held[:, None, None]
        return pull * (2.0 / n_layers) * held
