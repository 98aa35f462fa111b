"""Markers from real outlets: stamps that cannot be true, and outlets that freeze and are replaced."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager

import pylsl
import pytest

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.sources.clock_correction import ClockCorrection
from b2g_rt.sources.lsl_inlet import LslSource
from b2g_rt.sources.stream_query import StreamQuery
from tests.checks_sources import Collected, collect, take
from tests.live.outlets import MarkerOutlet, MuaOutlet

pytestmark = pytest.mark.live

CHANNELS = ChannelMap(64, (ArraySlot(array=0, roi="V1", first=0),))
# Pushes each line of its stdin now.
_PROGRAM = """
import sys, pylsl
name, source_id = sys.argv[1:]
outlet = pylsl.StreamOutlet(pylsl.StreamInfo(name, "Markers", 1, 0.0, "string", source_id))
print("ready", flush=True)
for line in sys.stdin:
    outlet.push_sample([line.strip()])
"""


@pytest.fixture
def name():
    return f"mua-{uuid.uuid4().hex[:8]}"


def source_for(name):
    return LslSource(
        StreamQuery(name), StreamQuery(f"{name}-m", key="streams.markers"), CHANNELS, 1000.0
    )


@contextmanager
def marker_program(name, source_id="rig-markers"):
    """Run a program with a marker outlet; yields (process, say)."""
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, name, source_id],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def say(text):
        process.stdin.write(f"{text}\n")
        process.stdin.flush()

    try:
        assert process.stdout.readline() == "ready\n"
        yield process, say
    finally:
        process.kill()
        process.wait(10)
        process.stdin.close()
        process.stdout.close()


@contextmanager
def connected(name):
    """Yield (source, MUA outlet, marker outlet), all connected, with 500 samples sent."""
    mua, markers = MuaOutlet(name, 64), MarkerOutlet(f"{name}-m")
    with source_for(name) as source:
        source.connect()
        mua.wait_for_reader()
        markers.wait_for_reader()
        mua.push(500)
        yield source, mua, markers
    mua.close()
    markers.close()


@pytest.mark.parametrize("stamp", [math.nan, math.inf, -math.inf, -1e19, 1e19, 1.7e9, -30.0])
def test_a_marker_with_an_impossible_stamp_is_said_and_the_next_good_one_is_placed(name, stamp):
    with connected(name) as (source, mua, markers):
        markers.push("bad", stamp)
        markers.push("bad", stamp)
        markers.push("good", mua.time_of(100))
        seen = collect(source, lambda seen: seen.markers and len(seen.store) == 500)
        assert [text for _, text in seen.markers] == ["good"]
        assert seen.positions == pytest.approx([100.0], abs=1e-3)
        said = [event for event in seen.events if event.kind == "markers-clock"]
        assert [event.level for event in said] == ["error"]
        assert f"'{name}-m'" in said[0].text
        assert "marker 'bad' stamped" in said[0].text
        assert seen.marker_ledger.received == 3


def test_impossible_stamps_before_the_first_sample_are_held_back_too(name):
    mua, markers = MuaOutlet(name, 64), MarkerOutlet(f"{name}-m")
    with source_for(name) as source:
        seen = collect(source, lambda seen: "markers-connected" in seen.kinds_of_events())
        markers.push("bad", math.nan)
        collect(source, lambda seen: "markers-clock" in seen.kinds_of_events(), into=seen)
        assert seen.markers == []
    mua.close()
    markers.close()


def test_on_the_sessions_own_clock_markers_far_ahead_are_placed(name):
    info = pylsl.StreamInfo(name, "MUA", 64, 1000.0, "float32", "player")
    info.desc().append_child("b2g").append_child_value("clock", "session")
    mua, markers = pylsl.StreamOutlet(info), MarkerOutlet(f"{name}-m")
    with source_for(name) as source:
        source.connect()
        markers.wait_for_reader()
        markers.push("far", pylsl.local_clock() + 300.0)
        seen = collect(source, lambda seen: seen.markers)
        assert "markers-clock" not in seen.kinds_of_events()
    del mua
    markers.close()


def test_a_marker_clock_that_could_not_be_compared_is_said(name, monkeypatch):
    # Stands for a host that does not answer: on one machine there is no such host.
    monkeypatch.setattr(ClockCorrection, "start", lambda self, timeout_s: False)
    markers = MarkerOutlet(f"{name}-m")
    with source_for(name) as source:
        seen = collect(source, lambda seen: "markers-connected" in seen.kinds_of_events())
        unknown = [event.text for event in seen.events if event.kind == "clock-unknown"]
        assert len(unknown) == 1
        assert unknown[0].startswith("streams.markers: the clock of host ")
    markers.close()


@pytest.mark.slow
def test_a_marker_outlet_that_takes_the_place_of_a_frozen_one_is_used(name):
    mua = MuaOutlet(name, 64)
    with source_for(name) as source, marker_program(f"{name}-m") as (frozen, say):
        source.connect()
        mua.wait_for_reader()
        mua.push(100)
        say("before")
        seen = collect(source, lambda seen: len(seen.markers) == 1)
        frozen.send_signal(signal.SIGSTOP)
        with marker_program(f"{name}-m") as (_, say_again):
            collect(
                source, lambda s: s.kinds_of_events().count("markers-connected") == 2, into=seen
            )
            say_again("after")
            collect(source, lambda seen: len(seen.markers) == 2, into=seen)
            # Thawed, the old one is not gone back to.
            frozen.send_signal(signal.SIGCONT)
            settle(source, seen)
        assert [text for _, text in seen.markers] == ["before", "after"]
        lost = [event for event in seen.events if event.kind == "markers-lost"]
        assert len(lost) == 1
        assert "is silent and another outlet took its place" in lost[0].text
    mua.close()


@pytest.mark.slow
def test_a_silent_outlet_is_kept_beside_one_of_another_device(name):
    mua, markers = MuaOutlet(name, 64), MarkerOutlet(f"{name}-m")
    with source_for(name) as source:
        source.connect()
        other = MarkerOutlet(f"{name}-m", source_id="other-rig")
        seen = settle(source, Collected())
        markers.push("still here", pylsl.local_clock())
        collect(source, lambda seen: seen.markers, into=seen)
        assert "markers-lost" not in seen.kinds_of_events()
        other.close()
    mua.close()
    markers.close()


def settle(source, seen, for_s=6.0):
    """Read for longer than it takes to notice another outlet."""
    end = time.monotonic() + for_s
    while time.monotonic() < end:
        take(source, seen, 0.1)
    return seen
