"""Gauss-Newton with trust: few, well-aimed steps, each found by conjugate gradients.

For networks whose pictures are cheap enough to draw a few hundred times. Gradients are exact (backward); how the
picture moves with w along a direction is a difference of two pictures, so any synthesis will do that torch can
differentiate once. All pictures of a batch go on their own: own radius, own accepted steps.

Source: the truncated conjugate gradients of Steihaug 1983 (SIAM J. Numer. Anal. 20, 626) in a trust region.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from offline.stimuli.projection.losses import unmatched
from offline.stimuli.projection.problem import Objective, Problem

INNER_TOLERANCE = 0.05
PROBE = 0.02
"""Length, in whitened units, of the step by which a direction's effect is measured."""

FIRST_RADIUS = 2.0
_RADIUS_LEAST, _RADIUS_MOST = 1e-4, 20.0


@dataclass(slots=True)
class State:
    """Where the pictures of a batch are.

    Attributes
    ----------
    u : Tensor, (N, layer, direction)
    radius : Tensor, (N,)
        Longest step, in whitened units, that the quadratic model is trusted for.
    """

    u: Tensor
    radius: Tensor

    def part(self, idx: Tensor) -> State:
        """Return the state of some of the pictures, on its own."""
        return State(self.u[idx], self.radius[idx])

    def put(self, idx: Tensor, part: State) -> None:
        """Take over the state of some of the pictures."""
        self.u[idx], self.radius[idx] = part.u, part.radius


def first_state(u: Tensor) -> State:
    """Return the state before the first step."""
    return State(u.detach().clone(), u.new_full((u.shape[0],), FIRST_RADIUS))


def step(problem: Problem, objective: Objective, state: State, n_inner: int) -> Tensor:
    """Do one step, in place, and return the loss of each picture, (N,), after it."""
    u = state.u.detach().requires_grad_()
    picture = problem.draw(u)
    origin = u.detach()
    mask = unmatched(picture.detach(), problem.target)
    difference = (picture.detach() - problem.target) * mask
    objective = objective.relaxed(picture.detach(), problem.target)
    before = objective.loss(picture.detach(), problem.target, origin)

    def pulled_back(d: Tensor) -> Tensor:
        (g,) = torch.autograd.grad(picture, u, 2 * objective.pixels.weigh(d), retain_graph=True)
        return g

    def curvature(v: Tensor) -> Tensor:
        length = _norm(v).clamp_min(1e-30)
        with torch.no_grad():
            moved = problem.draw(origin + v * _like(PROBE / length, v)) - picture.detach()
        along = moved * mask * _like(length / PROBE, moved)
        return pulled_back(along) + objective.pull(v)

    gradient = pulled_back(difference) + objective.pull(origin)
    move, predicted = _conjugate_gradients(curvature, gradient, state.radius, n_inner)
    new = origin + move
    with torch.no_grad():
        after = objective.loss(problem.draw(new), problem.target, new)
    gain = (before - after) / predicted.clamp_min(1e-30)
    length = _norm(move)
    better = torch.isfinite(after) & (after < before)
    state.u = torch.where(_like(better, new), new, origin)
    good = better & (gain > 0.75) & (length > 0.8 * state.radius)
    poor = ~better | (gain < 0.25)
    radius = torch.where(good, 2.0 * state.radius, state.radius)
    radius = torch.where(poor, 0.3 * torch.minimum(length, state.radius), radius)
    state.radius = radius.clamp(_RADIUS_LEAST, _RADIUS_MOST)
    return torch.where(better, after, before)


def _conjugate_gradients(
    curvature: Callable[[Tensor], Tensor], gradient: Tensor, radius: Tensor, n: int
) -> tuple[Tensor, Tensor]:
    """Return the move (N, layer, direction) that lowers the quadratic model, and by how much, (N,).

    A picture whose move reaches its radius, or along whose direction the model does not curve upward, ends there.
    """
    move = torch.zeros_like(gradient)
    residual = -gradient  # -(g + H move) throughout
    v = residual
    rest = _dot(residual, residual)
    goal = rest * INNER_TOLERANCE**2
    going = rest > 0
    for _ in range(n):
        if not bool(going.any()):
            break
        bent = curvature(v)
        curved = _dot(v, bent)
        to_edge = _to_edge(move, v, radius)
        length = rest / curved.clamp_min(1e-30)
        leaves = (curved <= 0) | (length >= to_edge)
        length = torch.where(leaves, to_edge, length)
        new = residual - _like(length, v) * bent
        move = torch.where(_like(going, v), move + _like(length, v) * v, move)
        residual = torch.where(_like(going, v), new, residual)
        left = _dot(residual, residual)
        going = going & ~leaves & (left > goal)
        ratio = torch.where(going, left / rest.clamp_min(1e-30), torch.zeros_like(rest))
        v = residual + _like(ratio, v) * v
        rest = left
    # model(move) = g.m + m.H m / 2, and H m = -g - residual
    return move, -0.5 * _dot(move, gradient - residual)


def _to_edge(move: Tensor, v: Tensor, radius: Tensor) -> Tensor:
    """Return how many v lead from the move to the radius."""
    vv, mv, mm = _dot(v, v).clamp_min(1e-30), _dot(move, v), _dot(move, move)
    inside = (radius.square() - mm).clamp_min(0)
    return (-mv + (mv.square() + vv * inside).sqrt()) / vv


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=(1, 2))


def _norm(v: Tensor) -> Tensor:
    return _dot(v, v).sqrt()


def _like(per_picture: Tensor, other: Tensor) -> Tensor:
    """Give (N,) as many trailing axes as the other has."""
    return per_picture.reshape(-1, *[1] * (other.ndim - 1))
