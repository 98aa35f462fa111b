from __future__ import annotations

import h5py
import numpy as np
import pytest

from b2g_rt.errors import SessionError
from b2g_rt.mua.envelope import MuaEnvelope
from b2g_rt.mua.filter_design import MuaSpec
from offline.recordings import mua_source
from offline.recordings.formats.gaps import GapPolicy
from offline.recordings.formats.opening import open_recording
from offline.recordings.formats.reader import ReaderOptions
from offline.recordings.mua_source import RecordingPart, mua_of
from tests import decoded_world as world

STIMULI = world.draw("a", 3, 1)


@pytest.fixture
def session(tmp_path):
    return world.write(tmp_path / "s.h5", STIMULI, list(STIMULI), 2)


def said_to_be(path, rate_hz):
    with h5py.File(path, "r+") as file:
        index = file["mua/index"][:]
        file.attrs["rate_hz"] = rate_hz
        file["mua/time_s"][:] = 7000.0 + index / rate_hz
        file["markers/time_s"][:] = 7000.0 + world.onsets(3) / rate_hz
    return path


def test_mua_at_the_windows_rate_is_taken_as_it_is(session):
    with open_recording(session) as reader:
        mua = mua_of(reader, reader.trials().onset_idx, 1000.0)
        assert mua.recording is reader
        assert mua.onsets.tolist() == world.onsets(3).tolist()
        assert (mua.first, mua.stop) == (0, reader.n_samples)


def test_voltage_becomes_what_the_live_chain_makes_of_it(session):
    with open_recording(said_to_be(session, 30_000.0)) as reader:
        mua = mua_of(reader, reader.trials().onset_idx, 1000.0)
        assert mua.onsets.tolist() == [14, 28, 41]
        assert (mua.first, mua.stop) == (0, reader.n_samples // 30)
        found = np.concatenate([block.values for block in mua.recording.blocks()])
        chain = MuaEnvelope(MuaSpec(), reader.channels.n_channels)
        np.testing.assert_array_equal(found, chain.push(reader.read(0, reader.n_samples)))


def test_another_rate_is_refused_with_one_line(session):
    with open_recording(said_to_be(session, 2000.0)) as reader:
        with pytest.raises(SessionError, match=r"2000\.0 Hz, expected MUA at 1000 Hz or voltage"):
            mua_of(reader, reader.trials().onset_idx, 1000.0)


def test_the_span_is_found_piece_by_piece(session, monkeypatch):
    monkeypatch.setattr(mua_source, "_PLACES_AT_ONCE", 50)
    with h5py.File(session, "r+") as file:
        index = file["mua/index"][:]
        index[20:40] += 10_000  # Late rows lie anywhere.
        index[60] = -7
        file["mua/index"][:] = index
    with open_recording(session, ReaderOptions(gaps=GapPolicy("segment"))) as reader:
        mua = mua_of(reader, reader.trials().onset_idx, 1000.0)
        assert (mua.first, mua.stop) == (-7, 10_040)


def test_a_part_of_a_recording_has_its_rows_whatever_the_block(session):
    with open_recording(session) as reader:
        part = RecordingPart(reader, 100, 777)
        blocks = list(part.blocks(50))
        assert max(len(block.index) for block in blocks) == 50
        index = np.concatenate([block.index for block in blocks])
        assert index.tolist() == part.index().tolist() == list(range(100, 777))
        assert part.index(5, 9).tolist() == [105, 106, 107, 108]
        assert part.index(670).tolist() == list(range(770, 777))
        values = np.concatenate([block.values for block in blocks])
        np.testing.assert_array_equal(values, reader.read(100, 777))
        assert part.n_samples == 677
