"""What the LSL source costs: idle, and at 1024 columns beside a bare pylsl loop in the same run."""

from __future__ import annotations

import resource
import time
import uuid

import numpy as np
import pylsl
import pytest

from b2g_rt.contracts.channels import brain2gan_channels
from b2g_rt.sources.lsl_inlet import LslSource
from b2g_rt.sources.stream_query import StreamQuery
from tests.live.counter_device import device

pytestmark = [pytest.mark.live, pytest.mark.slow]

N_COLUMNS = 1024
MEASURE_S = 4.0
MAX_EXTRA_POINTS = 3.0
MAX_IDLE_POINTS = 3.0


def cpu_s():
    """CPU time of this process, liblsl's threads included, s."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def points(step):
    """Percent of one core that calling ``step`` for a while takes."""
    started, cpu = time.monotonic(), cpu_s()
    while time.monotonic() < started + MEASURE_S:
        step()
    return 100 * (cpu_s() - cpu) / (time.monotonic() - started)


def bare_points(name):
    info = pylsl.resolve_byprop("name", name, 1, 10.0)[0]
    inlet = pylsl.StreamInlet(info, recover=False, processing_flags=pylsl.proc_clocksync)
    inlet.open_stream(10.0)
    inlet.time_correction(10.0)
    buffer = np.empty((1024, N_COLUMNS), np.float32)

    def step():
        inlet.pull_chunk(0.1, max_samples=10, dest_obj=buffer)

    step()
    return points(step)


def source_points(name):
    channels = brain2gan_channels(N_COLUMNS)
    with LslSource(StreamQuery(name), None, channels, 1000.0) as source:
        source.connect()
        source.read(0.1)
        cost = points(lambda: source.read(0.1))
        assert source.read(0.1).mua.lost == 0
    return cost


def test_at_1024_columns_reading_costs_little_more_than_a_bare_receive_loop():
    name = f"mua-{uuid.uuid4().hex[:8]}"
    with device(name, pylsl.local_clock(), N_COLUMNS):
        pairs = [(bare_points(name), source_points(name)) for _ in range(3)]
    # The least of each: other work on the machine only ever adds.
    bare, ours = (min(column) for column in zip(*pairs, strict=True))
    print(f"receiving 1024 columns at 1 kHz: bare {bare:.1f} %, source {ours:.1f} % of a core")  # noqa: T201
    assert ours - bare < MAX_EXTRA_POINTS


def test_waiting_for_a_stream_and_for_markers_hardly_costs_anything():
    name = uuid.uuid4().hex[:8]
    query = StreamQuery(f"markers-{name}", key="streams.markers")
    with LslSource(
        StreamQuery(f"mua-{name}"), query, brain2gan_channels(N_COLUMNS), 1000.0
    ) as source:
        idle = points(lambda: source.read(0.1))
    print(f"waiting without a stream: {idle:.1f} % of a core")  # noqa: T201
    assert idle < MAX_IDLE_POINTS


def test_a_silent_stream_hardly_costs_anything():
    name = f"mua-{uuid.uuid4().hex[:8]}"
    info = pylsl.StreamInfo(name, "MUA", N_COLUMNS, 1000.0, "float32", "silent")
    outlet = pylsl.StreamOutlet(info)
    with LslSource(StreamQuery(name), None, brain2gan_channels(N_COLUMNS), 1000.0) as source:
        source.connect()
        idle = points(lambda: source.read(0.1))
        assert source.read(0.1).state == "stalled"
    print(f"connected to a silent stream: {idle:.1f} % of a core")  # noqa: T201
    assert idle < MAX_IDLE_POINTS
    del outlet
