"""The LSL source against real outlets: what it refuses, what it survives, what it counts."""

from __future__ import annotations

import signal
import threading
import time
import uuid

import numpy as np
import pylsl
import pytest

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.errors import StreamAmbiguous, StreamMismatch, StreamNotFound
from b2g_rt.sources.lsl_inlet import LslSource
from b2g_rt.sources.stream_query import StreamQuery
from tests.checks_sources import Collected, collect, take
from tests.live.counter_device import device
from tests.live.outlets import MarkerOutlet, MuaOutlet

pytestmark = pytest.mark.live

RATE_HZ = 1000.0
N_COLUMNS = 64
CHANNELS = ChannelMap(N_COLUMNS, (ArraySlot(array=0, roi="V1", first=0),))


@pytest.fixture
def name():
    return f"mua-{uuid.uuid4().hex[:8]}"


def source_for(name, markers=None, **options):
    query = None if markers is None else StreamQuery(markers, key="streams.markers")
    options = {"resolve_timeout_s": 10.0, **options}
    return LslSource(StreamQuery(name), query, CHANNELS, RATE_HZ, **options)


def outlet(name, n_columns=N_COLUMNS, rate_hz=RATE_HZ, fmt="float32", source_id="rig", **kw):
    return pylsl.StreamOutlet(
        pylsl.StreamInfo(name, "MUA", n_columns, rate_hz, fmt, source_id), **kw
    )


# ---------------------------------------------------------------- what is refused


def test_an_unknown_name_lists_what_is_there(name):
    there = outlet(f"{name}-other", 5, 250.0)
    with source_for(name, resolve_timeout_s=1.5) as source, pytest.raises(StreamNotFound) as caught:
        source.connect()
    line = str(caught.value)
    assert f"no LSL stream with name '{name}'" in line
    assert f"'{name}-other' (MUA) 5 x float32 at 250 Hz on " in line
    assert "streams.mua.name" in line
    assert "\n" not in line
    del there


def test_two_streams_of_one_name_are_told_apart(name):
    both = outlet(name, source_id="left"), outlet(name, source_id="right")
    with source_for(name) as source, pytest.raises(StreamAmbiguous) as caught:
        source.connect()
    line = str(caught.value)
    assert "2 LSL streams" in line
    assert "source_id 'left'" in line
    assert "source_id 'right'" in line
    assert "streams.mua.source_id" in line
    assert "streams.mua.host" in line
    query = StreamQuery(name, source_id="right")
    with LslSource(query, None, CHANNELS, RATE_HZ) as source:
        assert source.connect().source_id == "right"
    del both


def test_two_streams_that_nothing_tells_apart_are_refused(name):
    both = outlet(name), outlet(name)
    with source_for(name) as source, pytest.raises(StreamAmbiguous, match="stop one of them"):
        source.connect()
    del both


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"n_columns": 63}, "63 columns, the channel map expects 64"),
        ({"rate_hz": 500.0}, "500 Hz, the bundle expects 1000 Hz"),
        ({"rate_hz": 0.0}, "irregular rate, expected a regular one"),
        ({"fmt": "string"}, "format string, expected float32"),
    ],
)
def test_a_stream_that_does_not_fit_is_refused_with_both_numbers(name, given, expected):
    there = outlet(name, **given)
    with source_for(name) as source, pytest.raises(StreamMismatch, match=expected):
        source.connect()
    del there


def test_a_rate_that_is_the_recorded_rate_times_the_speed_fits(name):
    info = pylsl.StreamInfo(name, "MUA", N_COLUMNS, 4000.0, "float32", "player")
    b2g = info.desc().append_child("b2g")
    b2g.append_child_value("speed", "4.0")
    b2g.append_child_value("simulated", "1")
    there = pylsl.StreamOutlet(info)
    with source_for(name) as source:
        described = source.connect()
    assert (described.speed, described.rate_hz, described.simulated) == (4.0, 4000.0, True)
    del there


