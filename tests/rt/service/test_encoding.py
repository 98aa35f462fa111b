"""The encoding stage: which windows make a response, and what is said of it."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from b2g_rt.config import load_config
from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.contracts.messages import EncodingMessage, floats_of
from b2g_rt.contracts.windows import (
    DueWindow,
    Trial,
    WindowFeatures,
    WindowScheduler,
    WindowSpec,
    paper_windows,
    sliding_windows,
    static_start,
)
from b2g_rt.errors import BundleError
from b2g_rt.service.decode import WindowJob
from b2g_rt.service.encoding import MIN_TRIALS, EncodingStage
from b2g_rt.service.graph import edges
from b2g_rt.service.models import load_encoder, load_models
from b2g_rt.service.observed_responses import MAX_TRIALS, ObservedResponses, windows_of_encoder
from b2g_rt.service.progress import Progress
from tests.tiny_bundle import CHANNELS, N_STIMULI, write_tiny_bundle
from tests.tiny_encoder import N_TRAINING, N_UNPREDICTED, tiny_responses, write_tiny_encoder

N = CHANNELS.n_channels
ROI = np.array(CHANNELS.roi)
# By the paper's windows: which one is 25-125, 50-150 and 75-175 ms.
WINDOW_OF_ROI = {"V1": 5, "V4": 6, "IT": 7}


def config_of(tmp_path, bundle, *sets):
    return load_config(
        None,
        [f"bundle={bundle.path}", f"encoder={tmp_path / 'encoder'}", "inference.provider=cpu"]
        + list(sets),
    )


@pytest.fixture
def bundle(tmp_path):
    return write_tiny_bundle(tmp_path / "bundle")


@pytest.fixture
def sliding(tmp_path):
    return write_tiny_bundle(tmp_path / "sliding", windows=sliding_windows(), decoder_kind="fixed")


@pytest.fixture
def written(tmp_path):
    return write_tiny_encoder(tmp_path / "encoder")


def stage_of(tmp_path, bundle):
    progress = Progress()
    encoder = load_encoder(config_of(tmp_path, bundle), bundle)
    assert encoder is not None
    return EncodingStage(encoder, bundle, progress), progress


def values_of(trial: int, start: int) -> np.ndarray:
    """Return made-up window features that tell trial and window."""
    rng = np.random.default_rng([trial, start])
    return rng.standard_normal(N).astype(np.float32)


def job(window: DueWindow, values: np.ndarray | None, *, n_bad: int = 0) -> WindowJob:
    features = WindowFeatures(values, 0, n_bad, "" if values is not None else "lost")
    return WindowJob(window.start, window, features, 0.0, 0.0, 0.0, 0.0, 0.0)


def due(spec, *trials: Trial, stop: int = 60_000) -> list[DueWindow]:
    scheduler = WindowScheduler(spec)
    for trial in trials:
        scheduler.add_trial(trial, 0)
    return scheduler.due(stop)


def trials_of(n: int, apart: int = 400) -> list[Trial]:
    return [Trial(i, f"face-{i % N_STIMULI:04d}", 0.0, 400 + apart * i) for i in range(n)]


def by_hand(trial: Trial) -> np.ndarray:
    """Return a trial's response, put together from the windows of its ROIs."""
    spec, response = paper_windows(), np.empty(N, np.float32)
    for roi, k in WINDOW_OF_ROI.items():
        at_roi = roi == ROI
        response[at_roi] = values_of(trial.trial, trial.onset_idx + spec.start_of(k))[at_roi]
    return response


def run(stage: EncodingStage, windows: list[DueWindow]) -> list[EncodingMessage]:
    return [
        m
        for w in windows
        for m in stage.push(job(w, values_of(w.trial.trial if w.trial else 0, w.start)))
    ]


def test_each_roi_is_observed_in_its_own_window(tmp_path, bundle, written):
    assert windows_of_encoder(written, bundle) == WINDOW_OF_ROI
    stage, _ = stage_of(tmp_path, bundle)
    trials = trials_of(2)
    messages = run(stage, due(bundle.windows, *trials))
    predicted = tiny_responses(N)
    assert [m.trial for m in messages] == [0, 1]
    for message, trial in zip(messages, trials, strict=True):
        wanted = by_hand(trial)
        wanted[N - N_UNPREDICTED :] = np.nan
        np.testing.assert_array_equal(floats_of(message.observed, "observed"), wanted)
        np.testing.assert_allclose(
            floats_of(message.predicted, "predicted"), predicted[trial.trial], atol=1e-5
        )
        assert message.encoder == written.hash
        assert message.sequence == trial.onset_idx + bundle.windows.start_of(7)


def test_a_response_is_told_with_the_last_window_that_it_needs(tmp_path, bundle, written):
    stage, _ = stage_of(tmp_path, bundle)
    windows = due(bundle.windows, *trials_of(1))
    told = [len(stage.push(job(w, values_of(0, w.start)))) for w in windows]
    assert told == [0, 0, 0, 0, 0, 0, 0, 1, 0]
    assert [stage.needs(job(w, None)) for w in windows] == [k in (5, 6, 7) for k in range(9)]


