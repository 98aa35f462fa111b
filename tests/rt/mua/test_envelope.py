from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import signal

from b2g_rt.errors import StreamMismatch
from b2g_rt.mua.envelope import STRIP_CHANNELS, MuaEnvelope
from b2g_rt.mua.filter_design import MuaSpec, design

SPEC = MuaSpec()
FACTOR = SPEC.factor
N_CHANNELS = 3
N_SETTLING = 12


def voltage(n: int, n_channels: int = N_CHANNELS, seed: int = 3) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).standard_normal((n, n_channels))
    return (noise * 10.0 + np.arange(n_channels) * 50.0).astype(np.float32)


def whole(raw: NDArray[np.float32], **options: int) -> NDArray[np.float32]:
    return MuaEnvelope(SPEC, raw.shape[1], **options).push(raw)


def forward(raw: NDArray[np.float32]) -> NDArray[np.float64]:
    """The same chain by scipy, sample by sample in float64, from the same resting states."""
    filters = design(SPEC)
    x = raw.astype(np.float64)
    band, _ = signal.sosfilt(
        filters.band_pass, x, axis=0, zi=signal.sosfilt_zi(filters.band_pass)[:, :, None] * x[0]
    )
    rectified = np.abs(band)
    rest = signal.sosfilt_zi(filters.low_pass)[:, :, None] * rectified[:FACTOR].mean(axis=0)
    low, _ = signal.sosfilt(filters.low_pass, rectified, axis=0, zi=rest)
    mua = low[FACTOR - 1 :: FACTOR][N_SETTLING:]
    rest = signal.sosfilt_zi(filters.notches)[:, :, None] * mua[0]
    return np.asarray(signal.sosfilt(filters.notches, mua, axis=0, zi=rest)[0])


def test_the_chain_is_what_scipy_computes_sample_by_sample():
    raw = voltage(15_000, STRIP_CHANNELS + 5)
    mua = whole(raw)
    assert mua.shape == (500, STRIP_CHANNELS + 5)
    assert np.isnan(mua[:N_SETTLING]).all()
    expected = forward(raw)
    assert np.abs(mua[N_SETTLING:, 0] - expected[:, 0]).max() < 2e-5
    # Offsets of up to 10 mV: what float32 leaves of them behind the band-pass.
    assert np.abs(mua[N_SETTLING:] - expected).max() < 1e-2


