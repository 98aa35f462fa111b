from __future__ import annotations

import json

import numpy as np
import pytest

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from offline.encoding.scores import EncodingScores, score_encoding
from offline.encoding.statistics import bonferroni, false_discovery, pearson, t_test_p

CHANNELS = ChannelMap(128, (ArraySlot(0, "V1", 0), ArraySlot(1, "IT", 64)))


@pytest.fixture
def scored(rng):
    observed = rng.standard_normal((40, 128)).astype(np.float32)
    noise = np.array([0.5, 3.0, 30.0])[:, None, None] * rng.standard_normal((3, 40, 128))
    predicted = (observed + noise).astype(np.float32)
    ceiling = np.linspace(0, 1, 128)
    ceiling[5] = np.nan
    lam = np.full((3, 128), 2.0)
    return predicted, observed, ceiling, lam


def scores_of(scored):
    predicted, observed, ceiling, lam = scored
    return score_encoding(("VGG1", "VGG3", "w"), predicted, observed, CHANNELS, ceiling, lam)


def test_r_and_p_are_of_the_stimuli_that_each_channel_has(scored):
    predicted, observed, _, _ = scored
    observed[3:20, 7] = np.nan
    scores = scores_of(scored)
    assert scores.n_test == 40
    np.testing.assert_array_equal(scores.r, pearson(predicted, observed))
    n = np.full(128, 40)
    n[7] = 23
    np.testing.assert_array_equal(scores.p, t_test_p(scores.r, n))


def test_a_prediction_that_is_the_wrong_way_round_is_not_significant(scored):
    predicted, observed, ceiling, lam = scored
    upright = scores_of(scored)
    turned = scores_of((-predicted, observed, ceiling, lam))
    np.testing.assert_allclose(upright.p, turned.p)
    assert upright.significant()[0].all()
    assert not turned.significant()[0].any()


def test_corrections_count_the_channels_of_one_space(scored):
    scores = scores_of(scored)
    right_way = scores.r > 0
    for correction, p in (
        ("bonferroni", bonferroni(scores.p)),
        ("fdr", false_discovery(scores.p)),
        ("none", scores.p),
    ):
        found = scores.significant(0.05, correction)
        np.testing.assert_array_equal(found, (p < 0.05) & right_way)
    assert scores.significant().sum() < scores.significant(correction="fdr").sum()


def test_an_unknown_ceiling_is_not_informative_and_a_low_one_gives_no_share(scored):
    scores = scores_of(scored)
    assert scores.informative.sum() == (np.linspace(0, 1, 128) > 0.3).sum()
    assert not scores.informative[5]
    assert np.isnan(scores.normalised_r[:, 5]).all()
    assert np.isnan(scores.normalised_r[:, :12]).all()
    np.testing.assert_allclose(scores.normalised_r[:, -1], scores.r[:, -1])


def test_scores_survive_strict_json(scored):
    scores = scores_of(scored)
    again = EncodingScores.from_dict(json.loads(json.dumps(scores.to_dict(), allow_nan=False)))
    assert again.spaces == scores.spaces
    assert again.channels == scores.channels
    assert again.n_test == 40
    for name in ("r", "p", "ceiling", "regularisation"):
        np.testing.assert_array_equal(getattr(again, name), getattr(scores, name))


def test_shapes_that_do_not_fit_are_refused_by_name(scored):
    predicted, observed, ceiling, lam = scored
    for name, changed in (
        ("predicted", (predicted[:2], observed, ceiling, lam)),
        ("observed", (predicted, observed[:, :3], ceiling, lam)),
        ("ceiling", (predicted, observed, ceiling[:3], lam)),
        ("regularisation", (predicted, observed, ceiling, lam[0])),
    ):
        with pytest.raises(ValueError, match=f"^{name} of shape"):
            scores_of(changed)
