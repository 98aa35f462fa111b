"""The first push of a stream often comes late: nothing may be taken for repeated because of it."""

from __future__ import annotations

import numpy as np
import pytest

from b2g_rt.sources.sample_clock import SampleClock


@pytest.mark.parametrize("late_s", [0.03, 0.09, 0.4])
def test_a_late_first_push_costs_no_sample_and_corrects_the_clock(rng, late_s):
    clock, placed, sent = SampleClock(1000.0), [], 0
    while sent < 3000:
        n = int(rng.integers(1, 34))
        stamp = 500 + (sent + n) / 1000 + 0.0005 * rng.random() + (late_s if sent == 0 else 0.0)
        stamps = stamp - np.arange(n - 1, -1, -1) / 1000
        rows = np.arange(sent, sent + n, dtype=np.float32)[:, None]
        placed += clock.push(stamps, rows)
        sent += n
    assert {run.kind for run in placed} == {"new"}
    assert all(run.index == run.rows[0, 0] and run.n_lost == 0 for run in placed)
    # Sample i is stamped at 500 + (i + 1) / 1000.
    assert clock.time_of(2000) == pytest.approx(502.001, abs=0.002)


def test_repeated_chunks_of_regular_stamps_are_still_duplicates():
    clock = SampleClock(1000.0)
    stamps = 500 + np.arange(1000) / 1000
    rows = np.arange(1000, dtype=np.float32)[:, None]
    placed = clock.push(stamps[:500], rows[:500])
    placed += clock.push(stamps[490:], rows[490:])
    kinds = {kind: sum(len(r) for r in placed if r.kind == kind) for kind in ("new", "duplicate")}
    assert kinds == {"new": 1000, "duplicate": 10}
