from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from b2g_rt.display.service_clock import DRIFT, ServiceClock

TRUE_OFFSET_S = -5000.0


def _arrivals(delays_s, step_s=0.025):
    for i, delay_s in enumerate(delays_s):
        published_s = 9000.0 + i * step_s
        yield published_s, published_s + TRUE_OFFSET_S + delay_s


@given(st.lists(st.floats(0, 3), min_size=1, max_size=60))
def test_age_is_never_overstated_and_understated_by_the_fastest_passage_at_most(delays_s):
    clock = ServiceClock()
    for published_s, arrival_s in _arrivals(delays_s):
        clock.observe(published_s, arrival_s)
    drift_s = DRIFT * (len(delays_s) * 0.025 + sum(delays_s))
    assert clock.offset_s is not None
    error_s = clock.offset_s - TRUE_OFFSET_S
    assert -1e-9 <= error_s <= min(delays_s) + drift_s + 1e-9


def test_messages_held_up_by_a_stall_do_not_look_new():
    clock = ServiceClock()
    for published_s, arrival_s in _arrivals([0.0002] * 40):
        clock.observe(published_s, arrival_s)
    clock.observe(9001.0, 9061.0 + TRUE_OFFSET_S)  # a minute late
    assert clock.offset_s == pytest.approx(TRUE_OFFSET_S, abs=0.02)


def test_another_run_of_the_service_may_have_another_clock():
    clock = ServiceClock()
    clock.observe(9000.0, 4000.0)
    clock.forget()
    assert clock.offset_s is None
    clock.observe(3.0, 4001.0)
    assert clock.offset_s == 3998.0
