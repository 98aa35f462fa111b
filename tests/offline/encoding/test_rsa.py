from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.spatial.distance import cosine, pdist, squareform
from scipy.stats import kendalltau, kstest, spearmanr

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.errors import EncodingError
from offline.encoding.dissimilarity import (
    FEATURES_PER_PIECE,
    pairs,
    response_dissimilarity,
    space_dissimilarity,
)
from offline.encoding.rsa import compare_rois
from offline.encoding.similarity import noise_ceiling, similarities
from offline.features.feature_space import ArrayFeatures
from offline.scheduling.local_workers import LocalWorkers

CHANNELS = ChannelMap(128, (ArraySlot(0, "V1", 0), ArraySlot(1, "IT", 64)))
N = 24


def space_of(values):
    return ArrayFeatures("VGG1", tuple(str(i) for i in range(len(values))), values)


@pytest.fixture(scope="module")
def spaces():
    rng = np.random.default_rng(0)
    values = {name: rng.standard_normal((N, 30)) for name in ("low", "high", "nothing")}
    return values, {name: squareform(pdist(x, "correlation")) for name, x in values.items()}


@pytest.fixture(scope="module")
def measured(spaces):
    """V1 follows the first space, IT the second; 6 repetitions."""
    rng = np.random.default_rng(1)
    clean = np.concatenate(
        [spaces[0][name] @ rng.standard_normal((30, 64)) for name in ("low", "high")], axis=1
    )
    return clean + 6.0 * rng.standard_normal((6, N, 128))


def test_a_wide_space_far_from_zero_has_the_dissimilarity_of_its_features_all_at_once(rng):
    wide = FEATURES_PER_PIECE + 700
    values = (50.0 + rng.standard_normal((9, wide))).astype(np.float32)
    values[1] = values[0] + 0.01 * rng.standard_normal(wide)
    rows = np.array([7, 0, 1, 3, 4])
    done: list[int] = []
    found = space_dissimilarity(space_of(values), rows, progress=done.append)
    wanted = squareform(pdist(values[rows].astype(np.float64), "correlation"))
    np.testing.assert_allclose(found, wanted, atol=1e-10)
    assert done == [1, 1]
    by_workers = space_dissimilarity(space_of(values), rows, workers=LocalWorkers(2))
    np.testing.assert_allclose(by_workers, found, atol=1e-12)
    np.testing.assert_array_equal(found, found.T)


def test_a_stimulus_without_a_pattern_is_unrelated_to_all(rng):
    values = rng.standard_normal((5, 8)).astype(np.float32)
    values[2] = 3.3
    found = space_dissimilarity(space_of(values), np.arange(5))
    assert found[2].tolist() == [1, 1, 0, 1, 1]
    values[1, 0] = np.nan
    with pytest.raises(EncodingError, match="features VGG1: not finite"):
        space_dissimilarity(space_of(values), np.arange(5))


def test_electrodes_that_lack_a_response_are_left_out(rng):
    responses = rng.standard_normal((6, 9))
    responses[2, 4] = np.nan
    kept = np.delete(responses, 4, axis=1)
    np.testing.assert_allclose(
        pairs(response_dissimilarity(responses)), pdist(kept, "correlation"), atol=1e-12
    )
    responses[0, 1:] = np.nan
    with pytest.raises(EncodingError, match="1 of 9 electrodes"):
        response_dissimilarity(responses)


SCIPYS = {
    "spearman": lambda x, y: spearmanr(x, y).statistic,
    "kendall": lambda x, y: kendalltau(x, y).statistic,
    "cosine": lambda x, y: 1 - cosine(x, y),
}


@pytest.mark.parametrize("comparison", ["spearman", "kendall", "cosine"])
def test_comparisons_are_scipys(rng, comparison):
    a = rng.random((2, 45))
    b = (a[:1] + rng.random((3, 45))).round(1)
    expected = np.array([[SCIPYS[comparison](x, y) for y in b] for x in a])
    np.testing.assert_allclose(similarities(a, b, comparison), expected, atol=1e-12)
    if comparison != "cosine":
        assert not similarities(np.ones((1, 45)), b, comparison).any()


