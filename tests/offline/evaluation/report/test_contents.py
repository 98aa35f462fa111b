from __future__ import annotations

import json

import numpy as np
import pytest

from b2g_rt.errors import SessionError
from offline.decoding.smoothing import SmoothedDecoder, Smoothing
from offline.evaluation.identification import top_k
from offline.evaluation.metrics import cosines, unit_rows
from offline.evaluation.report.contents import report_contents
from offline.evaluation.report.held_out_trials import HeldOutTrials, ReportedDecoder
from offline.evaluation.report.page import plain_json
from offline.evaluation.scores import KnownTrials, score
from offline.recordings.reliability import mean_reliability


def test_the_last_window_is_what_numpy_says(trials, contents):
    last = contents["single_trial"]["last_window"]
    decoded, true, mean = trials.decoded[:, -1], trials.known.latents, trials.known.mean
    assert last["cosine"]["mean"] == pytest.approx(cosines(decoded, true).mean())
    guess = np.broadcast_to(mean, true.shape)
    assert last["mean_latent_cosine"]["mean"] == pytest.approx(cosines(guess, true).mean())
    centred = cosines(decoded - mean, true - mean)
    assert last["centred_cosine"]["mean"] == pytest.approx(centred.mean())
    for d in range(true.shape[1]):
        r = np.corrcoef(decoded[:, d], true[:, d])[0, 1]
        assert last["dimensions"]["pearson"][d] == pytest.approx(r)
    similarity = unit_rows(decoded - mean) @ unit_rows(trials.known.pool - mean).T
    tasks = {i["task"]: i for i in last["identification"]}
    hits = top_k(similarity, trials.known.true_idx, 5).mean()
    assert tasks["top-5"]["score"]["mean"] == pytest.approx(hits)
    assert tasks["top-5"]["pool"] == 16
    assert tasks["top-5"]["chance"] == 5 / 16


def test_single_trial_curves_and_the_last_window_are_the_scores_that_were_handed_in(
    trials, contents
):
    scores = score(trials.decoded, trials.known)
    assert contents["single_trial"]["scores"] == scores.to_dict()
    time = contents["time"]
    assert time["stop_ms"] == [50.0, 100.0, 150.0]
    assert time["cosine"]["value"] == [w.cosine.mean for w in scores.windows]
    assert time["two_way"]["low"] == [w.two_way.low for w in scores.windows]
    last = contents["single_trial"]["last_window"]
    assert last["cosine"]["mean"] == pytest.approx(scores.last.cosine.mean)
    assert last["centred_cosine"]["low"] == pytest.approx(scores.last.centred_cosine.low)
    two_way = last["identification"][0]
    assert two_way["score"]["mean"] == pytest.approx(scores.last.two_way.mean)


def test_a_window_that_says_nothing_is_not_significant_and_the_others_are(contents):
    p = contents["time"]["p_centred_cosine_false_discovery"]
    assert p[0] == 1.0
    assert max(p[1:]) < 0.01


def test_responses_are_averaged_before_they_are_decoded(trials, decoder, contents):
    found = contents["averaged"]["last_window"]
    means = np.stack(
        [trials.features[trials.known.true_idx == i].mean(axis=0) for i in range(16)]
    ).astype(np.float32)
    decoded = decoder.decode(means)[:, -1]
    wanted = cosines(decoded, trials.known.pool).mean()
    assert found["cosine"]["mean"] == pytest.approx(wanted, abs=1e-6)
    assert found["n_trials"] == 16
    single = contents["single_trial"]["last_window"]
    assert found["centred_cosine"]["mean"] > single["centred_cosine"]["mean"]


def test_repetitions_tell_of_the_recording(trials, contents):
    found = contents["repetitions"]
    assert (found["n_stimuli"], found["fewest"], found["most"]) == (16, 3, 3)
    values = np.full((3, 16, trials.features.shape[2]), np.nan)
    for i in range(16):
        values[:, i] = trials.features[trials.known.true_idx == i, -1]
    wanted = mean_reliability(values)
    np.testing.assert_allclose(found["electrode_reliability"], wanted)
    assert found["rois"]["V1"]["reliability"] == pytest.approx(np.median(wanted[:64]))
    for roi in found["rois"].values():
        assert roi["noise_ceiling_averaged"] > roi["noise_ceiling_single_trial"] > 0


def test_without_repetitions_nothing_is_averaged(trials, decoder, no_stage):
    once = trials.chosen(np.unique(trials.known.true_idx, return_index=True)[1])
    assert once.repeated() is None
    scores = score(once.decoded, once.known)
    found = report_contents(once, None, decoder, scores, no_stage)
    assert found["averaged"] is None
    assert found["repetitions"] is None


def test_the_diagonal_of_temporal_generalisation_is_the_curve(contents):
    matrix = contents["temporal_generalisation"]["centred_cosine"]
    np.testing.assert_allclose(
        np.diag(matrix), contents["time"]["centred_cosine"]["value"], atol=1e-6
    )


