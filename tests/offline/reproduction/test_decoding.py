from __future__ import annotations

import numpy as np
import pytest

from b2g_rt.contracts.bundle import Normalisation
from offline.evaluation.held_out import FeatureChain
from offline.recordings.simulated_sessions import simulated_recording
from offline.reproduction.decoding import averaged, live_units, paper_units
from offline.reproduction.responses import ROI_WINDOWS, WINDOWS, Responses

# The first test that asks for it runs the whole experiment, in small.
pytestmark = pytest.mark.timeout(240)


def test_live_units_are_those_of_a_bundle_with_the_trainings_statistics(responses, macaque, plan):
    first = plan.sessions()[0]
    w = plan.latents(macaque, "training")[first.first : first.stop]
    recording, onsets = simulated_recording(macaque, w, first.noise_seed)
    statistics = responses.statistics
    z = live_units(responses, macaque.channels).training[: first.stop]
    for spec, columns in ((WINDOWS, slice(0, -1)), (ROI_WINDOWS, slice(-1, None))):
        chain = FeatureChain(
            macaque.channels,
            spec,
            statistics.mean,
            statistics.sd,
            Normalisation(kind="frozen"),
        )
        # Sample by sample there, whole windows here: the same but for rounding in float32.
        np.testing.assert_allclose(z[:, columns], chain.features(recording, onsets), atol=2e-5)


@pytest.mark.parametrize(
    ("units", "looks_ahead"), [(paper_units, True), (live_units, False)], ids=["paper", "live"]
)
def test_only_the_papers_units_know_later_trials_and_say_so(units, looks_ahead, responses, macaque):
    later = responses.test.copy()
    later[-1] += 1.0
    before = units(responses, macaque.channels)
    after = units(Responses(responses.training, later, responses.statistics), macaque.channels)
    unchanged = np.array_equal(before.training, after.training)
    unchanged &= np.array_equal(before.test[:-1], after.test[:-1])
    assert unchanged != looks_ahead
    assert before.looks_ahead == looks_ahead
    assert ("looks ahead" in before.note) == looks_ahead


def test_paper_units_have_mean_0_and_sd_1_over_the_test(responses, macaque):
    z = paper_units(responses, macaque.channels).test.astype(np.float64)
    for part in (z[:, :-1].reshape(-1, z.shape[2]), z[:, -1]):
        np.testing.assert_allclose(part.mean(axis=0), 0.0, atol=1e-5)
        np.testing.assert_allclose(part.std(axis=0), 1.0, atol=1e-5)


def test_averaging_takes_each_stimulus_own_repetitions(rng):
    shown = np.array([1, 0, 1, 2, 1])
    features = rng.standard_normal((5, 2, 3)).astype(np.float32)
    mean = averaged(features, shown, 3)
    np.testing.assert_allclose(mean[1], features[[0, 2, 4]].mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(mean[0], features[1])


def test_averaged_and_single_trials_are_scored_apart(found, plan):
    single, mean = found.scores["single_trial"], found.scores["averaged"]
    assert (single.n_trials, mean.n_trials) == (plan.n_test * plan.n_repeats, plan.n_test)
    for scores in (single, mean):
        for by_roi in scores.decoders.values():
            assert list(by_roi) == ["all", "V1", "V4", "IT"]
            for one in by_roi.values():
                assert one.roi_windows.n_stimuli == plan.n_test
                assert len(one.windows.windows) == WINDOWS.n_windows
    # The same stimuli, so the same mean latent's score.
    assert single.decoders["ols"]["all"].roi_windows.mean_latent_cosine.mean == pytest.approx(
        mean.decoders["ols"]["all"].roi_windows.mean_latent_cosine.mean
    )
