from __future__ import annotations

import pytest
import torch

from offline.stimuli.faces.face_renderer import FaceRenderer
from offline.stimuli.generators import procedural_faces
from offline.stimuli.projection.directions import cosine_within, picture_directions
from offline.stimuli.projection.start import latent_distribution


def test_the_rank_is_that_of_what_the_picture_reads(linear):
    distribution = latent_distribution(linear, n_draws=2000)
    found = picture_directions(linear.synthesis, linear.w_avg, distribution)
    reading = torch.linalg.qr(linear.synthesis.reading)[0].T
    assert found.rank == len(reading)
    torch.testing.assert_close(
        found.basis @ found.basis.T, torch.eye(found.rank), atol=1e-4, rtol=0
    )
    # Same span: nothing of the basis lies outside the reading's rows.
    torch.testing.assert_close(
        (found.basis @ reading.T).square().sum(), torch.tensor(float(found.rank)), atol=1e-3, rtol=0
    )


def test_sensitivity_is_in_grey_levels_per_sd(linear):
    distribution = latent_distribution(linear, n_draws=2000)
    found = picture_directions(linear.synthesis, linear.w_avg, distribution)
    # All directions together: the RMS of grey levels over drawn pictures.
    u = torch.randn(4000, linear.w_dim)
    moved = linear.synthesis((u @ distribution.scale)[:, None]) * 127.5
    expected = moved.square().mean().sqrt()
    torch.testing.assert_close(found.sensitivity.square().sum().sqrt(), expected, rtol=0.03, atol=0)


def test_directions_that_the_picture_does_not_show_do_not_count(linear):
    distribution = latent_distribution(linear, n_draws=2000)
    found = picture_directions(linear.synthesis, linear.w_avg, distribution)
    a = torch.randn(linear.w_dim)
    unseen = torch.randn(linear.w_dim)
    unseen -= found.basis.T @ (found.basis @ unseen)
    assert cosine_within(found.basis, a, a + 10 * unseen) == pytest.approx(1.0, abs=1e-4)
    assert cosine_within(torch.eye(linear.w_dim), a, a + 10 * unseen) < 0.9


def test_the_procedural_faces_depend_on_no_more_directions_than_they_have_parameters():
    generator = procedural_faces()
    reading = generator.synthesis.state_dict()["reading"]
    renderer = FaceRenderer(generator.w_avg, reading, size=32)
    distribution = latent_distribution(generator, n_draws=2000)
    z = torch.randn((1, generator.z_dim), generator=torch.Generator().manual_seed(1))
    w = generator.mapping(z, None, 0.7)[0, 0]
    found = picture_directions(renderer, w, distribution)
    assert 30 <= found.rank <= len(reading)
    rows = torch.linalg.qr(reading.T)[0].T
    inside = (found.basis @ rows.T).square().sum() / found.rank
    assert inside > 0.9999
