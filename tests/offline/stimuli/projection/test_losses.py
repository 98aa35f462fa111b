from __future__ import annotations

import pytest
import torch

from offline.stimuli.peak_signal_to_noise import psnr_db
from offline.stimuli.projection.losses import pyramid_loss, unmatched
from offline.stimuli.projection.problem import HELD_FULLY, HELD_LEAST, Objective


@pytest.mark.parametrize("coarse", [0.0, 0.3, 0.8, 1.0])
@pytest.mark.parametrize("resolution", [8, 64])
def test_weighing_a_difference_is_half_the_gradient_of_its_loss(resolution, coarse):
    loss = pyramid_loss(resolution, coarse)
    difference = torch.randn(2, 3, resolution, resolution, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss.energy(difference).sum(), difference)
    torch.testing.assert_close(loss.weigh(difference.detach()), gradient / 2)
    assert sum(loss.shares) == pytest.approx(1.0)


def test_the_coarsest_scale_alone_sees_means_of_squares_only():
    loss = pyramid_loss(64, 1.0)
    fine = torch.ones(1, 3, 64, 64)
    fine[:, :, ::2] = -1.0
    assert loss.factors == (8,)
    assert loss.energy(fine).item() == pytest.approx(0.0, abs=1e-12)
    assert loss.energy(torch.ones(1, 3, 64, 64)).item() == pytest.approx(1.0)


def test_pixels_beyond_black_and_white_match_a_target_that_is_black_or_white():
    target = torch.tensor([1.0, 1.0, -1.0, -1.0, 0.0])
    picture = torch.tensor([1.4, 0.9, -1.2, -0.9, 1.4])
    assert unmatched(picture, target).tolist() == [0, 1, 0, 1, 1]


def test_psnr_has_the_range_of_pictures_as_its_peak():
    target = torch.zeros(2, 3, 4, 4)
    picture = torch.stack([torch.full((3, 4, 4), 0.2), torch.full((3, 4, 4), 7.0)])
    assert psnr_db(picture, target).tolist() == pytest.approx([20.0, 10 * 0.60206], abs=1e-3)


def test_a_picture_is_held_by_its_anchor_in_proportion_to_its_error():
    target = torch.zeros(3, 3, 8, 8)
    picture = torch.stack([torch.full((3, 8, 8), v) for v in (0.5, (HELD_FULLY / 4) ** 0.5, 0.0)])
    objective = Objective(pyramid_loss(8, 0.0), 1e-3, 1.0).relaxed(picture, target)
    u = torch.ones(3, 1, 4)
    expected = [1.0, 0.25, HELD_LEAST]
    assert (objective.pull(u)[:, 0, 0] / 2e-3).tolist() == pytest.approx(expected, rel=1e-4)
