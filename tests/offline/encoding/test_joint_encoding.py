from __future__ import annotations

import json

import numpy as np
import pytest
from distributed import LocalCluster

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from offline.encoding.joint_encoding import joint_encoding, n_models
from offline.encoding.kernels import Kernels, linear_kernels
from offline.features.feature_space import ArrayFeatures
from offline.scheduling.workers import open_workers

CHANNELS = ChannelMap(128, (ArraySlot(0, "V1", 0), ArraySlot(1, "IT", 64)))
N_TRAIN, N_TEST = 100, 80


@pytest.fixture(scope="module")
def session():
    """V1 follows the first space, IT the second; a third is a rotated copy of the first, a fourth is noise."""
    rng = np.random.default_rng(2)
    n = N_TRAIN + N_TEST
    low, high, nothing = (rng.standard_normal((n, 40)) for _ in range(3))
    rotation = np.linalg.qr(rng.standard_normal((40, 40)))[0]
    spaces = {"low": low, "high": high, "copy": low @ rotation, "nothing": nothing}
    ids = tuple(str(i) for i in range(n))
    rows = np.arange(n)
    kernels = {
        name: linear_kernels(
            ArrayFeatures(name, ids, x.astype(np.float32)), rows[:N_TRAIN], rows[N_TRAIN:]
        )
        for name, x in spaces.items()
    }
    signal = np.concatenate(
        [x[:, :8] @ rng.standard_normal((8, 64)) / np.sqrt(8) for x in (low, high)], axis=1
    )
    responses = signal + 0.6 * rng.standard_normal(signal.shape)
    ceiling = np.full(128, 1 / np.sqrt(1.36))
    ceiling[60:64] = 0.2
    return kernels, responses[:N_TRAIN], responses[N_TRAIN:], ceiling


@pytest.fixture(scope="module")
def scored(session):
    kernels, train, test, ceiling = session
    chosen = {name: kernels[name] for name in ("low", "high", "nothing")}
    done: list[int] = []
    found = joint_encoding(
        chosen, train, test, CHANNELS, ceiling, n_candidates=20, progress=done.append
    )
    assert done == [1] * n_models(3) == [1] * 4
    return found


def test_each_roi_is_explained_by_the_space_it_follows(scored):
    rois = scored.to_dict()["rois"]
    assert (rois["V1"]["n_channels"], rois["IT"]["n_channels"]) == (60, 64)
    for roi, own in (("V1", "low"), ("IT", "high")):
        joint = rois[roi]["joint"]["mean"]
        for kind in ("unique", "product"):
            values = {space: found["mean"] for space, found in rois[roi][kind].items()}
            assert values.pop(own) > 0.7 * joint
            assert all(abs(value) < 0.1 for value in values.values())
        assert abs(rois[roi]["shared"]["mean"]) < 0.1
        assert rois[roi]["of_explainable"]["joint"] == pytest.approx(1.36 * joint)
    assert (scored.p < 0.01).mean() > 0.95


def test_sums_add_up_per_electrode(scored):
    np.testing.assert_allclose(scored.unique.sum(axis=0) + scored.shared, scored.explained)
    np.testing.assert_allclose(scored.product.sum(axis=0), scored.explained, atol=1e-9)
    np.testing.assert_allclose(scored.gamma.sum(axis=0), 1.0)


def test_two_spaces_of_the_same_content_share_what_they_explain(session):
    kernels, train, test, ceiling = session
    pair = {name: kernels[name] for name in ("low", "copy")}
    found = joint_encoding(pair, train, test, CHANNELS, ceiling, n_candidates=10)
    assert found.shared[:64].mean() > 0.9 * found.explained[:64].mean() > 0.3
    assert (np.abs(found.unique[:, :64].mean(axis=1)) < 0.02).all()


def test_one_space_alone_is_all_unique(session):
    kernels, train, test, ceiling = session
    found = joint_encoding({"low": kernels["low"]}, train, test, CHANNELS, ceiling)
    np.testing.assert_array_equal(found.unique[0], found.explained)
    np.testing.assert_array_equal(found.shared, 0.0)
    assert n_models(1) == 1


def test_responses_that_are_given_to_other_stimuli_are_not_explained(session):
    kernels, train, test, ceiling = session
    pair = {name: kernels[name] for name in ("low", "high")}
    shuffled = np.random.default_rng(0).permutation(N_TEST)
    found = joint_encoding(pair, train, test[shuffled], CHANNELS, ceiling, n_candidates=10)
    assert found.explained[:64].mean() < 0
    assert (found.p < 0.05 / 128).mean() < 0.05


def test_scores_are_plain_data_with_an_unknown_ceiling_too(scored, session):
    found = json.loads(json.dumps(scored.to_dict(), allow_nan=False))
    assert found["spaces"] == ["low", "high", "nothing"]
    np.testing.assert_array_equal(found["electrodes"]["gamma"], scored.gamma)
    kernels, train, test, _ = session
    low = {"low": kernels["low"]}
    unknown = joint_encoding(low, train, test, CHANNELS, np.full(128, np.nan)).to_dict()
    v1 = unknown["rois"]["V1"]
    assert v1["n_channels"] == 64
    assert v1["of_explainable"]["joint"] is None
    json.dumps(unknown, allow_nan=False)


def test_repeats_of_a_stimulus_stay_in_one_fold(session):
    kernels, train, test, ceiling = session
    low = kernels["low"]
    twice = np.tile(np.arange(N_TRAIN), 2)
    doubled = Kernels(low.train[np.ix_(twice, twice)], low.across[:, twice])
    rng = np.random.default_rng(0)
    # Pure noise that repeats: a fold that has seen a stimulus would believe it can predict it.
    noise = np.tile(rng.standard_normal(train.shape), (2, 1))
    ids = [str(i) for i in twice]
    apart = joint_encoding({"low": doubled}, noise, test, CHANNELS, ceiling, train_ids=ids)
    leaking = joint_encoding({"low": doubled}, noise, test, CHANNELS, ceiling)
    assert np.median(apart.regularisation) > 10 * np.median(leaking.regularisation)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_cluster_fits_the_same_models(session, scored):
    kernels, train, test, ceiling = session
    chosen = {name: kernels[name] for name in ("low", "high", "nothing")}
    done: list[int] = []
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        open_workers(cluster.scheduler_address) as workers,
    ):
        found = joint_encoding(
            chosen,
            train,
            test,
            CHANNELS,
            ceiling,
            n_candidates=20,
            workers=workers,
            progress=done.append,
        )
    assert done == [1] * 4
    np.testing.assert_array_equal(found.gamma, scored.gamma)
    np.testing.assert_allclose(found.unique, scored.unique, atol=1e-6)
    np.testing.assert_allclose(found.product, scored.product, atol=1e-6)
