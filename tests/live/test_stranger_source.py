"""A stranger's device at the source: stamps made at push time, a gap, a restart; placed by its own counter."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid

import numpy as np
import pytest

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.sources.lsl_inlet import LslSource
from b2g_rt.sources.stream_query import StreamQuery
from tests.checks_sources import collect
from tests.live import stranger

pytestmark = [pytest.mark.live, pytest.mark.slow]

CHANNELS = ChannelMap(stranger.N_COLUMNS, (ArraySlot(array=0, roi="V1", first=0),))


def test_a_strangers_samples_are_counted_exactly_and_placed_within_the_jitter_of_its_pushes():
    name = uuid.uuid4().hex[:8]
    mua, markers = f"mua-{name}", f"markers-{name}"
    process = subprocess.Popen(
        [sys.executable, stranger.__file__, mua, markers],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
    )
    query = StreamQuery(markers, key="streams.markers")
    try:
        with LslSource(StreamQuery(mua), query, CHANNELS, stranger.RATE_HZ) as source:
            source.connect()
            end = stranger.END_S * stranger.RATE_HZ
            seen = collect(
                source, lambda seen: len(seen.store) and np.nanmax(seen.counter) >= end - 50
            )
            seen = collect(source, lambda s: len(s.markers) == len(stranger.MARKERS_S), into=seen)
            jitter_s = source.clock.jitter_s or 0.0
    finally:
        out, _ = process.communicate("", timeout=20)
    sent = json.loads(out)
    received = np.flatnonzero(~seen.lost)
    counter = seen.counter[received].astype(int)

    # Nothing twice, nothing out of order, nothing dropped that arrived.
    assert (np.diff(counter) > 0).all()
    assert (seen.mua.duplicated, seen.mua.late, seen.mua.reconnects) == (0, 0, 1)
    assert seen.n_rows == seen.mua.received <= sent["n_sent"]

    # The gap and the restart, and nothing else, are losses.
    jumps = np.flatnonzero(np.diff(received) > 1)
    true_jumps = np.flatnonzero(np.diff(counter) > 1)
    assert jumps.tolist() == true_jumps.tolist()
    gap = int(np.diff(counter)[true_jumps[0]])
    assert 250 <= gap <= 350
    drift = (received - received[0]) - (counter - counter[0])
    print(f"jitter {1000 * jitter_s:.2f} ms, placed within {np.abs(drift).max()} samples")  # noqa: T201
    assert np.abs(drift).max() <= 25

    # Markers name times of the device: their places lie among the samples of those times.
    for (time_s, text), position in zip(seen.markers, seen.positions, strict=True):
        true_count = int(text.removeprefix("face-")) * 100
        nearest = int(np.abs(received - position).argmin())
        if abs(received[nearest] - position) < 1:
            assert abs(counter[nearest] - true_count) <= 60
        assert source.clock.time_of(position) == pytest.approx(time_s, abs=0.02)
