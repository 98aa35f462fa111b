from __future__ import annotations

import numpy as np
import pytest
import torch

from b2g_rt.simulation.from_record import faces_macaque
from offline.stimuli.distilled.face_latents import GAIN, bent_sd, shipped_face_latents
from offline.stimuli.distilled.latent_mapping import bent, broken_line, make_bent, statistics
from offline.stimuli.distilled.plan import MAPPING_LAYERS
from offline.stimuli.stylegan.mapping import Mapping
from offline.stimuli.stylegan.schedule import Widths, stylegan3
from offline.stimuli.stylegan.specification import MappingSpec


@pytest.fixture(scope="module")
def fitted():
    stimuli, faces = faces_macaque().latents, shipped_face_latents()
    mapping = Mapping(stylegan3("m", Widths(32), mapping=MappingSpec(n_layers=MAPPING_LAYERS)))
    make_bent(mapping, stimuli, faces)
    return stimuli, faces, mapping


def test_a_broken_line_follows_the_saturation_also_far_out():
    x = np.linspace(-6, 6, 500)
    places = np.linspace(-2.3, 2.3, 11)
    weights, added = broken_line(1.5, places)
    kinked = x[:, None] - places
    line = np.maximum(kinked, 0.2 * kinked) @ weights + added
    assert np.abs(line - np.tanh(1.5 * x)).max() < 0.08


@torch.no_grad()
def test_an_ordinary_mapping_gives_the_face_that_the_stimuli_have_for_the_same_z(fitted):
    stimuli, faces, mapping = fitted
    z = torch.randn(200, 512, generator=torch.Generator().manual_seed(1))
    z = z / z.square().mean(1, keepdim=True).sqrt()
    w = stimuli.mean + (z.double().numpy() * stimuli.sd) @ stimuli.basis
    wanted = np.tanh(GAIN * ((w - faces.mean) @ faces.stimulus_reading.T))
    found = (mapping(z)[:, 0].double().numpy() - faces.mean) @ faces.reading.T
    assert np.abs(found - wanted).max() < 0.03
    assert np.sqrt(np.mean((found - wanted) ** 2)) < 0.008


@torch.no_grad()
def test_truncation_draws_to_the_mean_latent(fitted):
    _, faces, mapping = fitted
    z = torch.randn(3, 512)
    whole, half, none = (mapping(z, psi=psi)[:, 0] for psi in (1.0, 0.5, 0.0))
    mean = torch.from_numpy(faces.mean).float()
    assert torch.allclose(none, mean.expand(3, -1), atol=1e-5)
    assert torch.allclose(half - mean, (whole - mean) / 2, atol=1e-5)


def test_the_two_latent_spaces_show_the_same_face(fitted):
    _, faces, _ = fitted
    s = np.tanh(np.random.default_rng(0).standard_normal((5, len(GAIN))))
    shown = np.tanh(GAIN * ((faces.to_stimuli(s) - faces.mean) @ faces.stimulus_reading.T))
    np.testing.assert_allclose(shown, s, atol=1e-9)
    np.testing.assert_allclose(faces.of_stimuli(faces.to_stimuli(s)), faces.of_bent(s), atol=1e-9)
    np.testing.assert_allclose((faces.of_bent(s) - faces.mean) @ faces.reading.T, s, atol=1e-9)


def test_bent_parameters_have_the_spread_that_is_computed():
    drawn = bent(torch.randn(200_000, len(GAIN), generator=torch.Generator().manual_seed(3)))
    np.testing.assert_allclose(drawn.std(dim=0).numpy(), bent_sd(), rtol=0.01)


def test_statistics_tell_a_fitting_mapping_from_another(fitted):
    stimuli, faces, mapping = fitted
    found = statistics(mapping, stimuli, faces, 4000)
    assert found["bend_error"] < 0.008
    assert 0.95 < found["parameter_sd_min"] <= found["parameter_sd_max"] < 1.05
    assert found["mean_error"] < 0.03
    other = Mapping(mapping.spec)
    other.load_state_dict(mapping.state_dict())
    with torch.no_grad():
        other.get_parameter("fc0.weight").mul_(1.5)
    assert statistics(other, stimuli, faces, 1000)["bend_error"] > 0.05