@given(cuts=st.lists(st.integers(1, 700), min_size=1, max_size=12), start=st.integers(0, 90))
@settings(max_examples=40, deadline=None)
def test_chunking_does_not_change_a_bit(cuts, start):
    raw = voltage(sum(cuts))
    chain = MuaEnvelope(SPEC, N_CHANNELS, start=start)
    stops = np.cumsum(cuts)
    parts = [chain.push(raw[b - n : b]) for b, n in zip(stops, cuts, strict=True)]
    expected = whole(raw, start=start)
    np.testing.assert_array_equal(np.concatenate(parts), expected)
    assert chain.next_index == -(-start // FACTOR) + len(expected)


@given(
    pieces=st.lists(st.tuples(st.integers(1, 200), st.booleans()), min_size=1, max_size=12),
    cut=st.integers(1, 60),
)
@settings(max_examples=40, deadline=None)
def test_chunking_does_not_change_a_bit_with_losses_and_bad_samples_either(pieces, cut):
    raw = voltage(sum(n for n, _ in pieces))
    raw[::97, 0] = np.nan
    runs = []
    for size in (10_000, cut):
        chain, at, found = MuaEnvelope(SPEC, N_CHANNELS), 0, []
        for n, lost in pieces:
            for first in range(at, at + n, size):
                stop = min(first + size, at + n)
                found.append(chain.skip(stop - first) if lost else chain.push(raw[first:stop]))
            at += n
        runs.append(np.concatenate(found))
    np.testing.assert_array_equal(runs[0], runs[1])


@given(at=st.integers(0, 2999), kind=st.sampled_from(["step", "spike", "nan", "silence"]))
@settings(max_examples=40, deadline=None)
def test_the_future_does_not_change_the_past(at, kind):
    raw = voltage(3000)
    changed = raw.copy()
    if kind == "step":
        changed[at:] += 1e4
    elif kind == "silence":
        changed[at:] = 0
    else:
        changed[at] = np.nan if kind == "nan" else 1e5
    complete = at // FACTOR
    np.testing.assert_array_equal(whole(raw)[:complete], whole(changed)[:complete])


def test_a_channel_s_bad_samples_touch_no_other_channel_and_pass():
    raw = voltage(9000)
    broken = raw.copy()
    broken[3000, 1] = np.inf
    good, bad = whole(raw), whole(broken)
    np.testing.assert_array_equal(bad[:, [0, 2]], good[:, [0, 2]])
    np.testing.assert_array_equal(bad[:100, 1], good[:100, 1])
    assert np.isnan(bad[100 : 101 + N_SETTLING, 1]).all()
    np.testing.assert_allclose(bad[150:, 1], good[150:, 1], atol=0.2)


def test_many_channels_are_filtered_like_few():
    raw = np.tile(voltage(600), 350)
    mua = whole(raw)
    assert mua.shape == (20, 1050)
    np.testing.assert_allclose(mua[:, -3:], whole(voltage(600)), rtol=1e-4, atol=1e-4)


def test_after_a_gap_no_transient_is_passed_on():
    raw = voltage(30_000)
    raw[20_000:] += 2000.0
    chain = MuaEnvelope(SPEC, N_CHANNELS)
    mua = np.concatenate([chain.push(raw[:15_000]), chain.skip(5000), chain.push(raw[20_000:])])
    assert len(mua) == 1000
    assert np.isnan(mua[500 : 667 + N_SETTLING - 1]).all()
    after = mua[667 + N_SETTLING :]
    assert np.isfinite(after).all()
    assert np.abs(after - whole(raw)[N_SETTLING:500].mean(axis=0)).max() < 5.0


def test_a_dead_channel_is_zero_and_a_silent_start_recovers():
    raw = voltage(9000)
    raw[:, 2] = 7.0
    raw[:4500, 1] = np.nan
    mua = whole(raw)
    np.testing.assert_allclose(mua[N_SETTLING:, 2], 0, atol=1e-4)
    assert np.isnan(mua[: 150 + N_SETTLING, 1]).all()
    assert np.isfinite(mua[150 + N_SETTLING :, 1]).all()


def test_integers_are_scaled_to_microvolts():
    counts = (voltage(3000) * 4).astype(np.int16)
    steps = np.array([0.25, 0.5, 0.25], np.float32)
    mua = MuaEnvelope(SPEC, N_CHANNELS, steps).push(counts)
    np.testing.assert_array_equal(mua, whole(counts * steps))


def test_the_stated_lag_is_that_of_a_slow_change_of_activity():
    rate, n = SPEC.raw_rate_hz, 90_000
    t = np.arange(n) / rate
    noise = np.random.default_rng(0).standard_normal((n, 100), np.float32)
    modulation = 1.0 + 0.8 * np.sin(2 * np.pi * 7.0 * t)
    mua = whole((noise * modulation[:, None]).astype(np.float32)).mean(axis=1, dtype=np.float64)
    newest = (np.arange(len(mua)) + 1) * FACTOR / rate - 1.0 / rate
    kept = slice(1000, None)
    angle = 2 * np.pi * 7.0 * newest[kept]
    parts = np.linalg.lstsq(
        np.stack([np.sin(angle), np.cos(angle), np.ones(len(angle))], 1), mua[kept], rcond=None
    )[0]
    lag_s = -np.arctan2(parts[1], parts[0]) / (2 * np.pi * 7.0)
    chain = MuaEnvelope(SPEC, 1)
    assert 1e-3 < chain.lag_s < 2e-3
    assert lag_s == pytest.approx(chain.lag_s, abs=1.5e-4)


def test_line_noise_in_the_activity_is_notched():
    n = 150_000
    t = np.arange(n) / SPEC.raw_rate_hz
    rng = np.random.default_rng(1)
    hum = 1.0 + 0.3 * np.sin(2 * np.pi * 50.0 * t) + 0.2 * np.sin(2 * np.pi * 60.0 * t)
    raw = (rng.standard_normal((n, 8)) * 10 * hum[:, None]).astype(np.float32)
    left = whole(raw)[3000:].mean(axis=1, dtype=np.float64)
    plain = MuaEnvelope(MuaSpec(notches_hz=()), 8).push(raw)[3000:].mean(axis=1, dtype=np.float64)
    for hz in (50, 60):
        amplitude = [np.abs(np.fft.rfft(x - x.mean()))[hz * len(x) // 1000] for x in (left, plain)]
        assert amplitude[0] < 0.1 * amplitude[1]


def test_another_number_of_channels_is_refused():
    with pytest.raises(StreamMismatch, match=r"\(sample, 3\)"):
        MuaEnvelope(SPEC, 3).push(np.zeros((10, 4), np.float32))


def test_importing_the_chain_imports_no_scipy():
    code = "import sys, b2g_rt.mua.envelope; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
