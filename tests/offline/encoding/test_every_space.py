"""All feature spaces on the same responses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.errors import EncodingError
from offline.encoding.every_space import (
    Fitting,
    encode_spaces,
    joint_scores,
    rsa_scores,
)
from offline.encoding.kernels import Kernels
from offline.encoding.responses import EncodingResponses, trial_responses
from offline.features.feature_space import ArrayFeatures, Rows

N, N_TEST, REPEATS = 60, 20, 3
IDS = tuple(f"s{k:03d}" for k in range(N + N_TEST))


def _stage(what: str, total: int):  # noqa: ANN202
    return lambda done: None


def _channels() -> ChannelMap:
    dead = tuple(range(4, 64))
    rois = enumerate(("V1", "V4", "IT"))
    return ChannelMap(192, tuple(ArraySlot(k, roi, 64 * k, False, dead) for k, roi in rois))


@pytest.fixture(scope="module")
def spaces() -> list[ArrayFeatures]:
    rng = np.random.default_rng(0)
    return [
        ArrayFeatures(name, IDS, rng.standard_normal((N + N_TEST, n)).astype(np.float32))
        for name, n in (("wide", 300), ("narrow", 12))
    ]


@pytest.fixture(scope="module")
def responses(spaces: list[ArrayFeatures]) -> EncodingResponses:
    rng = np.random.default_rng(1)
    shown = np.concatenate([np.arange(N), np.tile(np.arange(N, N + N_TEST), REPEATS)])
    drive = spaces[1].values @ rng.standard_normal((12, 12)) / 3.5
    gain = np.array([0, 0, 0, 0.5, 1, 1, 1, 1, 1])
    values = gain[None, :, None] * drive[shown][:, None]
    values = values + 0.4 * rng.standard_normal(values.shape)
    return trial_responses(
        values.astype(np.float32),
        [IDS[k] for k in shown],
        np.arange(len(shown)) >= N,
        _channels(),
        note="",
        where="test",
    )


def test_windows_and_roi_windows_are_fitted_alike(
    spaces: list[ArrayFeatures], responses: EncodingResponses
) -> None:
    whole = encode_spaces(spaces, responses, Fitting(), _stage)
    alone = encode_spaces(spaces, replace(responses, over_time=None), Fitting(), _stage)
    assert alone.time is None
    assert whole.time is not None
    np.testing.assert_allclose(whole.scores.r, alone.scores.r, atol=1e-6)
    np.testing.assert_array_equal(whole.scores.regularisation, alone.scores.regularisation)
    for fit, predicted in zip(whole.fits, whole.predicted, strict=True):
        np.testing.assert_array_equal(fit.predicted[:, whole.targets], predicted)


@pytest.mark.parametrize("over_time", [True, False])
def test_by_the_papers_rule_the_electrodes_of_an_roi_share_their_regularisation(
    spaces: list[ArrayFeatures], responses: EncodingResponses, over_time: bool
) -> None:
    given = responses if over_time else replace(responses, over_time=None)
    found = encode_spaces(spaces, given, Fitting(rule="degrees_of_freedom"), _stage)
    channels = given.channels
    for roi in channels.rois():
        own = found.scores.regularisation[:, channels.channels_of(roi)]
        np.testing.assert_array_equal(own, np.repeat(own[:, :1], own.shape[1], axis=1))
    each = encode_spaces(spaces, given, Fitting(), _stage).scores.regularisation
    assert len(np.unique(each[0])) > len(channels.rois())


def test_what_drives_the_responses_predicts_them_after_the_onset_only(
    spaces: list[ArrayFeatures], responses: EncodingResponses
) -> None:
    found = encode_spaces(spaces, responses, Fitting(), _stage)
    assert found.time is not None
    assert found.scores.r[1].min() > 0.7
    assert np.abs(found.scores.r[0]).mean() < 0.5
    assert np.abs(found.time.r[1, 0]).mean() < 0.4


def test_joint_model_and_rsa_name_the_space_that_drives(
    spaces: list[ArrayFeatures], responses: EncodingResponses
) -> None:
    joint = joint_scores(spaces, responses, Fitting(), _stage)
    assert (joint.unique[1] > joint.unique[0]).all()
    rsa = rsa_scores(spaces, responses, Fitting(), _stage)
    assert (rsa.similarity[:, 1] > rsa.similarity[:, 0]).all()


class _Unreadable(ArrayFeatures):
    def block(self, rows: Rows, columns: slice) -> NDArray[np.float32]:
        raise AssertionError("read again")


def test_the_joint_model_takes_the_kernels_that_the_fits_made(
    spaces: list[ArrayFeatures], responses: EncodingResponses
) -> None:
    kept: dict[str, Kernels] = {}
    for given in (responses, replace(responses, over_time=None)):
        kept.clear()
        encode_spaces(spaces, given, Fitting(), _stage, kept.__setitem__)
        assert list(kept) == ["wide"]
    read_once = [_Unreadable("wide", IDS, spaces[0].values), spaces[1]]
    joint = joint_scores(read_once, responses, Fitting(), _stage, kept)
    again = joint_scores(spaces, responses, Fitting(), _stage)
    np.testing.assert_allclose(joint.gamma, again.gamma, atol=1e-6)
    np.testing.assert_allclose(joint.explained, again.explained, atol=1e-6)


def test_two_spaces_of_one_name_are_refused(
    spaces: list[ArrayFeatures], responses: EncodingResponses
) -> None:
    with pytest.raises(EncodingError, match="narrow comes twice"):
        encode_spaces([*spaces, spaces[1]], responses, Fitting(), _stage)


def test_a_stimulus_without_features_is_named_before_anything_is_fitted(
    spaces: list[ArrayFeatures], responses: EncodingResponses
) -> None:
    last = replace(spaces[1], ids=(*IDS[:-1], "other"))
    with pytest.raises(EncodingError, match="the first is s079"):
        encode_spaces([spaces[0], last], responses, Fitting(), _stage)