@pytest.mark.parametrize("comparison", ["spearman", "kendall", "cosine"])
def test_each_roi_is_like_the_space_it_follows(spaces, measured, comparison):
    found = compare_rois(spaces[1], measured, CHANNELS, comparison=comparison, n_permutations=99)
    assert found.rois == ("V1", "IT")
    assert found.spaces == ("low", "high", "nothing")
    assert found.similarity.argmax(axis=1).tolist() == [0, 1]
    assert found.p[[0, 1], [0, 1]].tolist() == [0.01, 0.01]
    assert found.p[:, 2].min() > 0.02
    averaged = measured.mean(axis=0)
    wanted = similarities(
        pdist(averaged[:, 64:], "correlation")[None], pairs(spaces[1]["low"])[None], comparison
    )
    assert found.similarity[1, 0] == pytest.approx(wanted[0, 0])
    # Parts of the repetitions are noisier than their mean, and the right model is within their ceiling.
    own = found.similarity_of_parts[[0, 1], [0, 1]]
    assert found.n_parts == 6
    assert (own < found.similarity[[0, 1], [0, 1]]).all()
    assert (found.lower < found.upper).all()
    assert (own <= found.upper).all()
    assert (own > found.similarity_of_parts[[0, 1], [1, 0]]).all()


def test_the_true_matrix_reaches_the_lower_bound_of_the_ceiling():
    rng = np.random.default_rng(3)
    truth = rng.standard_normal(300)
    parts = truth + 1.5 * rng.standard_normal((8, 300))
    lower, upper = noise_ceiling(parts)
    reached = similarities(parts, truth[None]).mean()
    assert lower < reached < upper
    with_more_noise = noise_ceiling(truth + 5.0 * rng.standard_normal((8, 300)))
    assert with_more_noise[1] < lower


def test_p_is_uniform_where_roi_and_space_have_nothing_in_common():
    p = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        # Stimuli differ in how far they are from all others: entries of one stimulus hang together.
        model, responses = (
            rng.standard_normal((12, 20)) * rng.uniform(0.2, 3, (12, 1)) + 2.0 for _ in range(2)
        )
        matrix = squareform(pdist(model, "correlation"))
        one_roi = ChannelMap(64, (ArraySlot(0, "V4", 0, dead_electrodes=tuple(range(20, 64))),))
        found = compare_rois({"m": matrix}, responses[None], one_roi, n_permutations=99, seed=seed)
        p.append(found.p[0, 0])
    steps = np.random.default_rng(0).random(150) / 100
    assert kstest(np.array(p) - steps, "uniform").pvalue > 0.01


def test_without_repetitions_there_is_no_ceiling(spaces, measured):
    found = compare_rois(spaces[1], measured[:1], CHANNELS, n_permutations=9)
    assert found.n_parts == 0
    assert np.isnan([found.lower, found.upper]).all()
    assert np.isnan(found.similarity_of_parts).all()
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert told["rois"]["V1"]["lower"] is None
    assert told["rois"]["V1"]["similarity"]["low"] == found.similarity[0, 0]


def test_stimuli_shown_unequally_often_still_make_whole_parts(spaces, measured):
    fewer = measured.copy()
    fewer[4:, :10] = np.nan
    fewer[1, 3] = np.nan
    found = compare_rois(spaces[1], fewer, CHANNELS, n_permutations=9)
    assert found.n_parts == 3
    assert np.isfinite(found.lower).all()


def test_an_roi_with_too_few_whole_electrodes_is_left_out(spaces, measured):
    gone = measured.copy()
    gone[:, 5, 1:64] = np.nan
    found = compare_rois(spaces[1], gone, CHANNELS, n_permutations=9)
    assert found.rois == ("IT",)
    np.testing.assert_allclose(
        found.lower, compare_rois(spaces[1], measured, CHANNELS, n_permutations=9).lower[1]
    )
    gone[:, 5] = np.nan
    with pytest.raises(EncodingError, match="0 of 128 electrodes"):
        compare_rois(spaces[1], gone, CHANNELS)


def test_what_does_not_fit_is_refused(spaces, measured):
    with pytest.raises(ValueError, match="comparison 'pearson', expected"):
        compare_rois(spaces[1], measured, CHANNELS, comparison="pearson")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"low: \(24, 24\), expected \(20, 20\)"):
        compare_rois(spaces[1], measured[:, :20], CHANNELS)
    with pytest.raises(EncodingError, match="RSA: 3 stimuli, expected at least 4"):
        compare_rois({}, measured[:, :3], CHANNELS)