@pytest.mark.parametrize("off_s", [-3600.0, 1.7e9])
def test_stamps_on_another_clock_are_refused(name, off_s):
    there = MuaOutlet(name, N_COLUMNS, start_s=pylsl.local_clock() + off_s)
    with source_for(name) as source:
        source.connect()
        there.wait_for_reader()
        there.push(20)
        with pytest.raises(StreamMismatch, match="LSL's local_clock"):
            collect(source, lambda seen: False, 10.0)
    there.close()


def test_a_marker_stream_without_strings_is_refused(name):
    mua, wrong = outlet(name), outlet(f"{name}-m", 1, 0.0, "int32")
    with source_for(name, f"{name}-m") as source, pytest.raises(StreamMismatch, match="1 x int32"):
        source.connect()
    del mua, wrong


# ---------------------------------------------------------------- what arrives


@pytest.mark.parametrize("fmt", ["float32", "double64", "int16", "int32"])
def test_every_number_format_arrives_as_float32(name, fmt):
    there = outlet(name, fmt=fmt)
    with source_for(name) as source:
        source.connect()
        assert there.wait_for_consumers(10)
        rows = np.arange(100 * N_COLUMNS).reshape(100, N_COLUMNS)
        there.push_chunk(rows.tolist(), pylsl.local_clock())
        seen = collect(source, lambda seen: len(seen.store) == 100)
        assert np.array_equal(seen.store, rows.astype(np.float32))
    del there


def test_samples_keep_their_values_and_stamps_and_markers_their_place(name):
    mua, markers = MuaOutlet(name, N_COLUMNS), MarkerOutlet(f"{name}-m")
    with source_for(name, f"{name}-m") as source:
        source.connect()
        mua.wait_for_reader()
        markers.wait_for_reader()
        for trial in range(3):
            mua.push(300)
            markers.push(f"face-{trial}", mua.start_s + (300 * trial + 120.25) / RATE_HZ)
        seen = collect(source, lambda seen: len(seen.store) == 900 and len(seen.markers) == 3)
        assert np.array_equal(seen.counter, np.arange(900))
        # Outlet and inlet share this machine's clock, so the stamps arrive as they were sent.
        assert np.concatenate(seen.stamps) == pytest.approx(
            mua.start_s + np.arange(900) / 1e3, abs=1e-9
        )
        assert seen.positions == pytest.approx([120.25, 420.25, 720.25], abs=1e-3)
        assert (seen.mua.received, seen.mua.lost, seen.marker_ledger.received) == (900, 0, 3)
    source.close()


def test_a_marker_that_is_not_utf8_does_not_stop_the_service(name):
    mua = MuaOutlet(name, N_COLUMNS)
    markers = pylsl.StreamOutlet(pylsl.StreamInfo(f"{name}-m", "Markers", 1, 0, "string", "m"))
    with source_for(name, f"{name}-m") as source:
        source.connect()
        assert markers.wait_for_consumers(10)
        markers.push_sample([b"caf\xe9"], mua.start_s)
        markers.push_sample(["after"], mua.start_s)
        seen = collect(source, lambda seen: len(seen.markers) == 2)
        assert [text for _, text in seen.markers] == ["caf\ufffd", "after"]


def test_markers_may_come_and_go_without_touching_the_samples(name):
    mua = MuaOutlet(name, N_COLUMNS)
    with source_for(name, f"{name}-m") as source:
        source.connect()
        mua.wait_for_reader()
        seen = Collected()
        for n in (1, 2):

            def said(kind, n=n):
                return lambda seen: seen.kinds_of_events().count(kind) == n

            markers = MarkerOutlet(f"{name}-m")
            collect(source, said("markers-connected"), into=seen)
            mua.push(100)
            markers.push(f"m{n}", mua.time_of(mua.sent - 1))
            collect(
                source, lambda s, n=n: (len(s.markers), len(s.store)) == (n, 100 * n), into=seen
            )
            markers.close()
            collect(source, said("markers-lost"), into=seen)
        assert "markers-missing" in seen.kinds_of_events()
        assert seen.mua.lost == seen.mua.reconnects == 0


