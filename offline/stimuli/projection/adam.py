"""The descent: Adam in whitened latents, from coarse to fine, with an anchor that lets go.

Steps of one size in every whitened direction keep a picture from running off along directions that it hardly shows.

Source: Kingma and Ba 2015 (Adam); warm-up and fall of the step size as in Karras et al. 2020, "Analyzing and Improving
the Image Quality of StyleGAN", appendix D. Their noise on w was tried and made things worse.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from offline.stimuli.projection.losses import pyramid_loss
from offline.stimuli.projection.problem import Objective, Problem

ANNEALED = 0.6
"""Share of the steps after which anchor and scales are at their last values."""

WARM_UP = 0.05
BETAS = (0.9, 0.99)


@dataclass(frozen=True, slots=True)
class Descent:
    """How the descent goes.

    Attributes
    ----------
    n_steps : int
    rate : float
        Step size in whitened units.
    anchor_first, anchor_last : float
        See ``Objective.anchor``; geometric between them.
    spread : float
        See ``Objective.spread``, at the end; annealed like the anchor.
    coarse_first : float
        Share of the scales above the pixels (``pyramid_loss``); falls to 0.
    """

    n_steps: int = 240
    rate: float = 0.04
    anchor_first: float = 1e-3
    anchor_last: float = 2e-5
    spread: float = 2e-4
    coarse_first: float = 0.8

    def objective(self, step_idx: int, resolution: int) -> Objective:
        """Return the weights at a step."""
        t = self._annealed(step_idx)
        falling = (self.anchor_last / self.anchor_first) ** t
        coarse = self.coarse_first * (1.0 - t)
        return Objective(
            pyramid_loss(resolution, coarse),
            self.anchor_first * falling,
            self.spread * (self.anchor_first / self.anchor_last) * falling,
        )

    def rate_at(self, step_idx: int) -> float:
        """Return the step size: a warm-up, then constant, in the end falling to 0 along a cosine."""
        done = step_idx / self.n_steps
        up = min(1.0, (step_idx + 1) / max(1.0, WARM_UP * self.n_steps))
        if done < ANNEALED:
            return self.rate * up
        return self.rate * up * 0.5 * (1 + math.cos(math.pi * (done - ANNEALED) / (1 - ANNEALED)))

    def _annealed(self, step_idx: int) -> float:
        return min(1.0, step_idx / (ANNEALED * self.n_steps))


@dataclass(slots=True)
class AdamState:
    """Where a batch is: u (N, layer, direction) and Adam's running means of the gradient and its square."""

    u: Tensor
    mean: Tensor
    square: Tensor

    def part(self, idx: Tensor) -> AdamState:
        """Return the state of some of the pictures."""
        return AdamState(self.u[idx], self.mean[idx], self.square[idx])


def adam_state(u: Tensor) -> AdamState:
    """Return the state before the first step."""
    return AdamState(u.clone(), torch.zeros_like(u), torch.zeros_like(u))


def descend(
    problem: Problem,
    descent: Descent,
    state: AdamState,
    first_idx: int,
    last_idx: int,
    done: Callable[[int], None],
    at_once: int,
) -> Tensor:
    """Do the steps of a half-open range, in place; return the loss at each, (step, N).

    Parameters
    ----------
    problem : Problem
    descent : Descent
    state : AdamState
    first_idx, last_idx : int
    done : callable
        Told of every step.
    at_once : int
        Pictures whose gradient is kept in memory together.
    """
    resolution = problem.target.shape[-1]
    parts = torch.arange(len(state.u), device=state.u.device).split(at_once)
    losses = []
    for i in range(first_idx, last_idx):
        objective = descent.objective(i, resolution)
        found = [_loss_and_gradient(problem.part(p), objective, state.u[p]) for p in parts]
        losses.append(torch.cat([loss for loss, _ in found]))
        gradient = torch.cat([g for _, g in found])
        # A picture that draws no numbers for one step must not poison the running means.
        gradient = torch.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)
        state.mean = BETAS[0] * state.mean + (1 - BETAS[0]) * gradient
        state.square = BETAS[1] * state.square + (1 - BETAS[1]) * gradient.square()
        mean = state.mean / (1 - BETAS[0] ** (i + 1))
        square = state.square / (1 - BETAS[1] ** (i + 1))
        state.u = state.u - descent.rate_at(i) * mean / (square.sqrt() + 1e-12)
        done(1)
    return torch.stack(losses) if losses else problem.target.new_zeros((0, len(problem.target)))


def _loss_and_gradient(problem: Problem, objective: Objective, u: Tensor) -> tuple[Tensor, Tensor]:
    u = u.detach().requires_grad_()
    picture = problem.draw(u)
    loss = objective.relaxed(picture, problem.target).loss(picture, problem.target, u)
    (gradient,) = torch.autograd.grad(loss.sum(), u)
    return loss.detach(), gradient
