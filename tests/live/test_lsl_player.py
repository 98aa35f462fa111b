"""A session played through real outlets arrives as it is in the file, at any speed and in any chunks."""

from __future__ import annotations

import math
import threading
import uuid
from contextlib import contextmanager

import numpy as np
import pylsl
import pytest

from b2g_rt.errors import SessionError, StreamError
from b2g_rt.sources.lsl_inlet import LslSource
from b2g_rt.sources.player import Faults, Player
from b2g_rt.sources.recorded import RecordedSource
from b2g_rt.sources.stream_query import StreamQuery
from tests.checks_sources import CHANNELS, check_same_session, collect, write_counter_session

pytestmark = pytest.mark.live


@contextmanager
def played(session, **options):
    """Play a session and read it; yields (player, source) with the source connected."""
    name = uuid.uuid4().hex[:8]
    mua, markers = f"mua-{name}", f"markers-{name}"
    stop, failures = threading.Event(), []
    player = Player(session, mua, markers, **{"linger_s": 20.0, **options})

    def run():
        try:
            player.run(stop)
        except Exception as error:  # noqa: BLE001 - handed to the test below
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    query = StreamQuery(markers, key="streams.markers")
    try:
        with LslSource(StreamQuery(mua), query, CHANNELS, 1000.0) as source:
            source.connect()
            yield player, source
    finally:
        stop.set()
        thread.join(20)
    assert not failures
    assert not thread.is_alive()


def n_expected(session):
    index = session.index()
    return int(index.max() - index[0]) + 1


def whole(session):
    return lambda seen: (
        len(seen.store) == n_expected(session) and len(seen.positions) == len(session.markers())
    )


@pytest.mark.parametrize("speed", [1.0, 4.0, None])
def test_every_sample_and_marker_arrives_at_its_index_at_any_speed(tmp_path, speed):
    index = np.r_[0:1000, 1300:3000]
    with write_counter_session(tmp_path / "s.h5", index=index) as session:
        with played(session, speed=speed, chunk=(1, 33)) as (player, source):
            seen = collect(source, whole(session))
            described = source.description
        check_same_session(seen, session)
        assert seen.mua.lost == 300
        assert described.speed == (speed or 1.0)
        assert described.session_clock == (speed is None)
        assert described.rate_hz == 1000.0 * (speed or 1.0)
        assert (described.simulated, described.unit, described.n_trials) == (True, "uV", 3)
        assert player.n_sent == session.n_samples
        recorded = RecordedSource(session, 1000.0)
        offline = collect(recorded, lambda seen: seen.states[-1:] == ["ended"])
        np.testing.assert_array_equal(seen.store, offline.store)
        assert seen.positions == pytest.approx(offline.positions, abs=1e-3)


def test_late_markers_keep_their_stamps(tmp_path):
    with write_counter_session(
        tmp_path / "s.h5", 1500, markers_at=(100.0, 400.25, 1499.0)
    ) as session:
        with played(session, marker_lateness_s=0.3) as (_, source):
            seen = collect(source, whole(session))
        assert sorted(seen.positions) == pytest.approx([100.0, 400.25, 1499.0], abs=1e-3)


