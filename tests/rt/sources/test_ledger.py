"""The ledger adds up after every step."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from b2g_rt.contracts.messages import Ledger
from b2g_rt.sources.ledger import StreamLedger
from b2g_rt.sources.placed import Placed


def run(index, kind, n, n_lost=0, step_s=0.0):
    return Placed(index, kind, np.zeros(n), np.zeros((n, 1), np.float32), n_lost, step_s)


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 80), st.booleans(), st.booleans())))
def test_expected_is_received_plus_lost_and_is_the_clocks_stop(steps):
    ledger, stop, n_rows = StreamLedger(), 0, 0
    for n, n_lost, fills, repeats in steps:
        ledger.add(run(stop + n_lost, "new", n, n_lost))
        first_lost, stop, n_rows = stop, stop + n_lost + n, n_rows + n
        if fills and n_lost:
            ledger.add(run(first_lost, "late", n_lost))
            n_rows += n_lost
        if repeats:
            ledger.add(run(stop - n, "duplicate", n))
            n_rows += n
        now = ledger.snapshot()
        assert now.expected == now.received + now.lost == stop
        assert now.received + now.duplicated == n_rows


def test_reconnects_clock_steps_and_markers_are_counted():
    ledger = StreamLedger()
    ledger.add(run(0, "new", 10, step_s=-3.0))
    ledger.add_reconnect()
    assert ledger.snapshot() == Ledger(expected=10, received=10, reconnects=1, clock_steps=1)
    markers = StreamLedger()
    markers.add_markers(3)
    assert markers.snapshot() == Ledger(expected=3, received=3)