def test_a_backlog_is_said_and_caught_up(name):
    there = MuaOutlet(name, N_COLUMNS)
    with source_for(name, max_rows=500) as source:
        source.connect()
        there.wait_for_reader()
        there.start_s = pylsl.local_clock() - 8.0
        there.push(8000)
        seen = collect(source, lambda seen: "backlog" in seen.kinds_of_events())
        assert source.read(0.1).age_s > 1.0
        stop = threading.Event()

        def go_on():
            while not stop.wait(0.005):
                there.push(max(0, int((pylsl.local_clock() - there.start_s) * 1000) - there.sent))

        pusher = threading.Thread(target=go_on)
        pusher.start()
        try:
            rest = Collected()
            end = time.monotonic() + 20
            while "caught-up" not in rest.kinds_of_events():
                assert time.monotonic() < end
                rest.events += source.read(0.1).events
        finally:
            stop.set()
            pusher.join()
    said = [event.text for event in seen.events if event.kind == "backlog"]
    assert len(said) == 1
    assert "s behind" in said[0]


# ---------------------------------------------------------------- what it survives


def test_the_service_may_start_before_the_stream(name):
    with source_for(name, resolve_timeout_s=1.0) as source:
        seen = collect(source, lambda seen: "not-found" in seen.kinds_of_events())
        assert set(seen.states) == {"waiting"}
        there = MuaOutlet(name, N_COLUMNS)
        collect(source, lambda seen: "connected" in seen.kinds_of_events(), into=seen)
        there.push(50)
        collect(source, lambda seen: len(seen.store) == 50, into=seen)
        assert seen.kinds_of_events() == ["not-found", "connected"]


def counted_right(seen: Collected) -> bool:
    """Every received sample lies at its count, from the first one on, to half a sample at each restart."""
    received = ~seen.lost
    offset = seen.counter[received] - np.flatnonzero(received)
    return bool(np.abs(offset - offset[0]).max() <= 1)


def test_a_killed_and_restarted_outlet_is_found_again_and_the_loss_is_exact(name):
    start_s = pylsl.local_clock()
    with source_for(name) as source:
        with device(name, start_s, N_COLUMNS) as first:
            source.connect()
            seen = collect(source, lambda seen: len(seen.store) >= 500)
            first.send_signal(signal.SIGKILL)
            first.wait(10)
            collect(source, lambda seen: seen.states[-1] == "waiting", into=seen)
        n_before = len(seen.store)
        with device(name, start_s, N_COLUMNS):
            collect(source, lambda seen: len(seen.store) >= n_before + 1000, into=seen)
    assert seen.mua.reconnects == 1
    assert seen.mua.lost > 0
    assert seen.mua.duplicated == 0
    assert counted_right(seen)
    kinds = seen.kinds_of_events()
    assert [k for k in kinds if k in ("lost", "reconnected", "gap")] == [
        "lost",
        "reconnected",
        "gap",
    ]
    last = len(seen.store) - 1
    assert source.clock.time_of(last) == pytest.approx(
        start_s + float(seen.counter[last]) / RATE_HZ, abs=1e-4
    )


def test_a_frozen_outlet_is_stalled_and_loses_nothing_when_it_thaws(name):
    start_s = pylsl.local_clock()
    with source_for(name, stale_after_s=0.5) as source, device(name, start_s, N_COLUMNS) as process:
        source.connect()
        seen = collect(source, lambda seen: len(seen.store) >= 300)
        process.send_signal(signal.SIGSTOP)
        collect(source, lambda seen: seen.states[-1] == "stalled", into=seen)
        lost_when_stalled = seen.mua.lost
        n_before = len(seen.store)
        process.send_signal(signal.SIGCONT)
        collect(source, lambda seen: len(seen.store) >= n_before + 1000, into=seen)
        assert seen.states[-1] == "streaming"
    assert lost_when_stalled == 0
    assert (seen.mua.lost, seen.mua.reconnects) == (0, 0)
    assert [k for k in seen.kinds_of_events() if k in ("stalled", "resumed")] == [
        "stalled",
        "resumed",
    ]
    assert counted_right(seen)


