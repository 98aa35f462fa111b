"""The optimiser of the training: matrices move by orthogonalised momentum, everything else by Adam.

An orthogonalised update moves all directions of a weight alike, where Adam's follows the few strongest: with few and
small batches it came further here. Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural
networks" (the quintic iteration and its coefficients); Kingma and Ba 2015, "Adam". Must not know networks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

MIN_RANK = 4
"""Matrices with fewer rows or columns are left to Adam."""

_QUINTIC = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


class Orthogonal(torch.optim.Optimizer):
    """Momentum, orthogonalised, scaled such that an element moves by the learning rate in the root mean square.

    Parameters
    ----------
    parameters : iterable of Parameter
        Those of two or more axes are taken as matrices (first axis, all others).
    lr : float
    momentum : float
        Of the matrices.
    betas : (float, float)
        Of Adam.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        momentum: float = 0.9,
        betas: tuple[float, float] = (0.9, 0.99),
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "betas": betas})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient; ``closure`` is not used."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if min(parameter.shape[0], parameter[0].numel()) >= MIN_RANK:
                    update = _orthogonal_update(parameter.grad, state, group["momentum"])
                else:
                    update = _adam_update(parameter.grad, state, *group["betas"])
                parameter.add_(update, alpha=-group["lr"])


def _orthogonal_update(grad: Tensor, state: dict[str, Any], momentum: float) -> Tensor:
    if not state:
        state["momentum"] = torch.zeros_like(grad)
    state["momentum"].lerp_(grad, 1.0 - momentum)
    ahead = grad.lerp(state["momentum"], momentum).reshape(grad.shape[0], -1)
    update = orthogonalised(ahead)
    return (update * max(update.shape) ** 0.5).reshape(grad.shape)


def _adam_update(grad: Tensor, state: dict[str, Any], first: float, second: float) -> Tensor:
    if not state:
        state["mean"], state["square"] = torch.zeros_like(grad), torch.zeros_like(grad)
        state["count"] = 0
    state["count"] += 1
    state["mean"].lerp_(grad, 1.0 - first)
    state["square"].lerp_(grad.square(), 1.0 - second)
    mean = state["mean"] / (1.0 - first ** state["count"])
    square = state["square"] / (1.0 - second ** state["count"])
    update: Tensor = mean / (square.sqrt() + 1e-8)
    return update


def orthogonalised(matrix: Tensor) -> Tensor:
    """Return a matrix (row, col) with its singular values moved near 1 (within .7 to 1.2)."""
    a, b, c = _QUINTIC
    x = matrix / (matrix.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.mT if tall else x
    for _ in range(_ITERATIONS):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    return x.mT if tall else x
