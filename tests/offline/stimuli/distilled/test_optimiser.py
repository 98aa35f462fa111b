from __future__ import annotations

import pytest
import torch
from torch import nn

from offline.stimuli.distilled.optimiser import Orthogonal, orthogonalised


@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (16, 16)])
def test_the_directions_of_an_update_become_alike(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape) @ torch.diag(torch.logspace(0, -1.5, shape[1]))
    found = torch.linalg.svdvals(orthogonalised(matrix))
    assert found.max() < 1.3
    assert found.median() > 0.6
    # The same singular vectors: only their weights change.
    assert float((orthogonalised(matrix) * matrix).sum()) > 0


def test_an_element_moves_by_about_the_learning_rate():
    torch.manual_seed(0)
    weight, bias = nn.Parameter(torch.randn(16, 8, 3, 3)), nn.Parameter(torch.zeros(16))
    before = weight.detach().clone()
    optimiser = Orthogonal([weight, bias], lr=0.01)
    weight.grad, bias.grad = torch.randn(weight.shape), torch.randn(16)
    optimiser.step()
    moved = (weight.detach() - before).square().mean().sqrt()
    assert 0.006 < float(moved) < 0.013
    assert torch.allclose(bias.detach().abs(), torch.full((16,), 0.01), rtol=1e-3)


def test_it_finds_the_minimum_of_a_badly_scaled_problem():
    torch.manual_seed(0)
    goal = torch.randn(8, 8)
    scale = torch.logspace(0, -2, 8)
    weight = nn.Parameter(torch.zeros(8, 8))
    optimiser = Orthogonal([weight], lr=0.05)
    for step in range(300):
        for group in optimiser.param_groups:
            group["lr"] = 0.05 * (1 - step / 300)
        optimiser.zero_grad()
        (((weight - goal) * scale).square().sum()).backward()
        optimiser.step()
    assert float((weight.detach() - goal).abs().max()) < 0.1


def test_what_got_no_gradient_stays():
    weight = nn.Parameter(torch.ones(4, 4))
    Orthogonal([weight], lr=1.0).step()
    assert torch.equal(weight.detach(), torch.ones(4, 4))
