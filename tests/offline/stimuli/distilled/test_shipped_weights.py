"""What the shipped weights promise; the numbers are those of the docs, with room for rounding."""

from __future__ import annotations

import json

import pytest
import torch

from offline.stimuli.distilled.evaluation import likeness, paired_latents, pictures
from offline.stimuli.distilled.face_latents import shipped_face_latents
from offline.stimuli.distilled.plan import Plan
from offline.stimuli.generators import DISTILLED, DISTILLED_FOLDER, open_generator, procedural_faces
from offline.stimuli.stylegan.directory import read_provenance
from offline.stimuli.stylegan.filtered_activation import use_fused_activations

N = 16
PSNR_DB = 32.0
SHARPNESS = 0.6


@pytest.fixture(scope="module")
def distilled():
    generator = open_generator(DISTILLED)
    use_fused_activations(generator.synthesis)
    return generator


@pytest.fixture(scope="module")
def alike(distilled):
    own, same = paired_latents(shipped_face_latents(), N, 0.7, seed=5)
    return likeness(
        pictures(distilled.synthesis, own), pictures(procedural_faces().synthesis, same), 0.7
    )


def test_the_shipped_generator_is_the_plans_stylegan3(distilled):
    assert distilled.spec == Plan().specification()
    assert distilled.resolution >= 128
    assert sum(file.stat().st_size for file in DISTILLED_FOLDER.iterdir()) < 8e6


def test_its_pictures_are_the_renderers_pictures_of_the_same_faces(alike):
    assert alike.psnr_db > PSNR_DB


def test_its_faces_are_no_blur_of_the_mean_face(alike):
    assert alike.sharpness > SHARPNESS


def test_its_faces_differ_as_much_as_the_renderers(alike):
    assert 0.85 < alike.variety < 1.15


@torch.no_grad()
def test_its_mapping_gives_the_stimuli_and_truncates_to_the_mean_face(distilled):
    z = torch.randn(4, 512, generator=torch.Generator().manual_seed(2))
    z = z / z.square().mean(1, keepdim=True).sqrt()
    stimuli = procedural_faces().mapping(z)[:, 0].double().numpy()
    expected = torch.from_numpy(shipped_face_latents().of_stimuli(stimuli)).float()
    found = distilled.mapping(z)
    assert found.shape == (4, distilled.num_ws, 512)
    assert float((found[:, 0] - expected).norm() / (expected - distilled.w_avg).norm()) < 0.02
    assert torch.allclose(distilled.mapping(z, psi=0.0)[0, 0], distilled.w_avg, atol=1e-4)


def test_it_says_how_it_was_made():
    made = read_provenance(DISTILLED_FOLDER)
    assert made["plan"] == json.loads(json.dumps(Plan().to_dict()))
    assert made["active_minutes"] <= 90
    assert made["progress"] == pytest.approx(1.0, abs=0.02)
    assert made["pictures"] > 10000
    assert [one["psi"] for one in made["likeness"]] == [1.0, 0.7, 0.5]
