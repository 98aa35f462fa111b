from __future__ import annotations

import numpy as np
import pytest
import torch

from b2g_rt.simulation.latent_space import face_latents
from offline.stimuli.distilled.latent_mapping import make_linear, statistics
from offline.stimuli.stylegan.mapping import Mapping
from offline.stimuli.stylegan.schedule import Widths, stylegan3

N = 96


@pytest.fixture
def fitted():
    space = face_latents(5, N)
    mapping = Mapping(stylegan3("m", Widths(32), z_dim=N, w_dim=N))
    make_linear(mapping, space)
    return space, mapping


@torch.no_grad()
def test_an_ordinary_two_layer_mapping_gives_exactly_the_latents_of_the_stimuli(fitted):
    space, mapping = fitted
    z = torch.randn(50, N)
    z = z / z.square().mean(1, keepdim=True).sqrt()
    expected = space.mean + (z.double().numpy() * space.sd) @ space.basis
    assert np.abs(mapping(z)[:, 0].numpy() - expected).max() < 2e-5


@torch.no_grad()
def test_truncation_draws_to_the_mean_latent(fitted):
    space, mapping = fitted
    z = torch.randn(3, N)
    whole, half, none = (mapping(z, psi=psi)[:, 0] for psi in (1.0, 0.5, 0.0))
    mean = torch.from_numpy(space.mean).float()
    assert torch.allclose(none, mean.expand(3, -1), atol=1e-5)
    assert torch.allclose(half - mean, (whole - mean) / 2, atol=1e-5)


def test_statistics_tell_a_fitting_mapping_from_another(fitted):
    space, mapping = fitted
    reading = torch.from_numpy((space.basis[:4] / space.sd[:4, None]).astype(np.float32))
    found = statistics(mapping, space, reading, 4000)
    assert found["linear_error"] < 1e-4
    assert 0.95 < found["parameter_sd_min"] <= found["parameter_sd_max"] < 1.05
    assert found["parameter_correlation_max"] < 0.08
    assert found["mean_error"] < 0.03
    with torch.no_grad():
        mapping.fc1.bias.add_(3.0)
    assert statistics(mapping, space, reading, 1000)["linear_error"] > 0.01
