"""Responses of recordings of several formats as encoding takes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from b2g_rt.contracts.bundle import Normalisation
from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.contracts.windows import sliding_windows
from b2g_rt.errors import EncodingError
from b2g_rt.mua.normaliser import Normaliser
from offline.encoding.recorded_responses import encoding_responses
from offline.encoding.responses import roi_windows
from offline.recordings.features import window_features
from offline.recordings.formats.brain2gan_writer import write_brain2gan
from offline.recordings.formats.opening import open_recording
from offline.recordings.formats.reader import ReaderOptions, RecordingReader
from offline.recordings.formats.tvsd_writer import write_tvsd_responses
from offline.recordings.simulated_sessions import SessionPlan, SimulatedSet, simulated_set
from offline.recordings.statistics import channel_statistics
from offline.recordings.stimulus_responses import stimulus_responses


def _few_channels() -> ChannelMap:
    dead = tuple(range(8, 64))
    rois = enumerate(("V1", "V4", "IT"))
    return ChannelMap(192, tuple(ArraySlot(k, roi, 64 * k, False, dead) for k, roi in rois))


@pytest.fixture(scope="module")
def simulated() -> SimulatedSet:
    plan = SessionPlan(n_train=30, n_test=8, n_repeats=6, n_days=2, channels=_few_channels())
    return simulated_set(plan)


@pytest.fixture(scope="module")
def readers(simulated: SimulatedSet) -> list[RecordingReader]:
    return [simulated.reader(day, Path(f"day{day.number}")) for day in simulated.days]


def test_training_is_single_trials_and_the_test_their_means(readers: list[RecordingReader]) -> None:
    found = encoding_responses(readers)
    known = stimulus_responses(readers)
    assert sorted(found.train_ids) == list(known.train_ids)
    order = np.argsort(np.array(found.train_ids))
    np.testing.assert_allclose(found.train[order], known.train, atol=1e-6)
    assert found.test_ids == known.test_ids
    np.testing.assert_allclose(found.test, known.test, atol=1e-6)
    np.testing.assert_array_equal(found.repetitions, known.test_repetitions)
    assert found.repeats == (6, 6)
    assert found.over_time is None


def test_the_roi_windows_are_three_of_the_nine(readers: list[RecordingReader]) -> None:
    alone, found = encoding_responses(readers), encoding_responses(readers, over_time=True)
    assert found.over_time is not None
    assert found.over_time.train.shape == (30, 9, 24)
    np.testing.assert_array_equal(roi_windows(found.over_time.train, found.channels), found.train)
    np.testing.assert_array_equal(roi_windows(found.over_time.test, found.channels), found.test)
    # Days are put into z units by other moments, those of all windows: the same up to scale and offset.
    for c in range(24):
        assert np.corrcoef(alone.train[:, c], found.train[:, c])[0, 1] > 0.95


def test_the_ceiling_before_the_onset_is_lower_than_in_the_roi_window() -> None:
    plan = SessionPlan(n_train=4, n_test=40, n_repeats=8, channels=_few_channels())
    whole = simulated_set(plan)
    found = encoding_responses([whole.reader(whole.days[0], Path("day"))], over_time=True)
    assert found.over_time is not None
    q = whole.macaque.truth().q
    true = np.sqrt(q / (q + (1 - q) / 8))
    assert np.median(np.abs(found.ceiling - true)) < 0.08
    assert np.median(found.over_time.ceiling[0]) < np.median(found.ceiling) - 0.2


def test_live_units_are_those_of_a_frozen_normaliser(simulated: SimulatedSet) -> None:
    reader = simulated.reader(simulated.days[0], Path("day"))
    found = encoding_responses([reader])
    assert found.live is not None
    statistics = channel_statistics(reader)
    live = Normaliser(Normalisation(kind="frozen"), statistics.mean, statistics.sd, 1000.0)
    trials = reader.trials()
    wanted = window_features(
        reader.blocks(), trials.onset_idx, sliding_windows(1000.0), reader.channels, live
    )[:, 0]
    row = {stimulus: k for k, stimulus in enumerate(trials.stimulus)}
    wanted = wanted[[row[i] for i in found.train_ids]]
    ours = found.train * found.live.scale + found.live.offset
    np.testing.assert_allclose(ours, wanted, atol=1e-4)


def test_matrices_are_taken_as_they_are_and_have_no_ceiling(
    readers: list[RecordingReader], tmp_path: Path
) -> None:
    write_brain2gan(readers, tmp_path / "b.mat")
    known = stimulus_responses(readers)
    with open_recording(tmp_path / "b.mat", ReaderOptions(channels=readers[0].channels)) as matrix:
        found = encoding_responses([matrix])
        np.testing.assert_allclose(found.train, known.train, atol=1e-6)
        np.testing.assert_allclose(found.test, known.test, atol=1e-6)
        assert found.train_ids == known.train_ids
        assert np.isnan(found.ceiling).all()
        assert found.live is None
        with pytest.raises(EncodingError, match="no time axis"):
            encoding_responses([matrix], over_time=True)
        with pytest.raises(EncodingError, match="2 recordings"):
            encoding_responses([matrix, matrix])


def test_tvsds_repetitions_give_the_ceiling_that_its_trials_give(
    readers: list[RecordingReader], tmp_path: Path
) -> None:
    write_tvsd_responses(readers, tmp_path / "THINGS_normMUA.mat")
    options = ReaderOptions(channels=readers[0].channels)
    with open_recording(tmp_path / "THINGS_normMUA.mat", options, "tvsd-responses") as matrix:
        found = encoding_responses([matrix])
    known = encoding_responses(readers)
    assert found.test_ids == known.test_ids
    assert found.repeats == (6, 6)
    np.testing.assert_allclose(found.repetitions, known.repetitions, atol=1e-6)
    np.testing.assert_allclose(found.ceiling, known.ceiling, atol=1e-6)
    assert np.isfinite(found.ceiling).all()


def test_recordings_of_other_electrodes_are_refused(
    readers: list[RecordingReader],
) -> None:
    other = simulated_set(SessionPlan(n_train=4, n_test=2, n_repeats=2))
    with pytest.raises(EncodingError, match="other electrodes than day1"):
        encoding_responses([readers[0], other.reader(other.days[0], Path("other"))])
