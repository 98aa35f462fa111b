"""What is written comes back: every recording with a time axis, as our HDF5 and as NWB."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from b2g_rt.contracts.session import (
    GrowingColumn,
    SessionFile,
    SessionInfo,
    TextColumn,
    write_header,
)
from b2g_rt.errors import SessionError
from offline.recordings.formats.gaps import GapPolicy
from offline.recordings.formats.nwb_writer import write_nwb
from offline.recordings.formats.opening import open_recording
from offline.recordings.formats.reader import ReaderOptions
from offline.recordings.formats.session_hdf5_writer import write_session_hdf5
from offline.recordings.trials import recorded_trials
from tests.offline.recordings.formats.written_files import (
    RATE_HZ,
    SMALL,
    START_S,
    WRITERS,
    brain2gan,
    session,
    values,
)

TIMED = [name for name in WRITERS if name not in ("brain2gan", "tvsd-responses")]
SEGMENT = ReaderOptions(gaps=GapPolicy("segment"))
TARGETS = {"h5": write_session_hdf5, "nwb": write_nwb}


@pytest.mark.parametrize("suffix", TARGETS)
@pytest.mark.parametrize("name", TIMED)
def test_a_recording_comes_back_as_it_was(tmp_path, name, suffix):
    written = WRITERS[name](tmp_path)
    path = tmp_path / f"copy.{suffix}"
    done: list[int] = []
    with open_recording(written.path, written.options) as reader:
        TARGETS[suffix](reader, path, done.append)
        # Pauses between trials are no gaps, so that nothing has to be said to read them.
        options = ReaderOptions() if reader.info.kind == "trials" else SEGMENT
        with open_recording(path, options) as copy:
            assert copy.info.kind == reader.info.kind
            assert copy.gaps.n_lost == reader.gaps.n_lost
            assert copy.info.unit == reader.info.unit
            assert copy.info.rate_hz == reader.info.rate_hz
            assert copy.info.simulated == reader.info.simulated
            assert copy.channels.same_electrodes(reader.channels)
            np.testing.assert_array_equal(copy.channels.stream_idx, reader.channels.stream_idx)
            n = reader.n_samples
            np.testing.assert_array_equal(copy.columns(0, n), reader.columns(0, n))
            wanted = reader.index()
            np.testing.assert_array_equal(copy.index() - copy.index()[0], wanted - wanted[0])
            np.testing.assert_allclose(copy.time_s(), reader.time_s(), atol=1e-9, rtol=0)
            theirs, ours = reader.trials(), copy.trials()
            assert ours.stimulus == theirs.stimulus
            assert ours.split == theirs.split
            np.testing.assert_array_equal(ours.day, theirs.day)
            np.testing.assert_array_equal(
                ours.onset_idx - copy.index()[0], theirs.onset_idx - wanted[0]
            )
            assert [m.text for m in reader.markers()] in ([], [m.text for m in copy.markers()])
    assert sum(done) == n


def test_a_session_from_others_is_one_that_fit_and_replay_read(tmp_path):
    written = WRITERS["xdf"](tmp_path)
    path = tmp_path / "monday.h5"
    with open_recording(written.path, written.options) as reader:
        write_session_hdf5(reader, path)
    with open_recording(path, ReaderOptions(gaps=GapPolicy("segment"))) as recording:
        trials = recorded_trials(recording)
        assert trials.stimulus == tuple(written.stimulus)
        assert trials.onset_idx.tolist() == written.onset_idx.tolist()
    with SessionFile(path) as file:
        told = file.info.provenance["converted_from"]
        assert told == {"file": "lab.xdf", "format": "xdf", "kind": "continuous"}
        assert "25 samples lost" in file.info.provenance["gaps"][0]


@pytest.mark.parametrize("name", ["session", "tvsd-trials-N"])
def test_nwb_has_no_critical_findings(tmp_path, name):
    from nwbinspector import Importance, inspect_nwbfile

    written = WRITERS[name](tmp_path)
    path = tmp_path / "x.nwb"
    with open_recording(written.path, written.options) as reader:
        write_nwb(reader, path)
    found = list(inspect_nwbfile(nwbfile_path=str(path)))
    serious = (Importance.CRITICAL, Importance.ERROR, Importance.PYNWB_VALIDATION)
    assert [m.message for m in found if m.importance in serious] == []


def late_session(path, unit="uV"):
    """Two late rows and a doubled one at the end, latents, a replay at double speed."""
    index = np.r_[np.delete(np.arange(300), [50, 51]), [50, 51, 60]]
    rows = values(300)
    with h5py.File(path, "w", libver="latest") as file:
        write_header(file, SessionInfo(RATE_HZ, unit, SMALL, False, 2.0, {"a": 1}), "2026-01-01")
        mua = file.create_group("mua")
        GrowingColumn(mua, "data", "f4", (192,)).append(rows[index])
        GrowingColumn(mua, "time_s", "f8").append(START_S + index / (2 * RATE_HZ))
        GrowingColumn(mua, "index", "i8").append(index)
        markers = file.create_group("markers")
        GrowingColumn(markers, "time_s", "f8").append(np.array([START_S + 0.1]))
        TextColumn(markers, "text").append([b"x"])
        file["stimuli/id"] = np.array([b"x", b"y"])
        file["stimuli/latent"] = np.arange(8, dtype=np.float32).reshape(2, 4)
    return path, rows


@pytest.mark.parametrize("unit", ["uV", "z"])
def test_nwb_has_late_rows_in_place_latents_unit_and_speed(tmp_path, unit):
    path, rows = late_session(tmp_path / "late.h5", unit)
    with open_recording(path, SEGMENT) as reader:
        assert reader.gaps.n_late == 3
        write_nwb(reader, tmp_path / "late.nwb")
    with open_recording(tmp_path / "late.nwb") as copy:
        assert copy.n_samples == 300
        np.testing.assert_array_equal(copy.columns(0, 300), rows)
        np.testing.assert_array_equal(copy.index(), np.arange(300))
        assert (copy.info.unit, copy.info.speed, copy.info.rate_hz) == (unit, 2.0, RATE_HZ)
        assert copy.trials().onset_idx.tolist() == [200]
        stimuli = copy.stimuli()
        assert stimuli is not None
        ids, latents = stimuli
        assert ids == ["x", "y"]
        np.testing.assert_array_equal(latents, np.arange(8).reshape(2, 4))
        assert copy.provenance() == {"a": 1}


def test_late_rows_are_refused_by_default(tmp_path):
    path, _ = late_session(tmp_path / "late.h5")
    with pytest.raises(SessionError, match="3 late or doubled samples"):
        open_recording(path)


@pytest.mark.parametrize("write", TARGETS.values(), ids=TARGETS)
def test_responses_without_a_time_axis_are_refused(tmp_path, write):
    with open_recording(brain2gan(tmp_path).path) as reader:
        with pytest.raises(SessionError, match="time axis"):
            write(reader, tmp_path / "x")
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("suffix", TARGETS)
def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path, suffix):
    written = session(tmp_path)
    with open_recording(written.path, written.options) as reader:
        with pytest.raises(SessionError) as found:
            TARGETS[suffix](reader, tmp_path / "none" / f"x.{suffix}")
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("suffix", TARGETS)
def test_a_failed_copy_leaves_the_older_file(tmp_path, suffix):
    written = session(tmp_path)
    path = tmp_path / f"copy.{suffix}"
    path.write_bytes(b"older")

    def stop(_):
        raise KeyboardInterrupt

    with open_recording(written.path, written.options) as reader:
        with pytest.raises(KeyboardInterrupt):
            TARGETS[suffix](reader, path, stop)
    assert path.read_bytes() == b"older"
    assert {p.name for p in tmp_path.iterdir()} == {"session.h5", path.name}


def test_trials_kept_in_a_session_follow_closed_gaps(tmp_path):
    written = session(tmp_path)
    with open_recording(written.path, written.options) as reader:
        write_session_hdf5(reader, tmp_path / "copy.h5")
    tolerate = ReaderOptions(gaps=GapPolicy("tolerate", 0.1))
    with open_recording(tmp_path / "copy.h5", tolerate) as copy:
        np.testing.assert_array_equal(copy.index(), np.arange(1200))
        assert copy.trials().onset_idx.tolist() == [100, 500, 875]


def test_a_session_whose_trials_are_damaged_is_one_clear_line(tmp_path):
    written = session(tmp_path)
    with open_recording(written.path, written.options) as reader:
        write_session_hdf5(reader, tmp_path / "copy.h5")
    with h5py.File(tmp_path / "copy.h5", "r+") as file:
        del file["trials/day"]
    with open_recording(tmp_path / "copy.h5", SEGMENT) as copy:
        with pytest.raises(SessionError, match="/trials.*expected stimulus"):
            copy.trials()
