from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from b2g_rt.errors import PictureError
from offline.evaluation.identification import n_way, similarities
from offline.evaluation.image_metrics import pixel_correlation
from offline.evaluation.picture_scores import score_pictures


class Colours:
    """A network of one layer: the mean colour of each quarter of a picture."""

    spec = SimpleNamespace(name="colours", preprocessing="none", layers={"quarters": ""})

    def features(self, pictures, layer):
        half = pictures.shape[1] // 2
        x = pictures.reshape(len(pictures), 2, half, 2, half, 3).astype(np.float32)
        return x.mean(axis=(2, 4)).reshape(len(pictures), -1)


class Difference:
    spec = SimpleNamespace(name="difference", preprocessing="none", layers={})

    def distances(self, reconstructed, shown):
        return np.abs(reconstructed.astype(float) - shown).mean(axis=(1, 2, 3))


@pytest.fixture
def trials(rng):
    """Five stimuli, two trials each; reconstructions are the stimuli with noise."""
    mean = rng.integers(0, 256, (24, 24, 3)).astype(np.uint8)
    stimuli = np.clip(mean + rng.normal(0, 60, (5, 24, 24, 3)), 0, 255).astype(np.uint8)
    true_idx = rng.permutation(np.repeat(np.arange(5), 2))
    noisy = stimuli[true_idx] + rng.normal(0, 40, (10, 24, 24, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8), stimuli, true_idx, mean


def test_each_figure_stands_beside_the_mean_latents_picture(trials):
    reconstructed, stimuli, true_idx, mean = trials
    found = score_pictures(reconstructed, stimuli, true_idx, mean, [Colours()], [Difference()])
    by_name = {s.metric: s for s in found}
    assert list(by_name) == [
        "PixCorr",
        "SSIM",
        "quarters correlation",
        "quarters 2-way",
        "DIFFERENCE",
    ]
    pixcorr = by_name["PixCorr"]
    wanted = pixel_correlation(reconstructed, stimuli[true_idx]).values.mean()
    assert pixcorr.score.mean == pytest.approx(wanted)
    tiled = np.tile(mean, (5, 1, 1, 1))
    assert pixcorr.mean_latent == pytest.approx(pixel_correlation(tiled, stimuli).values.mean())
    for name in ("PixCorr", "SSIM", "quarters correlation", "quarters 2-way"):
        assert by_name[name].score.mean > by_name[name].mean_latent
    assert by_name["DIFFERENCE"].score.mean < by_name["DIFFERENCE"].mean_latent
    assert by_name["DIFFERENCE"].better == "lower"


def test_two_way_identification_by_features_names_chance_and_pool(trials):
    reconstructed, stimuli, true_idx, mean = trials
    found = score_pictures(reconstructed, stimuli, true_idx, mean, [Colours()])[3]
    assert (found.chance, found.pool, found.mean_latent) == (0.5, 5, 0.5)
    a, b = (Colours().features(x, "quarters") for x in (reconstructed, stimuli))
    assert found.score.mean == pytest.approx(n_way(similarities(a, b), true_idx, 2).mean())


def test_the_mean_latents_picture_scores_its_own_baseline(trials):
    _, stimuli, true_idx, mean = trials
    for score in score_pictures(
        np.tile(mean, (10, 1, 1, 1)), stimuli, true_idx, mean, [Colours()], [Difference()]
    ):
        assert score.score.mean == pytest.approx(score.mean_latent)


def test_every_figure_says_what_was_done_to_the_pictures(trials):
    reconstructed, stimuli, true_idx, mean = trials
    for score in score_pictures(reconstructed, stimuli, true_idx, mean, [Colours()]):
        assert score.preprocessing
        json.dumps(score.to_dict())


def test_other_trials_than_reconstructions_are_refused(trials):
    reconstructed, stimuli, true_idx, mean = trials
    with pytest.raises(PictureError, match="9 reconstructions of 10 trials"):
        score_pictures(reconstructed[1:], stimuli, true_idx, mean)
