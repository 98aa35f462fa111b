from __future__ import annotations

import torch

from offline.stimuli.projection import gauss_newton
from offline.stimuli.projection.losses import pyramid_loss
from offline.stimuli.projection.problem import HELD_LEAST, Objective, Problem
from offline.stimuli.projection.start import anchors, latent_distribution

ANCHOR = 1e-3


def _problem(generator, target):
    scale = latent_distribution(generator, n_draws=2000).scale
    return Problem(generator.synthesis, target, anchors(generator, [None] * len(target)), scale)


def _ridge(problem, objective):
    """The exact minimum for a linear synthesis whose pictures fit, one layer."""
    n = problem.scale.shape[0]
    origin = problem.draw(torch.zeros(len(problem.target), 1, n))
    columns = problem.synthesis(problem.scale[:, None])  # linear: no offset
    weighed = objective.pixels.weigh(columns).flatten(1).double()
    left = (
        weighed @ columns.flatten(1).double().T
        + HELD_LEAST * objective.anchor * torch.eye(n).double()
    )
    right = weighed @ (problem.target - origin).flatten(1).double().T
    return torch.linalg.solve(left, right).T.float()


def test_on_a_linear_generator_it_ends_at_the_exact_answer(linear, draw):
    _, target = draw(linear, 3)
    problem = _problem(linear, target)
    objective = Objective(pyramid_loss(16, 0.4), ANCHOR, 1.0)
    state = gauss_newton.first_state(torch.zeros(3, 1, linear.w_dim))
    before = objective.loss(problem.draw(state.u), target, state.u)
    for _ in range(6):
        after = gauss_newton.step(problem, objective, state, 20)
        assert (after <= before).all()
        before = after
    torch.testing.assert_close(state.u[:, 0], _ridge(problem, objective), atol=2e-2, rtol=0)


def test_a_step_never_goes_farther_than_its_radius(linear, draw):
    _, target = draw(linear, 2)
    problem = _problem(linear, target)
    state = gauss_newton.first_state(torch.zeros(2, 1, linear.w_dim))
    state.radius = torch.tensor([0.1, 0.3])
    gauss_newton.step(problem, Objective(pyramid_loss(16, 0.0), 1e-6, 1.0), state, 20)
    length = state.u.flatten(1).norm(dim=1)
    torch.testing.assert_close(length, torch.tensor([0.1, 0.3]), atol=1e-4, rtol=0)


def test_a_picture_of_a_batch_goes_as_it_would_alone(small, draw):
    _, target = draw(small, 2)
    objective = Objective(pyramid_loss(16, 0.0), 1e-5, 1.0)
    both = _problem(small, target)
    alone = both.part(torch.tensor([1]))
    states = [gauss_newton.first_state(torch.zeros(n, 1, small.w_dim)) for n in (2, 1)]
    for problem, state in zip((both, alone), states, strict=True):
        for _ in range(2):
            gauss_newton.step(problem, objective, state, 6)
    torch.testing.assert_close(states[0].u[1:], states[1].u, atol=2e-3, rtol=0)


def test_a_step_onto_values_that_are_no_numbers_is_not_taken(linear, draw):
    _, target = draw(linear, 1)
    problem = _problem(linear, target)
    broken = Problem(
        lambda w: torch.where(
            (w - problem.anchor[:, None]).norm() > 0.5, torch.nan, linear.synthesis(w)
        ),
        problem.target,
        problem.anchor,
        problem.scale,
    )
    state = gauss_newton.first_state(torch.zeros(1, 1, linear.w_dim))
    gauss_newton.step(broken, Objective(pyramid_loss(16, 0.0), 1e-6, 1.0), state, 10)
    assert torch.isfinite(state.u).all()
    assert state.radius.item() < gauss_newton.FIRST_RADIUS
