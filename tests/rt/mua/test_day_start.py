"""A new day: other gains, other offsets, and how soon running normalisation has found them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from b2g_rt.contracts.bundle import Normalisation
from b2g_rt.mua.envelope import MuaEnvelope
from b2g_rt.mua.filter_design import MuaSpec
from b2g_rt.mua.normaliser import Normaliser

MEAN, SD = np.array([10.0, 20.0, 5.0]), np.array([2.0, 4.0, 1.0])
SPEC = MuaSpec()


def normaliser(kind: str = "running", block: int = 100, constant_s: float = 300.0) -> Normaliser:
    spec = Normalisation.model_validate(
        {"kind": kind, "block_samples": block, "time_constant_s": constant_s}
    )
    return Normaliser(spec, MEAN, SD, 1000.0)


def another_day(n: int, seed: int = 3) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).standard_normal((n, 3))
    return (noise * SD * [0.5, 1.0, 2.0] + MEAN + [20.0, 0.0, -3.0]).astype(np.float32)


def test_after_the_first_blocks_the_day_s_own_mean_and_sd_are_in_force():
    raw = another_day(5000)
    day = normaliser()
    day.start_day()
    day.push(raw)
    np.testing.assert_allclose(day.mean, raw.mean(axis=0, dtype=np.float64))
    np.testing.assert_allclose(np.sqrt(day.variance), raw.std(axis=0, dtype=np.float64))


def test_without_a_day_s_start_the_time_constant_alone_rules():
    raw = another_day(5000)
    slow = normaliser()
    slow.push(raw)
    share = (slow.mean - MEAN) / (raw.mean(axis=0) - MEAN)
    assert share[0] == pytest.approx(1 - np.exp(-5 / 300), rel=0.01)


def test_until_the_first_block_is_full_the_old_statistics_hold():
    raw = another_day(150)
    day = normaliser()
    day.start_day()
    z = day.push(raw)
    np.testing.assert_allclose(z[:100], (raw[:100] - MEAN) / SD, rtol=1e-5, atol=1e-5)
    assert np.abs(z[100:, 0].mean()) < 1


def test_old_statistics_count_for_the_seconds_that_they_are_given():
    raw = another_day(3000)
    day = normaliser()
    day.start_day(weight_s=1.0)
    day.push(raw)
    np.testing.assert_allclose(day.mean, (3 * raw.mean(axis=0, dtype=np.float64) + MEAN) / 4)


def test_late_in_the_day_the_time_constant_rules_again():
    raw = np.concatenate([another_day(20_000), another_day(20_000) + np.float32(5)])
    day = normaliser(constant_s=2.0)
    day.start_day()
    day.push(raw)
    np.testing.assert_allclose(day.mean, raw[-10_000:].mean(axis=0, dtype=np.float64), atol=0.3)


def test_a_channel_that_was_silent_at_first_starts_its_own_day_later():
    raw = another_day(3000)
    raw[:1500, 1] = np.nan
    day = normaliser()
    day.start_day()
    day.push(raw)
    np.testing.assert_allclose(day.mean[1], raw[1500:, 1].mean(dtype=np.float64))
    np.testing.assert_array_equal(day.evidence, [30, 15, 30])


@pytest.mark.parametrize("kind", ["running", "frozen"])
def test_known_statistics_are_in_force_at_once(kind):
    raw = another_day(100)
    day = normaliser(kind)
    mean, sd = raw.mean(axis=0, dtype=np.float64), raw.std(axis=0, dtype=np.float64)
    day.anchor(mean, sd)
    np.testing.assert_allclose(day.push(raw), (raw - mean) / sd, atol=1e-4)
    day.push(raw)
    np.testing.assert_allclose(day.mean, mean)


def test_a_day_s_start_is_a_sample_not_a_chunk():
    raw = another_day(1000)
    runs = []
    for size in (1000, 7):
        day = normaliser(constant_s=1.0)
        parts = [day.push(raw[a : min(a + size, 330)]) for a in range(0, 330, size)]
        day.start_day()
        parts += [day.push(raw[a : a + size]) for a in range(330, 1000, size)]
        runs.append(np.concatenate(parts))
    np.testing.assert_array_equal(runs[0], runs[1])


@given(
    at=st.integers(0, 2999),
    cuts=st.lists(st.integers(7, 900), min_size=1, max_size=8),
    kind=st.sampled_from(["step", "nan", "spike"]),
)
@settings(max_examples=20, deadline=None)
def test_no_voltage_sample_changes_what_was_put_out_before_it(at, cuts, kind):
    """From voltage to z units, filters and a day's normalisation together, in chunks of any size."""
    raw = np.random.default_rng(1).standard_normal((3000, 3)).astype(np.float32) * 20
    changed = raw.copy()
    if kind == "nan":
        changed[at:] = np.nan
    else:
        changed[at:] = changed[at:] + 3e3 if kind == "step" else changed[at:] * 50

    def run(voltage: NDArray[np.float32]) -> list[tuple[int, NDArray[np.float32]]]:
        chain, day = MuaEnvelope(SPEC, 3), normaliser(block=20, constant_s=0.1)
        day.start_day()
        found, taken = [], 0
        while taken < len(voltage):
            for n in cuts:
                z = day.push(chain.push(voltage[taken : taken + n]))
                taken = min(taken + n, len(voltage))
                found.append((taken, z))
        return found

    for (taken, z), (_, other) in zip(run(raw), run(changed), strict=True):
        if taken > at:
            break
        np.testing.assert_array_equal(z, other)
    rows = [np.concatenate([z for _, z in run(v)]) for v in (raw, changed)]
    np.testing.assert_array_equal(rows[0][: at // 30], rows[1][: at // 30])


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_days_known_beforehand_begin_as_if_started_by_hand_for_any_chunking(data):
    raw = another_day(900)
    starts = sorted(data.draw(st.lists(st.integers(0, 1000), max_size=3)))
    n_lost, lost_at = data.draw(st.integers(0, 150)), 400
    by_hand = normaliser()
    expected, place = [], 0
    # Sample by sample.
    for i, row in enumerate(raw):
        if i == lost_at:
            by_hand_skip(by_hand, starts, place, n_lost)
            place += n_lost
        if place in starts:
            by_hand.start_day(0.05)
        expected.append(by_hand.push(row[None]))
        place += 1
    spec = Normalisation(kind="running", block_samples=100)
    known = Normaliser(spec, MEAN, SD, 1000.0, day_starts=starts, day_weight_s=0.05)
    cuts = sorted(data.draw(st.lists(st.integers(0, 900), max_size=6)))
    got = []
    for a, b in zip([0, *cuts], [*cuts, 900], strict=True):
        for c, d in ((a, min(b, lost_at)), (max(a, lost_at), b)):
            if c == lost_at and d > c:
                known.skip(n_lost)
            if d > c:
                got.append(known.push(raw[c:d]))
    assert np.concatenate(got).tobytes() == np.concatenate(expected).tobytes()


def by_hand_skip(one: Normaliser, starts: list[int], place: int, n: int) -> None:
    for i in range(place, place + n):
        if i in starts:
            one.start_day(0.05)
        one.skip(1)