def test_an_outlet_that_takes_the_place_of_a_frozen_one_is_used(name):
    start_s = pylsl.local_clock()
    with source_for(name, stale_after_s=0.5) as source, device(name, start_s, N_COLUMNS) as frozen:
        source.connect()
        seen = collect(source, lambda seen: len(seen.store) >= 300)
        frozen.send_signal(signal.SIGSTOP)
        collect(source, lambda seen: seen.states[-1] == "stalled", into=seen)
        n_before = len(seen.store)
        with device(name, start_s, N_COLUMNS):
            collect(source, lambda seen: len(seen.store) >= n_before + 1500, into=seen)
        frozen.send_signal(signal.SIGCONT)
    assert seen.mua.reconnects == 1
    assert counted_right(seen)


def test_a_restart_with_other_columns_is_refused_naming_both_and_the_right_one_is_taken(name):
    first = MuaOutlet(name, N_COLUMNS)
    with source_for(name) as source:
        source.connect()
        first.wait_for_reader()
        first.push(200)
        seen = collect(source, lambda seen: len(seen.store) == 200)
        first.close()
        wrong = outlet(name, 32)
        with pytest.raises(StreamMismatch, match="32 columns.*Before, it was .*64 x float32"):
            collect(source, lambda seen: False, 20.0, into=seen)
        for _ in range(5):
            take(source, seen, 0.1)
        del wrong
        again = MuaOutlet(name, N_COLUMNS, source_id="other-rig")
        collect(source, lambda seen: "reconnected" in seen.kinds_of_events(), into=seen)
        again.push(100)
        collect(source, lambda seen: seen.mua.received == 300, into=seen)
        assert any(
            event.kind == "other-source" and "other-rig" in event.text for event in seen.events
        )
        again.close()


def test_after_a_restart_times_follow_the_new_outlet_at_once(name):
    first = MuaOutlet(name, N_COLUMNS)
    with source_for(name) as source:
        source.connect()
        first.wait_for_reader()
        first.push(3000)
        seen = collect(source, lambda seen: len(seen.store) == 3000)
        first.close()
        # The new device samples 40 % of a sample later than the old one would have.
        again = MuaOutlet(name, N_COLUMNS, start_s=first.time_of(3100) + 0.4e-3)
        collect(source, lambda seen: "reconnected" in seen.kinds_of_events(), into=seen)
        again.push(300)
        collect(source, lambda seen: seen.mua.received == 3300, into=seen)
        assert seen.mua.lost == 100
        assert source.clock.time_of(3399) == pytest.approx(again.time_of(299), abs=5e-5)
        again.close()


def test_a_clock_step_of_the_device_is_said_and_loses_nothing(name):
    there = MuaOutlet(name, N_COLUMNS)
    with source_for(name) as source:
        source.connect()
        there.wait_for_reader()
        there.push(500)
        there.start_s -= 5.0
        there.push(500)
        seen = collect(source, lambda seen: len(seen.store) == 1000)
        assert (seen.mua.clock_steps, seen.mua.lost) == (1, 0)
        assert "clock-step" in seen.kinds_of_events()
    there.close()


def test_after_half_a_second_lost_time_is_right_where_liblsls_own_smoothing_is_not(name):
    there = MuaOutlet(name, N_COLUMNS)
    info = pylsl.resolve_byprop("name", name, 1, 10.0)[0]
    smoothing = pylsl.StreamInlet(info, processing_flags=pylsl.proc_dejitter, as_numpy=True)
    smoothing.open_stream(10.0)
    with source_for(name) as source:
        source.connect()
        there.push(5000)
        there.skip(500)
        there.push(3000)
        seen = collect(source, lambda seen: len(seen.store) == 8500)
        assert seen.mua.lost == 500
        worst_s = max(abs(source.clock.time_of(i) - there.time_of(i)) for i in range(5500, 8500))
    smoothed_s = np.empty(0)
    while len(smoothed_s) < 8000:
        smoothed_s = np.concatenate([smoothed_s, smoothing.pull_chunk(5.0, 1000)[1]])
    # liblsl's regression counts samples: the reason why stamps are smoothed here and not there.
    assert abs(smoothed_s[5000] - there.time_of(5500)) > 0.3
    assert worst_s < 1e-4
    there.close()


def test_closing_twice_is_harmless(name):
    there = outlet(name)
    source = source_for(name)
    source.connect()
    source.close()
    source.close()
    del there
