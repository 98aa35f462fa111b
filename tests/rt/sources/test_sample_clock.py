"""The sample clock against streams whose truth is known; no LSL, no waiting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2g_rt.errors import WindowNotReady
from b2g_rt.sources.ledger import StreamLedger
from b2g_rt.sources.recorded_clock import RecordedClock
from b2g_rt.sources.sample_clock import SampleClock

RATE_HZ = 1000.0
T0 = 5000.0


def counter_rows(index):
    """Column 0 carries the true index of each sample."""
    return np.asarray(index, np.float32)[:, None].copy()


def run_clock(clock, stamps, rows, sizes, *, flush=True):
    placed, at = [], 0
    for size in sizes:
        if at >= len(stamps):
            break
        placed += clock.push(stamps[at : at + size].copy(), rows[at : at + size].copy())
        at += size
    placed += clock.push(stamps[at:].copy(), rows[at:].copy())
    return placed + (clock.flush() if flush else [])


def write(placed):
    """Ledger and store, as the service would write them: index -> counter, NaN where lost."""
    ledger, store = StreamLedger(), np.empty(0)
    for run in placed:
        ledger.add(run)
        snap = ledger.snapshot()
        assert snap.expected == snap.received + snap.lost
        if run.kind == "new":
            assert run.lost_start == len(store)
            store = np.concatenate([store, np.full(run.n_lost, np.nan), run.rows[:, 0]])
        elif run.kind == "late":
            assert np.isnan(store[run.index : run.stop]).all()
            store[run.index : run.stop] = run.rows[:, 0]
    return ledger.snapshot(), store


def pushed_stamps(true_s, sizes, delays_s):
    """Stamp as liblsl does for an outlet that gives none: at the push, earlier samples by the nominal rate."""
    stamps, at, k = np.empty_like(true_s), 0, 0
    while at < len(true_s):
        n = min(sizes[k % len(sizes)], len(true_s) - at)
        push_s = true_s[at + n - 1] + delays_s[k % len(delays_s)]
        stamps[at : at + n] = push_s - np.arange(n - 1, -1, -1) / RATE_HZ
        at, k = at + n, k + 1
    return stamps


def test_regular_stamps_get_consecutive_indices_and_exact_times():
    index = np.arange(5000)
    clock = SampleClock(RATE_HZ)
    ledger, store = write(run_clock(clock, T0 + index / RATE_HZ, counter_rows(index), [10] * 500))
    assert np.array_equal(store, index)
    assert (ledger.expected, ledger.lost) == (5000, 0)
    assert clock.time_of(4321) == pytest.approx(T0 + 4.321, abs=1e-9)
    assert clock.position_of(T0 + 4.3214) == pytest.approx(4321.4, abs=1e-6)


@pytest.mark.parametrize("ppm", [-200, 0, 200])
def test_a_device_off_its_nominal_rate_is_followed_for_an_hour(ppm, rng):
    index = np.arange(3_600_000)
    true_s = T0 + index / RATE_HZ * (1 + ppm * 1e-6)
    stamps = true_s + rng.normal(0, 50e-6, len(index))
    clock, worst = SampleClock(RATE_HZ), 0.0
    for at in range(0, len(index), 1000):
        block = slice(at, at + 1000)
        for run in clock.push(stamps[block], counter_rows(index[block])):
            assert run.kind == "new"
            assert run.n_lost == 0
        if at >= 5000:
            worst = max(worst, abs(clock.time_of(at + 999) - true_s[at + 999]))
    assert clock.stop == len(index)
    assert worst < 50e-6
    assert clock.rate_hz == pytest.approx(RATE_HZ / (1 + ppm * 1e-6), rel=2e-6)


@pytest.mark.parametrize("n_lost", [1, 2, 50, 500, 20_000])
@pytest.mark.parametrize("ppm", [-200, 200])
def test_after_a_gap_time_stays_right_to_a_tenth_of_a_millisecond(n_lost, ppm, rng):
    index = np.concatenate([np.arange(20_000), np.arange(20_000 + n_lost, 60_000 + n_lost)])
    true_s = T0 + index / RATE_HZ * (1 + ppm * 1e-6)
    stamps = true_s + rng.normal(0, 50e-6, len(index))
    clock = SampleClock(RATE_HZ)
    ledger, store = write(run_clock(clock, stamps, counter_rows(index), [10] * 7000))
    assert ledger.lost == n_lost
    assert np.array_equal(store[~np.isnan(store)], index)
    assert np.array_equal(np.flatnonzero(~np.isnan(store)), index)
    for position in (20_000 + n_lost, 21_000 + n_lost, 59_000 + n_lost):
        assert abs(clock.time_of(position) - (T0 + position / RATE_HZ * (1 + ppm * 1e-6))) < 1e-4


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    sizes_a=st.lists(st.integers(1, 400), min_size=1, max_size=60),
    sizes_b=st.lists(st.integers(1, 40), min_size=1, max_size=60),
)
def test_chunk_sizes_change_nothing_bit_for_bit(seed, sizes_a, sizes_b):
    rng = np.random.default_rng(seed)
    stamps, index = messy_stream(rng)
    rows = counter_rows(index)
    results = []
    for sizes in (sizes_a, sizes_b, [1] * len(index)):
        clock = SampleClock(RATE_HZ)
        cycled = sizes * (len(index) // sum(sizes) + 1)
        placed = run_clock(clock, stamps, rows, cycled)
        events = [
            (
                run.kind,
                run.index + k,
                float(run.rows[k, 0]),
                run.n_lost if k == 0 else 0,
                run.step_s if k == 0 else 0,
            )
            for run in placed
            for k in range(len(run))
        ]
        times = [clock.time_of(i) for i in range(0, clock.stop, 97)]
        results.append((events, times, clock.threshold_s, clock.rate_hz))
        write(placed)
    assert results[0] == results[2]
    assert results[1] == results[2]


def messy_stream(rng):
    """Gaps, repeated and swapped chunks, late pushes, steps; jitter small or large."""
    pieces, at, true_s = [], 0, T0
    jitter_s = float(rng.choice([0.0, 50e-6, 2e-3]))
    for _ in range(int(rng.integers(5, 15))):
        n = int(rng.integers(5, 400))
        stamps = true_s + np.arange(n) / RATE_HZ
        kind = rng.integers(0, 7)
        index = np.arange(at, at + n)
        if kind == 1:
            true_s += float(rng.integers(1, 900)) / RATE_HZ
        elif kind == 2:
            stamps[: n // 3] += 0.05
        elif kind == 3 and n >= 20:
            index = np.concatenate([index[:10], index])
            stamps = np.concatenate([stamps[:10], stamps])
        elif kind == 4 and n >= 20:
            order = np.r_[10:20, 0:10, 20:n]
            index, stamps = index[order], stamps[order]
        elif kind == 5:
            true_s += float(rng.choice([-2000.0, 100.0, 3.0]))
        if jitter_s:
            stamps = stamps + rng.normal(0, jitter_s, len(stamps))
        pieces.append((stamps, index))
        at, true_s = at + n, true_s + n / RATE_HZ
    return np.concatenate([p[0] for p in pieces]), np.concatenate([p[1] for p in pieces])


@pytest.mark.parametrize("jitter_s", [0.0, 50e-6])
def test_single_lost_samples_and_lost_packets_close_together_are_placed_exactly(jitter_s, rng):
    kept = np.ones(6000, bool)
    kept[[1500, 1520, 2000]] = False
    kept[3000:3010] = kept[3020:3030] = False
    index = np.flatnonzero(kept)
    stamps = T0 + index / RATE_HZ + rng.normal(0, jitter_s, len(index))
    ledger, store = write(run_clock(SampleClock(RATE_HZ), stamps, counter_rows(index), [7] * 900))
    assert ledger.lost == 23
    assert np.array_equal(np.flatnonzero(~np.isnan(store)), index)


def test_stamps_made_at_push_time_lose_nothing_by_jitter(rng):
    index = np.arange(60_000)
    true_s = T0 + index / RATE_HZ
    stamps = pushed_stamps(true_s, rng.integers(1, 34, 4000), rng.gamma(1.0, 0.002, 4000))
    ledger, store = write(run_clock(SampleClock(RATE_HZ), stamps, counter_rows(index), [10] * 6000))
    assert np.array_equal(store, index)
    assert ledger.duplicated == 0


@pytest.mark.parametrize("late_s", [0.02, 0.05, 0.2, 0.7])
def test_a_late_push_followed_by_normal_stamps_is_no_gap(late_s, rng):
    index = np.arange(20_000)
    true_s = T0 + index / RATE_HZ
    delays = np.abs(rng.normal(0, 1e-3, 4000))
    sizes = rng.integers(1, 34, 4000)
    delays[500] = late_s
    stamps = pushed_stamps(true_s, sizes, delays)
    # The outlet was blocked: nothing is stamped before the late push is over.
    blocked = slice(int(sizes[:500].sum()), int(sizes[:501].sum()))
    late_until = stamps[blocked][-1]
    behind = (np.arange(len(index)) >= blocked.stop) & (true_s < late_until)
    for start in np.flatnonzero(np.diff(np.r_[0, behind.astype(int)]) == 1):
        stop = start + int(behind[start:].argmin())
        at, k = start, 501
        while at < stop:
            n = int(sizes[k])
            stamps[at : at + n] = late_until - np.arange(n - 1, -1, -1) / RATE_HZ
            at, k = at + n, k + 1
    ledger, store = write(run_clock(SampleClock(RATE_HZ), stamps, counter_rows(index), [10] * 2000))
    assert np.array_equal(store, index)
    assert (ledger.lost, ledger.duplicated) == (0, 0)


def test_a_gap_in_a_jittery_stream_is_measured_to_its_jitter(rng):
    index = np.concatenate([np.arange(20_000), np.arange(20_300, 40_000)])
    true_s = T0 + index / RATE_HZ
    stamps = np.concatenate(
        [
            pushed_stamps(part, rng.integers(1, 34, 4000), rng.uniform(0, 0.005, 4000))
            for part in (true_s[:20_000], true_s[20_000:])
        ]
    )
    clock = SampleClock(RATE_HZ)
    ledger, store = write(run_clock(clock, stamps, counter_rows(index), [10] * 4000))
    assert abs(ledger.lost - 300) <= 3
    assert ledger.received == len(index)
    assert ledger.duplicated == 0
    position = clock.position_of(T0 + 39.0)
    assert abs(store[round(position)] - 39_000) <= 6


def test_a_repeated_chunk_is_dropped_and_counted(rng):
    index = np.concatenate([np.arange(3000), np.arange(2990, 6000)])
    stamps = T0 + index / RATE_HZ
    ledger, store = write(run_clock(SampleClock(RATE_HZ), stamps, counter_rows(index), [10] * 700))
    assert np.array_equal(store, np.arange(6000))
    assert (ledger.duplicated, ledger.lost, ledger.received) == (10, 0, 6000)


def test_a_chunk_that_comes_after_its_successors_fills_its_slots():
    order = np.r_[0:3000, 3010:3030, 3000:3010, 3030:6000]
    ledger, store = write(
        run_clock(SampleClock(RATE_HZ), T0 + order / RATE_HZ, counter_rows(order), [10] * 700)
    )
    assert np.array_equal(store, np.arange(6000))
    assert (ledger.late, ledger.lost, ledger.duplicated) == (10, 0, 0)


def test_a_chunk_that_comes_after_its_loss_was_settled_fills_its_slots():
    order = np.r_[0:3000, 3010:3200, 3000:3010, 3200:6000]
    ledger, store = write(
        run_clock(SampleClock(RATE_HZ), T0 + order / RATE_HZ, counter_rows(order), [10] * 700)
    )
    assert np.array_equal(store, np.arange(6000))
    assert (ledger.late, ledger.lost, ledger.duplicated) == (10, 0, 0)


@pytest.mark.parametrize("step_s", [-500.0, -1.5, 100.0, 2e5])
def test_a_clock_step_loses_nothing_and_old_times_stay(step_s):
    index = np.arange(6000)
    stamps = T0 + index / RATE_HZ
    stamps[3000:] += step_s
    clock = SampleClock(RATE_HZ)
    placed = run_clock(clock, stamps, counter_rows(index), [10] * 600)
    ledger, store = write(placed)
    assert np.array_equal(store, index)
    assert (ledger.clock_steps, ledger.lost) == (1, 0)
    assert [run.step_s for run in placed if run.step_s] == [pytest.approx(step_s)]
    assert clock.time_of(2000) == pytest.approx(T0 + 2.0, abs=1e-6)
    assert clock.time_of(5000) == pytest.approx(T0 + 5.0 + step_s, abs=1e-6)
    assert clock.position_of(T0 + 5.0 + step_s) == pytest.approx(5000, abs=1e-3)
    assert clock.position_of(T0 + 1.0) == pytest.approx(1000, abs=1e-3)


@pytest.mark.parametrize("pause_s", [0.0003, 0.1, 3.0004, 200.0])
def test_after_a_reconnect_the_gap_is_measured_and_the_new_phase_is_followed(pause_s):
    clock = SampleClock(RATE_HZ)
    first = np.arange(3000)
    placed = clock.push(T0 + first / RATE_HZ, counter_rows(first))
    placed += clock.restart_hint()
    again_s = T0 + 3.0 + pause_s + np.arange(3000) / RATE_HZ
    placed += clock.push(again_s, counter_rows(first + 3000))
    ledger, _ = write(placed)
    assert ledger.lost == round(pause_s * RATE_HZ)
    assert ledger.clock_steps == 0
    assert sum(run.restart for run in placed) == 1
    assert clock.time_of(clock.stop - 1) == pytest.approx(again_s[-1], abs=1e-6)


def test_what_is_held_at_the_end_is_placed():
    index = np.concatenate([np.arange(3000), np.arange(3300, 3310)])
    clock = SampleClock(RATE_HZ)
    placed = run_clock(clock, T0 + index / RATE_HZ, counter_rows(index), [10] * 400, flush=False)
    assert clock.n_pending == 10
    ledger, store = write(placed + clock.flush())
    assert (ledger.lost, ledger.received, clock.n_pending) == (300, 3010, 0)
    assert store[3300] == 3300


def test_an_outlet_that_stalls_and_catches_up_slowly_loses_nothing():
    index = np.arange(20_000)
    stamps = T0 + index / RATE_HZ
    behind = 3.0 - 0.5 * (index - 10_000) / RATE_HZ
    stamps = np.where((index >= 10_000) & (behind > 0), stamps + behind, stamps)
    ledger, store = write(run_clock(SampleClock(RATE_HZ), stamps, counter_rows(index), [10] * 2000))
    assert np.array_equal(store, index)
    assert (ledger.lost, ledger.duplicated) == (0, 0)


def test_a_stamp_that_is_no_number_takes_its_neighbours_time():
    index = np.arange(3000)
    stamps = T0 + index / RATE_HZ
    stamps[[500, 1000, 1001]] = np.nan
    stamps[1500] = np.inf
    ledger, store = write(run_clock(SampleClock(RATE_HZ), stamps, counter_rows(index), [10] * 300))
    assert np.array_equal(store, index)
    assert ledger.lost == 0


def test_months_of_uptime_cost_no_precision():
    index = np.arange(6000)
    start_s = 3e7
    clock = SampleClock(RATE_HZ)
    clock._axis.start(3_000_000_000, start_s)
    clock.push(start_s + index / RATE_HZ, counter_rows(index))
    assert clock.time_of(3_000_005_000) == pytest.approx(start_s + 5.0, abs=1e-7)


def test_before_the_first_sample_the_clock_says_so():
    with pytest.raises(WindowNotReady, match="no sample yet"):
        SampleClock(RATE_HZ).position_of(1.0)


def test_recorded_indices_are_kept_and_fill_what_was_lost():
    index = np.r_[100:400, 700:900, 500:510, 900:1000]
    clock = RecordedClock(RATE_HZ)
    placed = []
    for at in range(0, len(index), 33):
        part = index[at : at + 33]
        placed += clock.place(part, T0 + part / RATE_HZ, counter_rows(part))
    ledger = StreamLedger()
    for run in placed:
        assert np.array_equal(run.rows[:, 0], np.arange(run.index, run.stop))
        ledger.add(run)
    snap = ledger.snapshot()
    assert (snap.received, snap.lost, snap.late, clock.stop) == (len(index), 290, 10, 1000)
    assert clock.time_of(800) == pytest.approx(T0 + 0.8, abs=1e-6)


@pytest.mark.parametrize("jitter_s", [0.0, 2e-3])
def test_a_first_push_that_came_late_costs_no_sample(jitter_s, rng):
    index = np.arange(6000)
    stamps = T0 + index / RATE_HZ + np.abs(rng.normal(0, jitter_s, len(index)))
    stamps[:33] += 0.08
    ledger, store = write(run_clock(SampleClock(RATE_HZ), stamps, counter_rows(index), [10] * 600))
    assert np.array_equal(store, index)
    assert (ledger.duplicated, ledger.lost) == (0, 0)


@pytest.mark.parametrize("late_s", [0.08, 0.3])
def test_what_a_false_gap_declared_lost_is_filled_by_the_samples_themselves(late_s):
    # Three pushes in a row that are late alike look like a gap, until the stamps come back.
    index = np.arange(6000)
    stamps = T0 + index / RATE_HZ
    stamps[3000:3100] += late_s
    ledger, store = write(run_clock(SampleClock(RATE_HZ), stamps, counter_rows(index), [10] * 600))
    received = store[~np.isnan(store)]
    assert sorted(received) == index.tolist()
    assert ledger.received == len(index)
    assert ledger.duplicated == 0


def test_samples_stamped_one_by_one_when_their_packet_came_lose_nothing(rng):
    index = np.arange(30_000)
    true_s = T0 + index / RATE_HZ
    stamps, at = true_s.copy(), 0
    while at < len(index):
        n = int(rng.integers(1, 65))
        stamps[at : at + n] = (
            true_s[min(at + n, len(index)) - 1] + np.arange(len(true_s[at : at + n])) * 1e-5
        )
        at += n
    ledger, store = write(run_clock(SampleClock(RATE_HZ), stamps, counter_rows(index), [10] * 3000))
    assert np.array_equal(store, index)
    assert ledger.lost == 0


@pytest.mark.parametrize("off", [-1e-2, -1e-3, 1e-3, 1e-2])
@pytest.mark.parametrize("jitter_s", [0.0, 50e-6, 2e-3])
def test_a_device_far_off_its_declared_rate_loses_nothing_by_that(off, jitter_s, rng):
    index = np.arange(30_000)
    stamps = T0 + index / RATE_HZ * (1 + off) + rng.normal(0, jitter_s, len(index))
    clock = SampleClock(RATE_HZ)
    ledger, store = write(run_clock(clock, stamps, counter_rows(index), [10] * 3000))
    assert np.array_equal(store, index)
    assert (ledger.lost, ledger.duplicated) == (0, 0)
    assert clock.time_of(29_000) == pytest.approx(T0 + 29.0 * (1 + off), abs=1e-3)


def test_a_repeated_chunk_in_a_jittery_stream_is_known_by_its_values(rng):
    index = np.concatenate([np.arange(3000), np.arange(2990, 6000)])
    stamps = T0 + index / RATE_HZ + rng.normal(0, 2e-4, len(index))
    stamps[3000:3010] = stamps[2990:3000]
    ledger, store = write(run_clock(SampleClock(RATE_HZ), stamps, counter_rows(index), [10] * 700))
    assert np.array_equal(store, np.arange(6000))
    assert (ledger.duplicated, ledger.received) == (10, 6000)


@pytest.mark.parametrize(("n_missing", "n_lost"), [(5, 0), (19, 0), (21, 21), (30, 30)])
def test_a_threshold_given_by_the_user_is_the_only_one(n_missing, n_lost):
    index = np.r_[0:3000, 3000 + n_missing : 6000]
    clock = SampleClock(RATE_HZ, gap_threshold_s=0.02)
    ledger, _ = write(run_clock(clock, T0 + index / RATE_HZ, counter_rows(index), [10] * 600))
    assert clock.threshold_s == 0.02
    assert ledger.lost == n_lost


def test_rows_with_old_stamps_and_new_values_are_kept_and_their_clock_is_said_to_have_stepped():
    index = np.arange(6000)
    stamps = T0 + index / RATE_HZ
    stamps[3000:] -= 0.3
    placed = run_clock(SampleClock(RATE_HZ), stamps, counter_rows(index), [10] * 600)
    ledger, store = write(placed)
    assert np.array_equal(store, index)
    assert (ledger.clock_steps, ledger.duplicated) == (1, 0)


def test_one_wild_stamp_beside_a_gap_is_neither_a_repeat_nor_a_clock_step():
    index = np.r_[0:3000, 3020:6000]
    stamps = T0 + index / RATE_HZ
    stamps[3005] -= 0.5
    placed = run_clock(SampleClock(RATE_HZ), stamps, counter_rows(index), [10] * 600)
    ledger, store = write(placed)
    assert np.array_equal(np.flatnonzero(~np.isnan(store)), index)
    assert (ledger.lost, ledger.duplicated, ledger.clock_steps) == (20, 0, 0)


def test_a_rough_start_does_not_keep_the_rate_from_being_learnt(rng):
    index = np.arange(6000)
    true_s = T0 + index / RATE_HZ * (1 + 4e-4)
    stamps = true_s + rng.normal(0, 20e-6, len(index))
    stamps[:100] += rng.normal(0, 4e-3, 100)
    clock = SampleClock(RATE_HZ)
    ledger, store = write(run_clock(clock, stamps, counter_rows(index), [10] * 3000))
    assert np.array_equal(store, index)
    assert ledger.lost == 0
    assert clock.rate_hz == pytest.approx(RATE_HZ / (1 + 4e-4), rel=6e-5)


@pytest.mark.parametrize("seed", range(6, 12))
def test_an_outlet_that_hiccups_and_catches_up_in_bursts_loses_nothing(seed):
    rng = np.random.default_rng(seed)
    index, sizes = np.arange(20_000), rng.integers(1, 34, 3000)
    stamps, at, free_s, k = np.empty(len(index)), 0, 0.0, 0
    while at < len(index):
        n = min(int(sizes[k]), len(index) - at)
        push_s = max((at + n - 1) / RATE_HZ, free_s) + abs(rng.normal(0, 1e-3))
        if rng.random() < 0.01:
            push_s += rng.uniform(0.01, 0.15)
        stamps[at : at + n] = T0 + push_s - np.arange(n - 1, -1, -1) / RATE_HZ
        at, free_s, k = at + n, push_s, k + 1
    ledger, store = write(run_clock(SampleClock(RATE_HZ), stamps, counter_rows(index), [10] * 2000))
    assert np.array_equal(store, index)
    assert (ledger.lost, ledger.duplicated, ledger.clock_steps) == (0, 0, 0)
