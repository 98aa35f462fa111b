from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.contracts.session import SessionFile
from b2g_rt.errors import SessionError
from b2g_rt.simulation.latent_space import face_latents
from b2g_rt.simulation.macaque import Macaque, faces_spec
from b2g_rt.simulation.session_writer import write_session
from offline.recordings.trials import sample_positions, session_trials

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
    with SessionFile(path) as file:
        yield file


def test_trials_of_a_session_lie_at_the_protocols_onsets(session):
    trials = session_trials(session)
    assert [t.stimulus for t in trials] == ["c", "a", "b", "c"]
    assert [t.onset_idx for t in trials] == [300, 700, 1100, 1500]


def test_markers_that_are_no_onsets_make_no_trials(session):
    trials = session_trials(session, "(?P<stimulus>[ab])")
    assert [t.onset_idx for t in trials] == [700, 1100]


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
        session_trials(session, pattern)
