from __future__ import annotations

import json

import numpy as np
import pytest

from b2g_rt.errors import SessionError
from offline.evaluation.decoding_scores import score_decoding
from offline.evaluation.scores import KnownTrials, score_window
from offline.evaluation.trained_stimuli import TrainedStimuli

N_STIMULI, N_LATENTS = 24, 40


@pytest.fixture
def held_out(rng):
    """24 stimuli with a mean of .5 of the energy, three trials each, decoded at half strength with noise."""
    mean = rng.standard_normal(N_LATENTS)
    pool = (mean + rng.standard_normal((N_STIMULI, N_LATENTS))).astype(np.float32)
    true_idx = rng.permutation(np.repeat(np.arange(N_STIMULI), 3))
    known = KnownTrials(pool, true_idx, mean.astype(np.float32))
    noise = rng.standard_normal((len(true_idx), N_LATENTS))
    decoded = mean + 0.5 * (pool[true_idx] - mean) + 0.3 * noise
    return decoded.astype(np.float32), known, [f"new-{i}" for i in true_idx]


@pytest.fixture
def trained(rng):
    latents = rng.standard_normal((30, N_LATENTS)).astype(np.float32)
    return TrainedStimuli.of_trials([f"old-{i}" for i in range(30)], latents)


def test_figures_agree_with_the_report_of_windows(held_out, trained):
    decoded, known, stimuli = held_out
    found = score_decoding(decoded, known, stimuli, trained, n_permutations=99)
    window = score_window(decoded, known, 0)
    assert found.cosine.mean == pytest.approx(window.cosine.mean, abs=1e-7)
    assert found.centred_cosine.mean == pytest.approx(window.centred_cosine.mean, abs=1e-7)
    assert found.mean_latent_cosine.mean == pytest.approx(window.mean_latent_cosine, abs=1e-7)
    assert found.identification[0].score.mean == pytest.approx(window.two_way.mean, abs=1e-7)
    assert found.gain.mean == pytest.approx(found.cosine.mean - found.mean_latent_cosine.mean)
    assert found.two_way_test.observed == pytest.approx(found.identification[0].score.mean)
    assert found.centred_test.observed == pytest.approx(found.centred_cosine.mean)
    assert [s.task for s in found.identification] == ["2-way", "10-way", "top-1", "top-5"]
    assert (found.n_trials, found.n_stimuli, found.n_not_decoded) == (72, 24, 0)
    assert found.gain_test.p == found.centred_test.p == found.two_way_test.p == 0.01


def test_the_mean_latent_gains_nothing_and_identifies_at_chance(held_out, trained):
    _, known, stimuli = held_out
    decoded = np.tile(known.mean, (72, 1))
    found = score_decoding(decoded, known, stimuli, trained, n_permutations=99)
    assert found.gain.mean == pytest.approx(0.0, abs=1e-12)
    assert found.centred_cosine.mean == 0.0
    for score in found.identification:
        assert score.score.mean == pytest.approx(score.chance)
    assert found.two_way_test.p == found.centred_test.p == 1.0
    assert found.dimensions.explained == 0.0


def test_a_decoder_below_the_mean_latent_is_said_to_be_so(held_out, trained, rng):
    decoded, known, stimuli = held_out
    noisy = decoded + 3 * rng.standard_normal(decoded.shape)
    found = score_decoding(noisy, known, stimuli, trained, n_permutations=99)
    assert found.gain.high < 0
    assert found.gain_test.p > 0.9
    assert found.dimensions.explained < 0


def test_trials_that_could_not_be_decoded_are_counted(held_out, trained):
    decoded, known, stimuli = held_out
    decoded[[3, 50]] = np.nan
    found = score_decoding(decoded, known, stimuli, trained, n_permutations=9)
    assert (found.n_trials, found.n_not_decoded) == (70, 2)
    decoded[:] = np.nan
    with pytest.raises(SessionError, match="none of 72 trials was decoded"):
        score_decoding(decoded, known, stimuli, trained)


@pytest.mark.parametrize("by", ["id", "latent"])
def test_one_training_trial_is_enough_to_refuse(held_out, rng, by):
    decoded, known, stimuli = held_out
    ids = ["old", stimuli[5]] if by == "id" else ["old", "older"]
    latents = np.stack([rng.standard_normal(N_LATENTS), rng.standard_normal(N_LATENTS)])
    if by == "latent":
        latents[1] = known.latents[5]
    seen = TrainedStimuli(frozenset(ids), latents.astype(np.float32), known.mean)
    with pytest.raises(SessionError, match="3 of 72 trials show stimuli of the training"):
        score_decoding(decoded, known, stimuli, seen)


def test_other_numbers_of_trials_and_stimuli_are_refused(held_out, trained):
    decoded, known, stimuli = held_out
    with pytest.raises(SessionError, match="71 decoded trials, 72 stimuli, 72 true latents"):
        score_decoding(decoded[1:], known, stimuli, trained)


def test_the_figures_are_plain_data(held_out, trained):
    decoded, known, stimuli = held_out
    plain = score_decoding(decoded, known, stimuli, trained, n_permutations=9).to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["identification"][1]["pool"] == 24
    assert len(plain["dimensions"]["r2"]) == N_LATENTS
