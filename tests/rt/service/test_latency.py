from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from b2g_rt.service.latency import LatencyMeter


def test_nothing_measured_is_nothing_said():
    assert LatencyMeter().session() is None
    assert LatencyMeter().recent() is None


@given(st.lists(st.floats(1e-5, 100.0), min_size=1, max_size=300))
def test_quantiles_of_the_session_are_within_two_percent(durations_s):
    meter = LatencyMeter()
    for d in durations_s:
        meter.add(d)
    got = meter.session()
    ms = np.sort(durations_s) * 1000
    for share, value in ((0.5, got.p50), (0.99, got.p99)):
        exact = ms[int(np.ceil(share * len(ms))) - 1]
        assert value == pytest.approx(exact, rel=0.021)
    assert got.max == pytest.approx(ms[-1])


def test_recent_forgets_what_is_old():
    meter = LatencyMeter(n_recent=10)
    for _ in range(100):
        meter.add(1.0)
    for _ in range(10):
        meter.add(0.001)
    assert meter.recent().max == pytest.approx(1.0)
    assert meter.session().max == pytest.approx(1000.0)


def test_a_clock_that_still_settles_gives_no_negative_durations():
    meter = LatencyMeter()
    meter.add(-0.5)
    assert meter.session().max == 0
