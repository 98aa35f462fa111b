"""The latent space has the statistics of the paper's faces."""

from __future__ import annotations

import numpy as np
import pytest

from b2g_rt.simulation.latent_space import LatentSpace, face_latents


@pytest.fixture(scope="module")
def faces() -> LatentSpace:
    return face_latents()


def test_energy_is_shared_out_between_mean_and_components_as_calibrated(faces: LatentSpace) -> None:
    assert faces.n_latents == faces.n_components == 512
    assert np.sum(faces.mean**2) == pytest.approx(0.228 * 512)
    assert np.sum(faces.mean**2) + np.sum(faces.sd**2) == pytest.approx(512)
    assert faces.sd[9] ** 2 / faces.sd[0] ** 2 == pytest.approx(10**-0.3)
    np.testing.assert_allclose(faces.basis @ faces.basis.T, np.eye(512), atol=1e-12)


def test_mean_latent_scores_the_cosine_of_the_paper(
    faces: LatentSpace, rng: np.random.Generator
) -> None:
    w = faces.draw(rng, 2000)
    assert w.dtype == np.float32
    cosine = (w @ faces.mean) / np.linalg.norm(w, axis=1) / np.linalg.norm(faces.mean)
    assert cosine.mean() == pytest.approx(0.477, abs=0.01)


def test_whitening_undoes_drawing(faces: LatentSpace, rng: np.random.Generator) -> None:
    z = faces.whiten(faces.draw(rng, 3000))
    covariance = np.cov(z.T)
    assert np.abs(z.mean(axis=0)).max() < 5 / np.sqrt(3000)
    assert np.diag(covariance) == pytest.approx(np.ones(512), abs=0.15)
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 0.11


def test_same_seed_gives_the_same_space_and_another_seed_another(faces: LatentSpace) -> None:
    again, other = face_latents(), face_latents(seed=5)
    np.testing.assert_array_equal(again.basis, faces.basis)
    assert abs(np.dot(other.mean, faces.mean)) < 0.2 * np.sum(faces.mean**2)
