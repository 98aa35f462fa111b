from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from offline.encoding.layer_assignment import assign_layers, recovery
from offline.encoding.scores import EncodingScores
from offline.encoding.statistics import t_test_p

CHANNELS = ChannelMap(128, (ArraySlot(0, "V1", 0), ArraySlot(1, "IT", 64)))
SPACES = ("VGG1", "VGG3", "VGG5", "w")
N_TEST = 100


def scores_with(r):
    return EncodingScores(
        SPACES, CHANNELS, N_TEST, r, t_test_p(r, N_TEST), np.full(128, 0.8), np.ones_like(r)
    )


@pytest.fixture
def r():
    """V1: 48 electrodes best by VGG1, 16 by VGG3. IT: 40 by VGG5, 20 by w, 4 by nothing."""
    r = np.full((4, 128), 0.2)
    r[0, :48], r[1, 48:64], r[2, 64:104], r[3, 104:124] = 0.7, 0.7, 0.6, 0.6
    r[:, 124:] = 0.01
    return r


def test_shares_are_of_the_significant_electrodes_of_an_roi(r):
    found = assign_layers(scores_with(r))
    assert found.shares("V1").tolist() == [0.75, 0.25, 0, 0]
    np.testing.assert_allclose(found.shares("IT"), [0, 0, 40 / 60, 20 / 60])
    assert (found.n_significant("V1"), found.n_significant("IT")) == (64, 60)
    assert found.counts("IT").tolist() == [0, 0, 40, 20]
    assert not found.significant[124:].any()


def test_mean_position_runs_along_the_hierarchy_and_leaves_other_spaces_out(r):
    found = assign_layers(scores_with(r))
    assert found.mean_position("V1") == pytest.approx(0.25)
    assert found.mean_position("IT") == pytest.approx((40 * 2 + 20 * 3) / 60)
    layers = ("VGG1", "VGG3", "VGG5")
    assert found.mean_position("IT", layers) == 2.0
    assert np.isnan(found.mean_position("V1", ("w",)))
    with pytest.raises(ValueError, match="hierarchy: CLIP, expected"):
        found.mean_position("V1", ("VGG1", "CLIP"))


def test_of_equal_spaces_the_lowest_is_taken(r):
    r[:, 0] = 0.5
    assert assign_layers(scores_with(r)).best[0] == 0
    r[0, 0] = 0.4
    assert assign_layers(scores_with(r)).best[0] == 1


def test_an_roi_without_any_significant_electrode_has_no_shares(r):
    r[:, 64:] = 0.01
    found = assign_layers(scores_with(r))
    assert np.isnan(found.shares("IT")).all()
    assert np.isnan(found.mean_position("IT"))
    assert found.counts("IT").tolist() == [0, 0, 0, 0]
    json.dumps(found.to_dict(), allow_nan=False)


def test_electrodes_that_are_predicted_the_wrong_way_round_are_assigned_nothing(r):
    assert not assign_layers(scores_with(-r)).significant.any()


def test_the_choice_among_spaces_is_paid_for(r):
    scores = scores_with(r)
    strict, fdr, plain = (
        assign_layers(scores, correction=c) for c in ("bonferroni", "fdr", "none")
    )
    best = np.take_along_axis(scores.p, strict.best[None], 0)[0]
    np.testing.assert_allclose(strict.p, np.minimum(best * 4 * 128, 1))
    np.testing.assert_array_equal(plain.p, best)
    assert (strict.p >= fdr.p).all()
    assert (fdr.p >= plain.p).all()


def test_no_space_at_all_is_found_in_more_than_alpha_of_families_of_noise():
    rng = np.random.default_rng(3)
    any_found = 0
    for _ in range(300):
        r = np.tanh(rng.standard_normal((4, 128)) / np.sqrt(N_TEST - 3))
        any_found += bool(assign_layers(scores_with(r)).significant.any())
    assert any_found / 300 < 0.08


def test_recovery_counts_informative_electrodes_with_a_truth(r):
    found = assign_layers(scores_with(r))
    truth = ["VGG1"] * 64 + ["VGG5"] * 40 + ["w"] * 24
    informative = np.ones(128, np.bool_)
    informative[:8] = False
    whole = recovery(found, truth, informative)
    assert (whole.n_informative, whole.n_recovered) == (120, 40 + 40 + 20)
    assert whole.n_best >= whole.n_recovered
    assert whole.share == pytest.approx(100 / 120)
    it = recovery(found, truth, informative, CHANNELS.channels_of("IT"))
    assert (it.n_informative, it.n_recovered) == (64, 60)
    untuned = recovery(found, [""] * 128, informative)
    assert np.isnan(untuned.share)
    json.dumps(untuned.to_dict(), allow_nan=False)
    with pytest.raises(ValueError, match="truth: VGG4, expected"):
        recovery(found, ["VGG4"] * 128, informative)


def test_a_right_space_that_is_not_significant_is_not_recovered(r):
    found = assign_layers(scores_with(r))
    nothing = replace(found, significant=np.zeros(128, np.bool_))
    counted = recovery(nothing, ["VGG1"] * 128, np.ones(128, np.bool_))
    assert counted.n_recovered == 0
    assert counted.n_best >= 48
