from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.errors import SessionError
from b2g_rt.simulation.latent_space import face_latents
from b2g_rt.simulation.macaque import Macaque
from b2g_rt.simulation.presets import faces_spec
from b2g_rt.simulation.session_writer import write_session
from offline.recordings.formats.opening import open_recording
from offline.recordings.formats.reader import ReaderOptions
from offline.recordings.trials import recorded_trials, sample_positions

CHANNELS = ChannelMap(192, (ArraySlot(0, "V1", 0), ArraySlot(1, "V4", 64), ArraySlot(2, "IT", 128)))


@given(index=st.integers(0, 4999), shift=st.floats(-0.4, 0.4))
def test_onsets_moved_by_less_than_half_a_sample_give_the_same_index(index, shift):
    samples = np.arange(5000)
    samples[2000:] += 300
    time_s = 10_000.0 + samples / 1000.0
    position = sample_positions(np.array([time_s[index] + shift / 1000.0]), time_s, samples, 1000.0)
    assert np.floor(position[0] + 0.5) == samples[index]


def test_times_beyond_the_recording_follow_the_nominal_rate():
    time_s = 5.0 + np.arange(100) / 250.0
    positions = sample_positions(np.array([4.0, 6.0]), time_s, np.arange(100), 250.0)
    np.testing.assert_allclose(positions, [-250, 250])


def test_late_rows_do_not_disturb_the_mapping():
    index = np.concatenate(
        [np.arange(0, 50), np.arange(60, 100), np.arange(50, 60), np.arange(100, 200)]
    )
    positions = sample_positions(np.array([0.055, 0.15]), index / 1000.0, index, 1000.0)
    np.testing.assert_allclose(positions, [55, 150])


@pytest.fixture
def session(tmp_path):
    latents = face_latents()
    macaque = Macaque(faces_spec(), CHANNELS, latents)
    w = latents.draw(np.random.default_rng(0), 3)
    path = tmp_path / "s.h5"
    write_session(path, macaque, ["a", "b", "c"], w, [2, 0, 1, 2], 3)
    return path


def trials_of(path, pattern=None):
    with open_recording(path, ReaderOptions(marker_pattern=pattern)) as recording:
        return recorded_trials(recording)


def test_trials_of_a_session_lie_at_the_protocols_onsets(session):
    trials = trials_of(session)
    assert trials.stimulus == ("c", "a", "b", "c")
    assert trials.onset_idx.tolist() == [300, 700, 1100, 1500]


def test_markers_that_are_no_onsets_make_no_trials(session):
    assert trials_of(session, "(?P<stimulus>[ab])").onset_idx.tolist() == [700, 1100]


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        ("(", "expected a regular expression"),
        (".+", "no group 'stimulus'"),
        ("(?P<stimulus>z)", "0 of them onsets"),
    ],
)
def test_patterns_without_use_are_refused_with_one_line(session, pattern, line):
    with pytest.raises(SessionError, match=line):
        trials_of(session, pattern)
