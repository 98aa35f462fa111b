from __future__ import annotations

import json

import numpy as np
import pytest

from b2g_rt.errors import EncodingError
from offline.encoding.contents import CONTENTS_FILE, Fitted, encoding_contents
from offline.encoding.contents_file import channels_of, read_contents, scores_of
from offline.encoding.joint_contents import joint_contents
from tests.made_encoding import SPACES, made_encoding


@pytest.fixture(scope="module")
def made():
    return made_encoding()


@pytest.fixture(scope="module")
def contents(made):
    fitted = Fitted("cross_validation", 400, {"VGG1": 9}, window_ms={"V1": (25.0, 125.0)})
    return made.contents(fitted=fitted)


def written(contents, path):
    path.write_text(json.dumps(contents, allow_nan=False), encoding="utf-8")
    return path


def test_contents_survive_a_file_number_by_number(contents, made, tmp_path):
    written(contents, tmp_path / CONTENTS_FILE)
    for path in (tmp_path, tmp_path / CONTENTS_FILE):
        assert read_contents(path) == contents
    again = scores_of(read_contents(tmp_path))
    for name in ("r", "p", "ceiling", "regularisation"):
        np.testing.assert_array_equal(getattr(again, name), getattr(made.scores, name))
    assert again.spaces == SPACES
    assert channels_of(contents).same_electrodes(made.channels)


def test_shares_are_counts_over_the_rois_electrodes(contents, made):
    for roi in ("V1", "V4", "IT"):
        own = made.channels.channels_of(roi)
        found = contents["rois"][roi]
        assert found["n_channels"] == len(own)
        assert found["n_informative"] == (made.scores.ceiling[own] > 0.3).sum()
        for i, space in enumerate(SPACES):
            r, p = made.scores.r[i, own], made.scores.p[i, own]
            told = found["spaces"][space]
            assert told["mean_r"] == pytest.approx(r.mean())
            assert told["low"] < told["mean_r"] < told["high"]
            assert told["significant"]["none"] == ((p < 0.05) & (r > 0)).mean()
            n = made.channels.n_channels
            assert told["significant"]["bonferroni"] == ((p * n < 0.05) & (r > 0)).mean()
            assert told["significant"]["none"] >= told["significant"]["fdr"]
            assert told["significant"]["fdr"] >= told["significant"]["bonferroni"]
            assert told["permutation"] is None


def test_the_assignment_and_its_simulated_truth_are_told(contents, made):
    assert contents["assignment"] == json.loads(json.dumps(made.assignment.to_dict()))
    for roi, space in (("V1", "VGG1"), ("V4", "VGG3")):
        counts = contents["assignment"]["rois"][roi]["counts"]
        assert SPACES[int(np.argmax(counts))] == space
        assert contents["recovered"][roi]["share"] > 0.8
    assert contents["significance"]["least_r"] == made.scores.r[made.scores.significant()].min()


def test_latencies_are_of_significant_electrodes_only(contents, made):
    stop = np.array(contents["time"]["latency"]["stop_ms"], float)
    assert np.isnan(stop[~made.assignment.significant]).all()
    assert np.isfinite(stop[made.assignment.significant]).mean() > 0.9
    medians = [contents["time"]["latency"]["rois"][roi]["stop_ms"] for roi in ("V1", "V4", "IT")]
    assert [m["median"] for m in medians] == [75.0, 100.0, 125.0]


def test_curves_are_of_electrodes_chosen_by_their_ceiling_alone(contents, made):
    curves = contents["time"]["curves"]
    assert curves["informative_only"]
    for roi, found in curves["rois"].items():
        own = made.channels.channels_of(roi)
        own = own[made.scores.ceiling[own] > 0.3]
        assert found["n_channels"] == len(own)
        for i, space in enumerate(SPACES):
            curve = found["spaces"][space]
            np.testing.assert_allclose(curve["mean"], made.time.r[i][:, own].mean(axis=1))
            assert (np.array(curve["low"]) <= curve["mean"]).all()
            assert (np.array(curve["high"]) >= curve["mean"]).all()


def test_what_was_not_given_is_null(made):
    told = encoding_contents(made.scores, made.assignment)
    for key in ("fitted", "permutation_p", "time", "rsa", "joint", "recovered"):
        assert told[key] is None
    first = told["rois"]["V1"]["spaces"]["VGG1"]
    assert (first["low"], first["high"]) == (None, None)
    json.dumps(told, allow_nan=False)


def test_permutation_tests_are_counted(made):
    p = np.ones_like(made.scores.r)
    p[2, made.channels.channels_of("V4")] = 0.001
    told = encoding_contents(made.scores, made.assignment, permutation_p=p)["rois"]
    r = made.scores.r[2, made.channels.channels_of("V4")]
    assert told["V4"]["spaces"]["VGG3"]["permutation"] == (r > 0).mean()
    assert told["V1"]["spaces"]["VGG3"]["permutation"] == 0.0


def test_parts_of_a_joint_model_are_means_over_the_chosen_electrodes(made):
    n = made.channels.n_channels
    rng = np.random.default_rng(81)
    joint, unique, shared = rng.random(n), rng.random((2, n)), rng.random(n)
    informative = made.channels.row < 4
    told = joint_contents(
        ("a", "b"),
        made.channels,
        joint,
        unique,
        shared,
        n_test=50,
        product=2 * unique,
        ceiling=np.full(n, 0.5),
        informative=informative,
        n_resamples=50,
    )
    own = made.channels.channels_of("IT")
    own = own[informative[own]]
    it = told["rois"]["IT"]
    assert it["n_channels"] == len(own)
    assert it["joint"]["mean"] == pytest.approx(joint[own].mean())
    assert it["unique"]["b"]["mean"] == pytest.approx(unique[1, own].mean())
    assert it["product"]["a"]["mean"] == pytest.approx(2 * it["unique"]["a"]["mean"])
    assert it["shared"]["low"] < it["shared"]["mean"] < it["shared"]["high"]
    assert it["explainable"] == 0.25
    assert told["electrodes"]["shared"] == shared.tolist()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "No such file"),
        ("{", "no JSON"),
        ("[]", "no encoding"),
        ('{"format": "b2g-encoding", "version": 99}', "version 99, expected 1"),
    ],
)
def test_a_file_that_is_no_encoding_is_one_line(text, told, tmp_path):
    if text is not None:
        (tmp_path / CONTENTS_FILE).write_text(text)
    with pytest.raises(EncodingError, match=told) as raised:
        read_contents(tmp_path)
    assert "\n" not in str(raised.value)
    assert str(tmp_path) in str(raised.value)
