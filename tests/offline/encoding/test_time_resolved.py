from __future__ import annotations

import json

import numpy as np
import pytest

from b2g_rt.contracts.windows import paper_windows, sliding_windows
from b2g_rt.errors import WindowError
from offline.encoding.encode import encode_space
from offline.encoding.every_space import Fitting, encode_spaces
from offline.encoding.latencies import half_maximum, latencies, median_interval
from offline.encoding.responses import EncodingResponses, WindowResponses, roi_windows
from offline.encoding.statistics import pearson, t_test_p
from offline.encoding.time_resolved import (
    TimeResolvedScores,
    flattened,
    score_over_time,
)
from offline.features.feature_space import ArrayFeatures
from tests.made_encoding import BEGINS_MS, SPACES, made_encoding, three_arrays

WINDOWS = paper_windows()
N_TRAIN, N_TEST = 160, 60


@pytest.fixture(scope="module")
def made():
    return made_encoding()


@pytest.fixture(scope="module")
def world():
    """Two spaces, of 12 and of 300 features; every electrode of an ROI answers one of them from its onset on."""
    rng = np.random.default_rng(71)
    channels = three_arrays()
    ids = tuple(f"s{i:03d}" for i in range(N_TRAIN + N_TEST))
    spaces = [
        ArrayFeatures(name, ids, rng.standard_normal((len(ids), n)).astype(np.float32))
        for name, n in (("low", 12), ("high", 300))
    ]
    chosen = np.array([0 if roi == "V1" else 1 for roi in channels.roi])
    signals = np.empty((len(ids), channels.n_channels))
    for c, space in enumerate(chosen):
        x = spaces[space].values[:, :12].astype(np.float64)
        signals[:, c] = x @ rng.standard_normal(12) / np.sqrt(12)
    stops = np.array([WINDOWS.start_of(k) + WINDOWS.length for k in range(9)])
    begins = np.array([BEGINS_MS[roi] for roi in channels.roi])
    gain = (stops[:, None] > begins).astype(float)
    noise = rng.standard_normal((len(ids), 9, channels.n_channels))
    responses = gain * signals[:, None] + 0.5 * noise
    return channels, ids, spaces, responses.astype(np.float32)


@pytest.fixture(scope="module")
def encoded(world, no_stage):
    channels, ids, spaces, responses = world
    train, test = responses[:N_TRAIN], responses[N_TRAIN:]
    over_time = WindowResponses(WINDOWS, train, test, np.full((9, channels.n_channels), np.nan))
    given = EncodingResponses(
        channels,
        ids[:N_TRAIN],
        roi_windows(train, channels),
        ids[N_TRAIN:],
        roi_windows(test, channels),
        roi_windows(test, channels)[None],
        np.full(channels.n_channels, np.nan),
        over_time=over_time,
    )
    found = encode_spaces(spaces, given, Fitting(), no_stage)
    return found.time, found.fits


def test_a_window_is_encoded_as_if_it_were_alone(world, encoded):
    channels, ids, spaces, responses = world
    scores, kept = encoded
    assert [found.space for found in kept] == ["low", "high"]
    for i, space in enumerate(spaces):
        for k in (0, 5):
            alone = encode_space(space, ids[:N_TRAIN], ids[N_TRAIN:], responses[:N_TRAIN, k])
            # Another number of targets may round differently.
            np.testing.assert_allclose(scores.regularisation[i, k], alone.lam, rtol=1e-9)
            r = pearson(alone.predicted, responses[N_TRAIN:, k])
            np.testing.assert_allclose(scores.r[i, k], r, atol=1e-5)
            np.testing.assert_allclose(scores.p[i, k], t_test_p(scores.r[i, k], N_TEST))


def test_the_latency_that_was_simulated_is_found(world, encoded):
    channels = world[0]
    found = latencies(encoded[0])
    spaces = np.array(encoded[0].spaces)[found.best]
    for roi, space in (("V1", "low"), ("V4", "high"), ("IT", "high")):
        own = channels.channels_of(roi)
        assert (spaces[own] == space).mean() > 0.95
    v1 = found.stop_ms[channels.channels_of("V1")]
    # An onset at 35 ms is in the window that closes at 50 ms, one at 60 in that of 75, one at 85 in that of 100.
    assert (v1 == 50.0).mean() > 0.95
    for roi, wanted in (("V1", 50.0), ("V4", 75.0), ("IT", 100.0)):
        own = found.stop_ms[channels.channels_of(roi)]
        assert np.nanmedian(own) == wanted, roi
        assert np.nanmin(own) >= wanted, roi
        middles = found.half_maximum_ms[channels.channels_of(roi)]
        assert wanted - 25.0 < np.nanmedian(middles) <= wanted, roi
    assert found.n_before_onset == 0
    np.testing.assert_array_equal(found.centre_ms, found.stop_ms - 50.0)


