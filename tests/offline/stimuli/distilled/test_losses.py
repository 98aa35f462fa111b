from __future__ import annotations

import pytest
import torch

from offline.stimuli.distilled.losses import (
    contrast_distance,
    contrast_energy,
    distance,
    pooled,
    sharpness,
)
from offline.stimuli.distilled.plan import LossWeights
from offline.stimuli.peak_signal_to_noise import psnr_db


def test_equal_pictures_cost_nothing_and_more_difference_costs_more():
    wanted = torch.rand(2, 3, 32, 32) * 2 - 1
    costs = [float(distance(wanted + shift, wanted, LossWeights())) for shift in (0.0, 0.1, 0.3)]
    assert costs[0] == pytest.approx(0, abs=1e-6)
    assert costs == sorted(costs)


def test_a_blurred_picture_costs_more_than_a_paler_one_of_the_same_error():
    torch.manual_seed(0)
    wanted = torch.sign(torch.randn(1, 3, 8, 8)).repeat_interleave(4, 2).repeat_interleave(4, 3)
    blurred = torch.nn.functional.avg_pool2d(wanted, 5, 1, 2)
    error = (blurred - wanted).abs().mean()
    paler = wanted - error * torch.sign(wanted)
    weights = LossWeights(levels=(1.0,), centre=0.0)
    assert distance(blurred, wanted, weights) > 1.5 * distance(paler, wanted, weights)


def test_the_middle_of_the_face_counts_more():
    wanted = torch.zeros(1, 3, 64, 64)
    middle, corner = wanted.clone(), wanted.clone()
    middle[:, :, 32:36, 30:34] = 1
    corner[:, :, 2:6, 2:6] = 1
    assert distance(middle, wanted, LossWeights()) > 1.5 * distance(corner, wanted, LossWeights())


def test_psnr_and_sharpness_are_those_of_their_definitions():
    wanted = torch.zeros(1, 3, 4, 4)
    assert float(psnr_db(wanted + 0.2, wanted)) == pytest.approx(20.0, abs=1e-3)
    stripes = torch.tensor([0.0, 1.0, 0.0, 1.0]).expand(1, 3, 4, 4)
    assert float(sharpness(stripes)) == pytest.approx(1.0)
    assert pooled(stripes, 2).shape == (1, 3, 2, 2)
    assert torch.all(pooled(stripes, 2) == 0.5)


def test_contrast_is_missed_by_a_blur_and_found_in_a_shifted_picture():
    torch.manual_seed(1)
    wanted = torch.nn.functional.avg_pool2d(torch.randn(1, 3, 80, 80), 3, 1, 1)
    shifted = wanted.roll((1, 1), (2, 3))
    blurred = torch.nn.functional.avg_pool2d(wanted, 5, 1, 2)
    assert (shifted - wanted).square().mean() > (blurred - wanted).square().mean()
    assert contrast_distance(shifted, wanted) < 0.5 * contrast_distance(blurred, wanted)
    assert contrast_distance(wanted, wanted) == 0


def test_contrast_has_no_response_to_a_plain_surface_and_no_preferred_phase():
    assert float(contrast_energy(torch.ones(1, 3, 64, 64)).max()) == pytest.approx(0.01, rel=0.01)
    across = torch.arange(64) * (2 * torch.pi / 4)
    gratings = torch.stack([torch.sin(across + phase) for phase in (0.0, 0.7, 1.5)])
    energy = contrast_energy(gratings[None, :, None, :].expand(1, 3, 64, 64))[:, 0]
    assert float(energy.min()) > 0.3
    assert float(energy.max() / energy.min()) < 1.05