def test_a_silenced_roi_says_its_mean(trials, decoder, contents):
    features = trials.features[:, -1].copy()
    features[:, :64] = features[:, :64].mean(axis=0)  # V1
    decoded = decoder.decoder.step(features, 2, np.empty((48, 0), np.float32))[0]
    found = {r["roi"]: r for r in contents["roi_ablation"]["cosine"]["rois"]}
    wanted = cosines(decoded, trials.known.latents).mean()
    assert found["V1"]["without"]["mean"] == pytest.approx(wanted, abs=1e-6)
    assert found["IT"]["only"]["mean"] == pytest.approx(wanted, abs=1e-6)
    whole = contents["roi_ablation"]["cosine"]["whole"]["mean"]
    assert whole == pytest.approx(contents["time"]["cosine"]["value"][-1])
    centred = {r["roi"]: r for r in contents["roi_ablation"]["centred_cosine"]["rois"]}
    curve = contents["time"]["rois"]["IT"]["value"]
    assert curve[-1] == pytest.approx(centred["IT"]["only"]["mean"], abs=1e-6)


def test_trials_said_twice_make_nothing_more_certain(trials, decoder, no_stage):
    # The unit is the stimulus: repetitions are drawn and permuted together with it.
    def said(n):
        rows = np.tile(np.arange(48), n)
        held = HeldOutTrials(
            tuple(trials.stimuli[i] for i in rows),
            trials.features[rows],
            trials.decoded[rows],
            KnownTrials(trials.known.pool, trials.known.true_idx[rows], trials.known.mean),
        )
        scores = score(held.decoded, held.known)
        return report_contents(held, None, decoder, scores, no_stage)

    once, often = said(1), said(3)
    a, b = (c["single_trial"]["last_window"] for c in (once, often))
    for key in ("cosine", "gain", "centred_cosine"):
        for end in ("low", "high"):
            assert a[key][end] == pytest.approx(b[key][end], rel=1e-9)
    for key in ("gain_test", "centred_test", "two_way_test"):
        assert a[key]["p"] == b[key]["p"]
        assert a[key]["null_sd"] == pytest.approx(b[key]["null_sd"], rel=1e-9)
    tests = [c["single_trial"]["dimension_tests"]["p"] for c in (once, often)]
    np.testing.assert_allclose(tests[0], tests[1], atol=0.002)


def test_trials_with_a_missing_window_are_left_out_of_it_alone(trials, decoder, no_stage):
    features = trials.features.copy()
    features[:3, 1] = np.nan
    features[40, -1] = np.nan
    holed = HeldOutTrials(trials.stimuli, features, decoder.decode(features), trials.known)
    averaged = holed.repeated().averaged(decoder.decode)
    scores = score(holed.decoded, holed.known)
    found = report_contents(holed, averaged, decoder, scores, no_stage)
    assert found["single_trial"]["last_window"]["n_trials"] == 47
    assert found["single_trial"]["last_window"]["n_not_decoded"] == 1
    assert found["averaged"]["last_window"]["n_trials"] == 16
    assert found["time"]["cosine"]["n_trials"] == [48, 45, 47]
    assert found["roi_ablation"]["cosine"]["n_trials"] == 44
    json.dumps(plain_json(found), allow_nan=False)


def test_a_decoder_with_memory_is_silenced_in_all_windows(trials, decoder, linear, no_stage):
    share = np.array([1.0, 0.5, 0.5], np.float32)
    smoothing = Smoothing(1.0 - share, share, np.zeros(3, np.float32), trials.known.mean)
    smooth = ReportedDecoder(
        SmoothedDecoder(linear, smoothing),
        False,
        decoder.channels,
        decoder.windows,
        decoder.trained,
    )
    held = HeldOutTrials(
        trials.stimuli, trials.features, smooth.decode(trials.features), trials.known
    )
    scores = score(held.decoded, held.known)
    found = report_contents(held, None, smooth, scores, no_stage)
    features = trials.features.copy()
    features[:, :, :64] = features[:, :, :64].mean(axis=0)
    wanted = cosines(smooth.decode(features)[:, -1], trials.known.latents).mean()
    rois = {r["roi"]: r for r in found["roi_ablation"]["cosine"]["rois"]}
    assert rois["V1"]["without"]["mean"] == pytest.approx(wanted, abs=1e-6)
    # Half of the last window's latent is its own.
    weights = np.linalg.norm(linear.down[-1].astype(np.float64), axis=1)
    np.testing.assert_allclose(found["electrodes"]["effect"], weights / 2.0, rtol=1e-3)
    assert "empty memory" in found["temporal_generalisation"]["about"]


def test_training_trials_are_refused(trials, decoder, no_stage):
    stimuli = ("trained-0", *trials.stimuli[1:])
    held = HeldOutTrials(stimuli, trials.features, trials.decoded, trials.known)
    with pytest.raises(SessionError, match="1 of 48 trials show stimuli of the training"):
        report_contents(held, None, decoder, score(held.decoded, held.known), no_stage)