def test_a_marker_is_sent_after_the_chunk_with_the_samples_it_points_at(tmp_path):
    places, chunk = tuple(range(50, 1000, 37)), 33
    name, stop = uuid.uuid4().hex[:8], threading.Event()
    with write_counter_session(tmp_path / "s.h5", 1100, markers_at=places) as session:
        player = Player(session, f"mua-{name}", f"markers-{name}", chunk=chunk, linger_s=20.0)
        thread = threading.Thread(target=player.run, args=(stop,))
        thread.start()
        try:
            inlets = [
                pylsl.StreamInlet(pylsl.resolve_byprop("name", f"{what}-{name}", 1, 10.0)[0])
                for what in ("markers", "mua")
            ]
            for inlet in inlets:
                inlet.open_stream(10.0)
            for place in places:
                _, stamp = inlets[0].pull_sample(20.0)
                received_s = pylsl.local_clock()
                chunk_end = (place // chunk + 1) * chunk - 1
                assert received_s >= stamp + (chunk_end - place) / 1000.0 - 1e-6
        finally:
            stop.set()
            thread.join(20)


def test_dropped_repeated_and_swapped_chunks_are_counted_exactly(tmp_path):
    faults = Faults(drop=((700, 720), (1500, 1501)), repeat=(1000,), swap=(2000,))
    with write_counter_session(tmp_path / "s.h5") as session:
        with played(session, chunk=10, speed=2.0, faults=faults) as (player, source):
            seen = collect(source, whole(session))
        received = ~seen.lost
        np.testing.assert_array_equal(seen.counter[received], np.flatnonzero(received))
        assert np.flatnonzero(seen.lost).tolist() == [*range(700, 720), 1500]
        assert (seen.mua.lost, seen.mua.duplicated, seen.mua.late) == (21, 10, 10)
        assert seen.mua.received + seen.mua.duplicated == player.n_sent


def test_a_restart_of_the_player_loses_what_passed_meanwhile_and_nothing_else(tmp_path):
    faults = Faults(restart=1000, restart_pause_s=0.3)
    with write_counter_session(tmp_path / "s.h5", markers_at=(200.0,)) as session:
        with played(session, faults=faults) as (_, source):
            seen = collect(source, whole(session))
        received = ~seen.lost
        np.testing.assert_array_equal(seen.counter[received], np.flatnonzero(received))
        assert seen.mua.reconnects == 1
        assert seen.lost[1000:1300].all()
        assert seen.mua.received + seen.mua.lost == 3000


def test_a_loop_goes_on_in_time(tmp_path):
    with write_counter_session(tmp_path / "s.h5", 500, markers_at=(100.0,)) as session:
        with played(session, loop=True, speed=2.0) as (_, source):
            seen = collect(
                source, lambda seen: len(seen.store) >= 1600 and len(seen.positions) >= 3
            )
        np.testing.assert_array_equal(seen.counter[:1500], np.tile(np.arange(500), 3))
        assert seen.positions[:3] == pytest.approx([100.0, 600.0, 1100.0], abs=1e-3)
        assert seen.mua.lost == 0


def test_a_chunk_is_sent_when_its_last_sample_has_come(tmp_path):
    with write_counter_session(tmp_path / "s.h5", 1000) as session:
        with played(session) as (_, source):
            ages = []
            seen_all = False
            while not seen_all:
                chunk = source.read(1.0)
                ages += [] if chunk.age_s is None else [chunk.age_s]
                seen_all = source.clock.stop >= 1000
    assert min(ages) >= 0.0
    assert np.median(ages) < 0.02


def test_the_player_waits_for_its_readers_and_stops_when_told(tmp_path):
    with write_counter_session(tmp_path / "s.h5", 500) as session:
        stop = threading.Event()
        player = Player(session, f"mua-{uuid.uuid4().hex[:8]}", None)
        thread = threading.Thread(target=player.run, args=(stop,))
        thread.start()
        assert pylsl.resolve_byprop("type", "MUA", 1, 10.0)
        assert player.n_sent == 0
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    "options", [{"speed": 0.0}, {"speed": math.inf}, {"chunk": 0}, {"chunk": (9, 3)}]
)
def test_what_plays_nothing_is_refused(tmp_path, options):
    with write_counter_session(tmp_path / "s.h5", 10) as session:
        with pytest.raises(ValueError, match="expected"):
            Player(session, "x", None, **options)


def test_an_empty_session_is_refused_in_one_line(tmp_path):
    with write_counter_session(tmp_path / "s.h5", 0, markers_at=()) as session:
        with pytest.raises(SessionError, match="no samples, expected a recorded session"):
            Player(session, "x", None)


@pytest.mark.parametrize("names", [("", None), ("x", ""), (" ", "y")])
def test_a_stream_without_a_name_is_refused_before_lsl_sees_it(tmp_path, names):
    with write_counter_session(tmp_path / "s.h5", 10, markers_at=()) as session:
        with pytest.raises(StreamError, match="has no name"):
            Player(session, *names)
