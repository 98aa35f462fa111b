"""A session read from its file."""

from __future__ import annotations

import numpy as np
import pytest

from b2g_rt.errors import SessionError
from b2g_rt.sources.recorded import RecordedSource, marker_positions
from tests.checks_sources import check_same_session, collect, write_counter_session


def ended(seen):
    return seen.states[-1:] == ["ended"]


@pytest.mark.parametrize("chunk", [1, 7, 30, 1000])
def test_a_session_is_read_whole_whatever_the_chunk(tmp_path, chunk):
    index = np.r_[5:900, 1200:2000, 1190:1195, 2000:3000]
    with write_counter_session(tmp_path / "s.h5", index=index, markers_at=(505, 1205.4)) as session:
        source = RecordedSource(session, 1000.0, chunk=chunk)
        seen = collect(source, ended)
        check_same_session(seen, session)
        assert seen.kinds == {"new", "late"}
        assert seen.positions == pytest.approx([500, 1200.4], abs=1e-4)
        assert source.description.simulated
        source.close()
        source.close()


def test_chunk_sizes_change_neither_times_nor_marker_positions(tmp_path, rng):
    index = np.r_[0:900, 1200:6000]
    stamps = 10_000 + index / 1000.0 * (1 + 1e-4) + rng.normal(0, 1e-4, len(index))
    with write_counter_session(tmp_path / "s.h5", index=index, stamps=stamps) as session:
        results = []
        for chunk in (1, 13, 100, 6000):
            source = RecordedSource(session, 1000.0, chunk=chunk)
            seen = collect(source, ended)
            times = [source.clock.time_of(i) for i in range(0, 6000, 71)]
            results.append((times, seen.markers))
        assert all(result == results[0] for result in results)


def test_a_marker_comes_after_the_samples_it_points_at(tmp_path):
    with write_counter_session(tmp_path / "s.h5") as session:
        source = RecordedSource(session, 1000.0, chunk=10)
        for _ in range(300):
            chunk = source.read(0.0)
            for marker in chunk.markers:
                position = source.clock.position_of(marker.time_s)
                assert position < source.clock.stop <= position + 11


def test_marker_positions_are_found_without_reading_the_samples(tmp_path):
    with write_counter_session(tmp_path / "s.h5") as session:
        positions = [position for position, _ in marker_positions(session)]
        assert positions == pytest.approx([500, 1200.4, 2500], abs=1e-6)


def test_a_recorded_clock_step_moves_no_sample(tmp_path):
    index = np.arange(3000)
    stamps = 10_000 + index / 1000.0
    stamps[1500:] -= 400.0
    with write_counter_session(tmp_path / "s.h5", stamps=stamps) as session:
        source = RecordedSource(session, 1000.0, chunk=7)
        seen = collect(source, ended)
        check_same_session(seen, session)
        assert seen.mua.clock_steps == 1
        assert source.clock.time_of(2000) == pytest.approx(stamps[2000], abs=1e-6)
        assert source.clock.time_of(1000) == pytest.approx(stamps[1000], abs=1e-6)


def test_a_session_of_another_rate_is_refused(tmp_path):
    with (
        write_counter_session(tmp_path / "s.h5") as session,
        pytest.raises(SessionError, match="1000 Hz, the bundle expects 500 Hz"),
    ):
        RecordedSource(session, 500.0)


def test_a_session_without_samples_is_refused(tmp_path):
    with (
        write_counter_session(tmp_path / "s.h5", index=np.arange(0)) as session,
        pytest.raises(SessionError, match="no samples"),
    ):
        RecordedSource(session, 1000.0)


def test_markers_whose_time_is_no_number_are_said_and_left_out(tmp_path):
    places = (500.0, np.nan, np.inf, 1200.0)
    with write_counter_session(tmp_path / "s.h5", markers_at=places) as session:
        seen = collect(RecordedSource(session, 1000.0), ended)
        assert seen.positions == pytest.approx([500, 1200])
        assert [(event.kind, event.level) for event in seen.events] == [("markers-clock", "error")]
        assert "2 of 4 markers" in seen.events[0].text
        assert [position for position, _ in marker_positions(session)] == pytest.approx([500, 1200])
