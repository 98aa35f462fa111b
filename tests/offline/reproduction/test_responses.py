from __future__ import annotations

import numpy as np
import pytest

from b2g_rt.contracts.bundle import Normalisation
from b2g_rt.mua.normaliser import Normaliser
from offline.recordings.features import window_features
from offline.recordings.simulated_sessions import RATE_HZ, simulated_recording
from offline.recordings.statistics import channel_statistics, merged_statistics
from offline.reproduction.responses import (
    ROI_WINDOWS,
    roi_window_responses,
    simulated_responses,
)


@pytest.fixture(scope="module")
def recordings(macaque, plan):
    """All training sessions as recordings with their onsets."""
    w = plan.latents(macaque, "training")
    own = [s for s in plan.sessions() if s.part == "training"]
    return [simulated_recording(macaque, w[s.first : s.stop], s.noise_seed) for s in own]


def test_roi_windows_are_bit_for_bit_those_that_a_fixed_decoder_is_given(
    responses, recordings, macaque
):
    channels = macaque.channels
    blank = np.zeros(channels.n_channels)
    cut = [
        window_features(
            recording.blocks(),
            onsets,
            ROI_WINDOWS,
            channels,
            Normaliser(Normalisation(kind="frozen"), blank, blank + 1.0, RATE_HZ),
        )
        for recording, onsets in recordings
    ]
    picked = roi_window_responses(responses.training, channels)
    np.testing.assert_array_equal(picked, np.concatenate(cut)[:, 0])


def test_statistics_gathered_on_the_way_are_those_of_the_whole_training(responses, recordings):
    whole = merged_statistics(channel_statistics(recording) for recording, _ in recordings)
    for name in ("count", "mean", "squares"):
        np.testing.assert_array_equal(getattr(responses.statistics, name), getattr(whole, name))


class _Interrupted(Exception):
    pass


def test_an_interrupted_run_goes_on_and_ends_with_the_same_responses(
    macaque, plan, responses, no_stage, tmp_path
):
    n_sessions = len(plan.sessions())

    def interrupted(what, total):
        def done(n):
            # After at least one session is kept, and before all are.
            if list(tmp_path.glob("responses-*.npz")):
                raise _Interrupted

        return done

    with pytest.raises(_Interrupted):
        simulated_responses(macaque, plan, tmp_path, interrupted)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("responses-*.npz")}
    assert 0 < len(kept) < n_sessions
    again = simulated_responses(macaque, plan, tmp_path, no_stage)
    assert len(list(tmp_path.iterdir())) == n_sessions
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    for name in ("training", "test"):
        np.testing.assert_array_equal(getattr(again, name), getattr(responses, name))
    np.testing.assert_array_equal(again.statistics.squares, responses.statistics.squares)
