from __future__ import annotations

import pytest
import torch

from offline.stimuli.projection import gauss_newton
from offline.stimuli.projection.losses import pyramid_loss
from offline.stimuli.projection.problem import Objective, Problem
from offline.stimuli.projection.recomputed_layers import recomputing
from offline.stimuli.projection.start import anchors, latent_distribution
from offline.stimuli.stylegan.filtered_activation import (
    fused_activations_exist,
    use_fused_activations,
)


def _gradients(synthesis, w, seed_of_pull=(1, 2)):
    """Two gradients of one picture, as Gauss-Newton takes them."""
    w = w.clone().requires_grad_()
    picture = synthesis(w)
    found = []
    for seed in seed_of_pull:
        pull = torch.randn(picture.shape, generator=torch.Generator().manual_seed(seed))
        found += torch.autograd.grad(picture, w, pull, retain_graph=True)
    return picture.detach(), *found


def _kept_bytes(synthesis, w):
    kept = {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        picture = synthesis(w.clone().requires_grad_())
    assert picture.requires_grad
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize("rows", [1, "num_ws"])
def test_layers_drawn_again_give_the_same_pictures_and_gradients(small, rows):
    n_rows = small.num_ws if rows == "num_ws" else rows
    w = torch.randn((2, n_rows, small.w_dim), generator=torch.Generator().manual_seed(1))
    expected = _gradients(small.synthesis, w)
    for found, plain in zip(_gradients(recomputing(small.synthesis, 8), w), expected, strict=True):
        torch.testing.assert_close(found, plain, atol=0, rtol=0)


def test_layers_drawn_again_keep_less(small):
    w = torch.zeros((2, 1, small.w_dim))
    plain, less = (_kept_bytes(f, w) for f in (small.synthesis, recomputing(small.synthesis, 8)))
    assert less < 0.25 * plain


def test_what_is_small_or_has_no_layers_is_drawn_as_it_is(small, linear):
    assert recomputing(small.synthesis) is small.synthesis
    assert recomputing(linear.synthesis, 1) is linear.synthesis


@pytest.mark.slow  # compiles
@pytest.mark.skipif(not fused_activations_exist(), reason="numba is not installed")
def test_fused_activations_give_the_same_gradients_and_the_same_polish(small, draw):
    w = torch.randn((2, 1, small.w_dim), generator=torch.Generator().manual_seed(1))
    _, target = draw(small, 2)
    scale = latent_distribution(small, n_draws=2000).scale
    problem = Problem(recomputing(small.synthesis, 8), target, anchors(small, [None] * 2), scale)
    found = []
    for fused in (False, True):
        use_fused_activations(small.synthesis, fused=fused)
        state = gauss_newton.first_state(torch.zeros(2, 1, small.w_dim))
        gauss_newton.step(problem, Objective(pyramid_loss(16, 0.0), 1e-5, 1.0), state, 6)
        found.append((*_gradients(problem.synthesis, w), state.u))
    for plain, fused in zip(*found, strict=True):
        torch.testing.assert_close(fused, plain, atol=2e-3 * plain.abs().max().item(), rtol=0)