def test_electrodes_of_noise_have_a_latency_by_chance_only():
    rng = np.random.default_rng(72)
    channels = three_arrays()
    n = channels.n_channels
    noise = rng.standard_normal((3, 80, 9 * n))
    time = score_over_time(
        ["a", "b"],
        noise[:2],
        noise[2].reshape(80, 9, n),
        channels,
        WINDOWS,
        [np.ones(9 * n)] * 2,
    )
    assert np.isfinite(latencies(time).stop_ms).sum() <= 1
    # Without a correction, two windows in a row of eight pairs are found now and then.
    loose = latencies(time, correction="none", alpha=0.3)
    assert np.isfinite(loose.stop_ms).sum() > 10
    none = latencies(time, among=np.zeros(n, np.bool_), correction="none", alpha=0.3)
    assert np.isnan(none.stop_ms).all()
    assert np.isnan(none.half_maximum_ms).all()


def test_a_single_significant_window_is_no_latency(made):
    r, p = made.time.r.copy(), np.ones_like(made.time.p)
    r[:] = 0.1
    p[0, [1, 4, 5], 7] = 1e-9
    p[0, 8, 9] = 1e-9
    p[0, [6, 7], 10] = 1e-9
    r[0, [6, 7], 10] = -0.1
    time = TimeResolvedScores(SPACES, made.channels, WINDOWS, 100, r, p, r[0], r)
    found = latencies(time, best=np.zeros(made.channels.n_channels, int))
    assert found.stop_ms[7] == WINDOWS.start_of(4) + 100.0
    assert np.isnan(np.delete(found.stop_ms, 7)).all()


def test_the_best_of_more_spaces_must_be_clearer(made):
    n = made.channels.n_channels
    p = np.full((6, 9, n), 0.004)
    r = np.full_like(p, 0.3)
    one = TimeResolvedScores(("w",), made.channels, WINDOWS, 100, r[:1], p[:1], r[0], r[:1])
    six = TimeResolvedScores(SPACES, made.channels, WINDOWS, 100, r, p, r[0], r)
    assert (latencies(one).stop_ms == 0.0).all()
    assert np.isnan(latencies(six).stop_ms).all()


def test_half_of_the_maximum_is_interpolated_and_the_last_rise_counts():
    at = np.array([0.0, 25.0, 50.0, 75.0, 100.0])
    curves = {
        "step": ([0.0, 0.0, 0.4, 0.4, 0.4], 37.5),
        "excursion before": ([0.3, 0.0, 0.1, 0.4, 0.4], 50.0 + 25.0 / 3.0),
        "falls again": ([0.0, 0.4, 0.0, 0.0, 0.0], 12.5),
        "never below": ([0.4, 0.3, 0.3, 0.3, 0.4], np.nan),
        "nothing": ([0.0] * 5, np.nan),
        "wrong way": ([-0.4, -0.3, -0.2, -0.1, -0.3], np.nan),
    }
    found = half_maximum(np.array([c for c, _ in curves.values()]).T, at)
    np.testing.assert_allclose(found, [wanted for _, wanted in curves.values()])


def test_the_median_lies_in_its_interval_and_nothing_has_none():
    values = np.array([50.0] * 9 + [75.0] * 11 + [np.nan] * 5)
    found = median_interval(values, 200)
    assert found["n"] == 20
    assert found["low"] <= found["median"] <= found["high"]
    assert (found["low"], found["high"]) == (50.0, 75.0)
    assert median_interval(np.full(3, np.nan)) == dict.fromkeys(("median", "low", "high")) | {
        "n": 0
    }


def test_scores_over_time_survive_a_file(made):
    again = TimeResolvedScores.from_dict(json.loads(json.dumps(made.time.to_dict())))
    assert again.spaces == SPACES
    assert again.windows == WINDOWS
    np.testing.assert_array_equal(again.r, made.time.r)
    assert np.isnan(again.ceiling).all()


def test_windows_that_do_not_fit_are_refused_in_one_line(made):
    observed = np.zeros((10, 9, made.channels.n_channels))
    with pytest.raises(WindowError, match="free windows, expected windows anchored"):
        score_over_time(SPACES, [], observed, made.channels, sliding_windows(), [])
    with pytest.raises(WindowError, match="8 windows and 189 electrodes, expected 9 and 189"):
        score_over_time(SPACES, [], observed[:, 1:], made.channels, WINDOWS, [])


def test_a_target_is_a_window_of_an_electrode():
    responses = np.arange(24.0).reshape(2, 3, 4)
    assert flattened(responses)[1, 2 * 4 + 3] == responses[1, 2, 3]