def test_overlapping_trials_keep_their_windows_apart(tmp_path, bundle, written):
    stage, _ = stage_of(tmp_path, bundle)
    trials = trials_of(3, apart=50)
    for message in run(stage, due(bundle.windows, *trials)):
        found = floats_of(message.observed, "observed")[: N - N_UNPREDICTED]
        np.testing.assert_array_equal(found, by_hand(trials[message.trial])[: N - N_UNPREDICTED])


def test_r_is_over_electrodes_with_the_mean_response_beside_it(tmp_path, bundle, written):
    stage, _ = stage_of(tmp_path, bundle)
    trial = trials_of(4)[3]
    (message,) = run(stage, due(bundle.windows, trial))
    predicted, observed = tiny_responses(N), by_hand(trial)
    known = np.arange(N) < N - N_UNPREDICTED
    assert [a.roi for a in message.agreement] == ["all", "V1", "V4", "IT"]
    for found in message.agreement:
        mine = known & ((found.roi == ROI) | (found.roi == "all"))
        assert found.n_electrodes == mine.sum()
        r = np.corrcoef(predicted[3, mine], observed[mine])[0, 1]
        of_mean = np.corrcoef(predicted[:, mine].mean(axis=0), observed[mine])[0, 1]
        assert found.r == pytest.approx(r, abs=1e-5)
        assert found.mean_response_r == pytest.approx(of_mean, abs=1e-5)


def test_r_of_each_electrode_over_trials_is_told_from_the_tenth_on(tmp_path, bundle, written):
    stage, progress = stage_of(tmp_path, bundle)
    trials = trials_of(15)
    messages = run(stage, due(bundle.windows, *trials))
    assert [m.trial_r is None for m in messages] == [i < MIN_TRIALS - 1 for i in range(15)]
    predicted = tiny_responses(N)[[i % N_STIMULI for i in range(15)]]
    observed = np.stack([by_hand(t) for t in trials])
    found = floats_of(messages[-1].trial_r or b"", "trial_r")
    for channel in (0, 1, 100):
        r = np.corrcoef(predicted[:, channel], observed[:, channel])[0, 1]
        assert found[channel] == pytest.approx(r, abs=1e-5)
    assert np.isnan(found[-N_UNPREDICTED:]).all()
    assert (progress.n_trials_predicted, messages[-1].n_trials) == (15, 15)


def test_trials_with_stimuli_of_the_training_are_told_from_new_ones(tmp_path, bundle, written):
    stage, _ = stage_of(tmp_path, bundle)
    messages = run(stage, due(bundle.windows, *trials_of(N_STIMULI + 2)))
    fitted = [i % N_STIMULI < N_TRAINING for i in range(N_STIMULI + 2)]
    assert [m.in_training for m in messages] == fitted
    assert [m.n_in_training for m in messages] == np.cumsum(fitted).tolist()


def test_an_unknown_stimulus_gives_nothing_and_is_counted_and_named_once(
    tmp_path, bundle, written, caplog
):
    stage, progress = stage_of(tmp_path, bundle)
    strangers = [Trial(i, "nobody", 0.0, 400 + 400 * i) for i in range(3)]
    with caplog.at_level(logging.WARNING, "b2g_rt.service.encoding"):
        assert run(stage, due(bundle.windows, *strangers)) == []
    assert (progress.n_trials_predicted, progress.n_trials_unpredicted) == (0, 3)
    assert [r.getMessage().count("nobody") for r in caplog.records] == [1]


def test_bad_electrodes_and_missing_windows_are_left_out(tmp_path, bundle, written):
    stage, progress = stage_of(tmp_path, bundle)
    trial = trials_of(1)[0]
    told = []
    for window in due(bundle.windows, trial):
        values: np.ndarray | None = values_of(0, window.start)
        if window.window_idx == WINDOW_OF_ROI["V4"]:
            values = None
        elif window.window_idx == WINDOW_OF_ROI["V1"]:
            assert values is not None
            values[[2, 3]] = 0
        told += stage.push(job(window, values, n_bad=2 if values is not None else 0))
    (message,) = told
    for data in (message.predicted, message.observed):
        holes = np.isnan(floats_of(data, "x"))
        assert np.flatnonzero(holes & (ROI == "V1")).tolist() == [2, 3]
        assert holes[ROI == "V4"].all()
        assert holes[ROI == "IT"].sum() == N_UNPREDICTED
    by_roi = {a.roi: a for a in message.agreement}
    assert (by_roi["V4"].n_electrodes, by_roi["V4"].r) == (0, None)
    assert by_roi["V1"].n_electrodes == 62


def test_a_trial_of_which_nothing_was_observed_is_counted(tmp_path, bundle, written):
    stage, progress = stage_of(tmp_path, bundle)
    assert not [m for w in due(bundle.windows, *trials_of(1)) for m in stage.push(job(w, None))]
    assert progress.n_trials_unpredicted == 1


