"""The decode stage: what becomes of windows that are dropped, late, out of order or shared by trials."""

from __future__ import annotations

import numpy as np
import pytest

from b2g_rt.contracts.bundle import Stimuli
from b2g_rt.contracts.messages import latent_of
from b2g_rt.contracts.windows import (
    DueWindow,
    Shown,
    Trial,
    WindowFeatures,
    WindowScheduler,
    paper_windows,
    sliding_windows,
)
from b2g_rt.service.decode import MAX_RECENT, DecodeStage, WindowJob
from b2g_rt.service.progress import Progress
from b2g_rt.service.scoring import TrialScorer
from b2g_rt.service.trial_decoder import TrialDecoder

N = 4
STIMULI = Stimuli(
    ("a", "b", "c"), np.random.default_rng(1).standard_normal((3, N)).astype(np.float32)
)
MEAN = np.zeros(N, np.float32)


def remembering(features, window_idx, state):
    total = state + features
    return total.copy(), total


def stage_of(spec) -> DecodeStage:
    decoder = TrialDecoder(remembering, N, spec)
    n_windows = spec.n_windows if spec.anchor == "marker" else 1
    return DecodeStage(
        decoder, TrialScorer(STIMULI, MEAN), "hash", n_windows, lambda: 0.0, Progress()
    )


def job(window: DueWindow, values: np.ndarray | None) -> WindowJob:
    features = WindowFeatures(values, 0, 0, "" if values is not None else "lost")
    return WindowJob(0, window, features, 0.0, 0.0, 0.0, 0.0, 0.0)


def due(spec, *trials: Trial, stop: int = 3000) -> list[DueWindow]:
    scheduler = WindowScheduler(spec)
    for trial in trials:
        scheduler.add_trial(trial, 0)
    return scheduler.due(stop)


@pytest.fixture
def three() -> list[DueWindow]:
    """Windows of three trials whose onsets are 50 ms apart, in the order in which they close."""
    return due(paper_windows(), *(Trial(i, "abc"[i], 0.0, 400 + 50 * i) for i in range(3)))


def test_overlapping_trials_each_remember_their_own_windows(three):
    stage = stage_of(paper_windows())
    latents = {
        (w.trial.trial, w.window_idx): latent_of(
            stage.push(job(w, np.full(N, 1 + w.trial.trial, np.float32))).frame
        )
        for w in three
    }
    for (trial, k), latent in latents.items():
        np.testing.assert_array_equal(latent, np.full(N, (1 + trial) * (k + 1)))


def test_a_dropped_window_gives_a_flagged_frame_and_is_not_remembered(three):
    stage = stage_of(paper_windows())
    mine = [w for w in three if w.trial.trial == 1]
    for w in mine:
        values = None if w.window_idx in (0, 3) else np.ones(N, np.float32)
        decoded = stage.push(job(w, values))
        assert decoded.frame.flags.dropped == (values is None)
    np.testing.assert_array_equal(decoded.latent, np.full(N, 7))
    (score,) = stage.scores(decoded)
    assert score.stimulus == "b"


def test_a_trial_whose_last_window_was_dropped_has_no_score(three):
    stage = stage_of(paper_windows())
    last = [w for w in three if w.shows][0]
    assert stage.scores(stage.push(job(last, None))) == []


def test_a_free_running_trial_is_scored_by_its_window_alone():
    spec = sliding_windows()
    stage = stage_of(spec)
    scored = {}
    for w in due(spec, Trial(0, "b", 0.0, 425)):
        values = STIMULI.latent[1] if w.start == 500 else 0 * MEAN
        decoded = stage.push(job(w, values))
        assert decoded.frame.trial is None
        for score in stage.scores(decoded):
            scored[w.start] = score
    assert list(scored) == [500]
    assert scored[500].trial == 0
    assert scored[500].cosine == pytest.approx(1.0)


def test_a_late_marker_is_scored_by_the_window_that_was_its_own():
    spec = sliding_windows()
    stage, scheduler = stage_of(spec), WindowScheduler(spec)
    for w in scheduler.due(1000):
        one = STIMULI.latent[2] if w.start == 500 else 0 * MEAN
        assert stage.scores(stage.push(job(w, one))) == []
    scheduler.add_trial(Trial(0, "c", 0.0, 425), 1000)
    (w,) = scheduler.due(1025)
    # Even where the window that comes with it was dropped.
    (score,) = stage.scores(stage.push(job(w, None)))
    assert score.stimulus == "c"
    assert score.cosine == pytest.approx(1.0)


def test_windows_kept_for_late_markers_are_bounded():
    spec = sliding_windows()
    stage = stage_of(spec)
    for w in due(spec, stop=25 * (MAX_RECENT + 100)):
        stage.push(job(w, 0 * MEAN))
    assert len(stage._recent) == MAX_RECENT
    oldest = DueWindow(0, 10**6, 10**6 + 100, None, False, (Shown(Trial(0, "a", 0.0, 0), 50),))
    assert stage.scores(stage.push(job(oldest, 0 * MEAN))) == []
