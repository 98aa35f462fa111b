"""Blackrock: layouts, gaps by the amplifier's stamps, digital inputs, files cut short."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from b2g_rt.errors import SessionError
from offline.recordings.formats.blackrock import BlackrockReader
from offline.recordings.formats.gaps import GapPolicy
from offline.recordings.formats.reader import ReaderOptions
from tests.offline.recordings.formats.written_files import (
    BEGUN,
    PERIOD,
    RATE_HZ,
    SMALL,
    nev,
    nsx,
    values,
)

ROWS = values(900)
SEGMENT = ReaderOptions(channels=SMALL, gaps=GapPolicy("segment"))
ERROR = ReaderOptions(channels=SMALL)


def test_blocks_that_follow_each_other_are_no_gap(tmp_path):
    path = nsx(tmp_path / "a.ns2", ROWS, [(BEGUN, 0, 400), (BEGUN + 400 * PERIOD, 400, 900)])
    with BlackrockReader(path, ERROR) as reader:
        assert reader.gaps.n_segments == 1
        np.testing.assert_array_equal(reader.index(), np.arange(900))
        np.testing.assert_array_equal(reader.columns(390, 410), ROWS[390:410])


def test_a_clock_that_was_set_anew_begins_a_new_segment(tmp_path):
    # Two amplifiers that are started together set their clocks to zero a moment after the start.
    path = nsx(tmp_path / "a.ns2", ROWS, [(90_000, 0, 400), (0, 400, 900)])
    nev(tmp_path / "a.nev", [100 * PERIOD], [7])
    with pytest.raises(SessionError, match="clock"):
        BlackrockReader(path, ERROR)
    with BlackrockReader(path, SEGMENT) as reader:
        assert reader.gaps.n_segments == 2
        assert (np.diff(reader.index()) > 0).all()
        # The input's time is on the later clock.
        assert reader.trials().onset_idx[0] == reader.index()[400 + 100]


def test_short_gaps_are_closed_where_they_are_tolerated(tmp_path):
    stamp = BEGUN + 430 * PERIOD
    path = nsx(tmp_path / "a.ns2", ROWS, [(BEGUN, 0, 400), (stamp, 400, 900)])
    nev(tmp_path / "a.nev", [stamp + 50 * PERIOD], [7])
    tolerate = ReaderOptions(channels=SMALL, gaps=GapPolicy("tolerate", 0.05))
    with BlackrockReader(path, tolerate) as reader:
        np.testing.assert_array_equal(reader.index(), np.arange(900))
        assert reader.gaps.n_lost == 30
        assert reader.trials().onset_idx[0] == 450


def test_the_oldest_layout_is_read(tmp_path):
    path = tmp_path / "old.ns2"
    head = struct.pack("<8s16sII", b"NEURALSG", b"1 kS/s", PERIOD, 192)
    head += struct.pack("<192I", *range(1, 193))
    raw = np.round(ROWS * 4).astype("<i2")
    path.write_bytes(head + raw.tobytes())
    with BlackrockReader(path, ERROR) as reader:
        # neo leaves out the last row of this layout, and has no gain without an NEV file.
        assert reader.n_samples == 899
        np.testing.assert_allclose(reader.columns(5, 8), raw[5:8])


def test_a_file_cut_within_its_last_block_is_told(tmp_path):
    path = nsx(tmp_path / "a.ns2", ROWS, [(BEGUN, 0, 900)])
    data = path.read_bytes()
    path.write_bytes(data[: len(data) - 150 * 192 * 2 + 17])
    with pytest.raises(SessionError, match="750 rows in the last block, its header says 900"):
        BlackrockReader(path, ERROR)
    with BlackrockReader(path, SEGMENT) as reader:
        assert reader.n_samples == 750
        np.testing.assert_array_equal(reader.columns(0, 750), ROWS[:750])


def test_without_events_there_are_no_trials(tmp_path):
    path = nsx(tmp_path / "a.ns2", ROWS, [(BEGUN, 0, 900)])
    with BlackrockReader(path, ERROR) as reader:
        assert reader.markers() == []
        assert reader.trials().n_trials == 0


def test_of_several_signals_one_must_be_chosen(tmp_path):
    nsx(tmp_path / "a.ns2", ROWS, [(BEGUN, 0, 900)])
    nsx(tmp_path / "a.ns3", ROWS + 1, [(BEGUN, 0, 900)])
    events = nev(tmp_path / "a.nev", [BEGUN], [1])
    with pytest.raises(SessionError, match=r"a.ns2, a.ns3 beside it.*--stream"):
        BlackrockReader(events, ERROR)
    with BlackrockReader(events, ReaderOptions(channels=SMALL, stream="ns3")) as reader:
        np.testing.assert_array_equal(reader.columns(0, 900), ROWS + 1)


def test_damaged_events_are_one_clear_line(tmp_path):
    path = nsx(tmp_path / "a.ns2", ROWS, [(BEGUN, 0, 900)])
    events = nev(tmp_path / "a.nev", [BEGUN], [1])
    for data in (events.read_bytes()[:100], b"NEURALEV", b"something else"):
        events.write_bytes(data)
        with BlackrockReader(path, ERROR) as reader:
            with pytest.raises(SessionError, match=r"a\.nev: ") as found:
                reader.trials()
        assert "\n" not in str(found.value)


def test_times_are_the_amplifier_s(tmp_path):
    path = nsx(tmp_path / "a.ns2", ROWS, [(BEGUN, 0, 900)])
    with BlackrockReader(path, ERROR) as reader:
        np.testing.assert_allclose(reader.time_s(), BEGUN / 30_000 + np.arange(900) / RATE_HZ)