def test_free_running_the_scored_window_is_the_response(tmp_path, sliding, written):
    stage, _ = stage_of(tmp_path, sliding)
    assert windows_of_encoder(written, sliding) == {"IT": 0, "V1": 0, "V4": 0}
    trial = Trial(0, "face-0002", 0.0, 610)
    (message,) = run(stage, due(sliding.windows, trial, stop=2000))
    # The first window of the stream's own grid that starts at or after 75 ms from the onset.
    start = min(s for s in range(50, 2000, 25) if s >= 610 + static_start(sliding.windows))
    found = floats_of(message.observed, "observed")[: N - N_UNPREDICTED]
    np.testing.assert_array_equal(found, values_of(0, start)[: N - N_UNPREDICTED])


def test_free_running_a_late_marker_finds_its_window(tmp_path, sliding, written):
    stage, _ = stage_of(tmp_path, sliding)
    scheduler = WindowScheduler(sliding.windows)
    assert run(stage, scheduler.due(3000)) == []
    scheduler.add_trial(Trial(0, "face-0002", 0.0, 610), 3000)
    (message,) = run(stage, scheduler.due(3025))
    found = floats_of(message.observed, "observed")[: N - N_UNPREDICTED]
    np.testing.assert_array_equal(found, values_of(0, 700)[: N - N_UNPREDICTED])


def test_trials_that_never_complete_do_not_fill_the_memory(bundle, written):
    observed = ObservedResponses(bundle, windows_of_encoder(written, bundle))
    for i in range(2 * MAX_TRIALS):
        window = DueWindow(5, 0, 100, Trial(i, "face-0000", 0.0, 0), False)
        observed.take(window, WindowFeatures(np.zeros(N, np.float32), 0, 0))
    assert len(observed._open) == MAX_TRIALS


def test_windows_that_the_bundle_does_not_have_are_one_line(tmp_path, bundle):
    write_tiny_encoder(
        tmp_path / "encoder", windows_ms={"V1": (30, 130), "V4": (50, 150), "IT": (75, 175)}
    )
    line = r"responses of V1 over 30 to 130 ms, .* 100 ms long, starting at -100 to 100 ms"
    with pytest.raises(BundleError, match=line):
        load_encoder(config_of(tmp_path, bundle), bundle)


def test_windows_are_milliseconds_at_every_rate(tmp_path, written):
    slow = WindowSpec.from_ms(
        rate_hz=500, length_ms=100, stride_ms=50, anchor="marker", first_start_ms=0, n_windows=4,
        roi_lag_ms={"V1": 50, "V4": 0, "IT": 0},
    )  # fmt: skip
    bundle = write_tiny_bundle(tmp_path / "slow", windows=slow)
    with pytest.raises(BundleError, match="IT over 75 to 175 ms"):
        windows_of_encoder(written, bundle)
    fitting = write_tiny_encoder(
        tmp_path / "other", windows_ms={"V1": (50, 150), "V4": (50, 150), "IT": (150, 250)}
    )
    assert windows_of_encoder(fitting, bundle) == {"V1": 2, "V4": 1, "IT": 3}


def test_an_encoder_of_other_electrodes_is_one_line(tmp_path, bundle):
    other = ChannelMap(128, (ArraySlot(0, "V1", 0), ArraySlot(1, "IT", 64)))
    write_tiny_encoder(tmp_path / "encoder", channels=other)
    line = "fitted on 128 electrodes, bundle 'tiny' has 192"
    with pytest.raises(BundleError, match=line):
        load_encoder(config_of(tmp_path, bundle), bundle)


def test_an_encoder_of_another_normalisation_is_said(tmp_path, bundle, caplog):
    write_tiny_encoder(tmp_path / "encoder", kind="running")
    with caplog.at_level(logging.WARNING, "b2g_rt.service.models"):
        load_encoder(config_of(tmp_path, bundle), bundle)
    assert "running normalisation, frozen is in force" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, "b2g_rt.service.models"):
        load_encoder(config_of(tmp_path, bundle, "normalisation=running"), bundle)
    assert "in force" not in caplog.text


@pytest.mark.parametrize("generator", ["true", "false"])
def test_the_service_loads_it_beside_the_decoder(tmp_path, bundle, written, generator):
    models = load_models(config_of(tmp_path, bundle, f"inference.generator={generator}"))
    assert models.encoder is not None
    assert models.encoder.record.provider == models.decoder.record.provider
    assert models.encoder.worst_reference_error < 1e-5
    found = models.encoder.response_to("face-0004")
    assert found is not None
    np.testing.assert_allclose(found, tiny_responses(N)[4], atol=1e-5)
    assert models.encoder.response_to("nobody") is None


def test_without_an_encoder_there_is_no_stage(tmp_path, bundle):
    assert load_models(load_config(None, [f"bundle={bundle.path}"])).encoder is None


def test_the_edges_to_and_from_it_lose_nothing():
    table = edges(load_config())
    assert table["decode", "encode"].policy == table["encode", "deliver"].policy == "lossless"
