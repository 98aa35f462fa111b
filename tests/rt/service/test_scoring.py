from __future__ import annotations

import numpy as np
import pytest

from b2g_rt.contracts.bundle import Stimuli
from b2g_rt.service.scoring import TrialScorer, cosine

N = 40


@pytest.fixture
def stimuli(rng) -> Stimuli:
    return Stimuli(
        tuple(f"face-{i}" for i in range(N)), rng.standard_normal((N, 64)).astype(np.float32) + 1
    )


def scorer(stimuli: Stimuli) -> TrialScorer:
    return TrialScorer(stimuli, np.ones(64, np.float32))


def test_the_true_latent_scores_one(stimuli):
    score = scorer(stimuli).score(stimuli.latent[3], "face-3")
    assert score.cosine == pytest.approx(1)
    assert score.centred_cosine == pytest.approx(1)
    assert score.two_way == 1


def test_the_mean_latent_is_the_baseline_and_scores_chance(stimuli):
    score = scorer(stimuli).score(np.ones(64, np.float32), "face-3")
    assert score.cosine == pytest.approx(score.mean_latent_cosine)
    assert score.centred_cosine == 0
    assert score.two_way == 0.5


def test_two_way_is_the_share_of_other_stimuli_that_correlate_less(stimuli, rng):
    decoded = stimuli.latent[5] + 2 * rng.standard_normal(64).astype(np.float32)
    r = [np.corrcoef(decoded - 1, latent - 1)[0, 1] for latent in stimuli.latent]
    expected = np.mean([r[5] > other for i, other in enumerate(r) if i != 5])
    assert scorer(stimuli).score(decoded, "face-5").two_way == pytest.approx(expected)


def test_unrelated_latents_score_chance_on_average(stimuli, rng):
    score = scorer(stimuli)
    rates = [
        score.score(rng.standard_normal(64).astype(np.float32), f"face-{i % N}").two_way
        for i in range(400)
    ]
    assert np.mean(rates) == pytest.approx(0.5, abs=4 * 0.29 / 20)


def test_an_unknown_stimulus_is_not_scored(stimuli):
    assert scorer(stimuli).score(stimuli.latent[0], "nobody") is None
    assert scorer(stimuli).raw_cosine(stimuli.latent[0], "nobody") is None
    assert not scorer(stimuli).knows("nobody")


def test_the_cosine_of_nothing_is_zero():
    assert cosine(np.zeros(3), np.ones(3)) == 0
