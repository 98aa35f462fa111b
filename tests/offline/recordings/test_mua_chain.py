from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import signal

import offline.recordings.mua_chain as mua_chain
from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.contracts.windows import onset_index
from b2g_rt.errors import SessionError
from b2g_rt.mua.envelope import MuaEnvelope
from b2g_rt.mua.filter_design import MuaSpec, design
from offline.recordings.mua_chain import MuaRecording, working_bytes
from offline.recordings.recording import BLOCK_SAMPLES, Block

SPEC = MuaSpec()
CHANNELS = ChannelMap(64, (ArraySlot(0, "V1", 0, dead_electrodes=tuple(range(4, 64))),))
N_CHANNELS = 4


class Voltage:
    """An array that answers as a recording; ``index`` says where its rows lie."""

    def __init__(self, values: NDArray[np.float32], index: NDArray[np.int64] | None = None) -> None:
        self.values = values
        self.index = np.arange(len(values), dtype=np.int64) if index is None else index
        self.channels = CHANNELS
        self.n_samples = len(values)

    def blocks(self, n_samples: int = BLOCK_SAMPLES) -> Iterator[Block]:
        for first in range(0, len(self.values), n_samples):
            rows = slice(first, first + n_samples)
            yield Block(self.index[rows], self.values[rows])


def voltage(n: int, seed: int = 3) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    activity = 1.0 + 0.5 * np.sin(2 * np.pi * 8.0 * np.arange(n) / 30_000)
    noise = rng.standard_normal((n, N_CHANNELS)) * activity[:, None]
    return (noise * 10.0 + [0, 50, 100, 150]).astype(np.float32)


def mua_of(recording: MuaRecording, n: int = BLOCK_SAMPLES) -> Block:
    blocks = list(recording.blocks(n))
    assert max(len(b.index) for b in blocks) <= n
    return Block(np.concatenate([b.index for b in blocks]), np.vstack([b.values for b in blocks]))


def both_ways(raw: NDArray[np.float32]) -> NDArray[np.float64]:
    """The paper's chain in one go by scipy."""
    filters = design(SPEC)
    band = signal.sosfiltfilt(filters.band_pass, raw.astype(np.float64), axis=0, padlen=15)
    low = signal.sosfiltfilt(filters.low_pass, np.abs(band), axis=0, padlen=9)
    return np.asarray(signal.sosfiltfilt(filters.notches, low[::30], axis=0, padlen=27))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mua_chain, "VOLTAGE_BLOCK", 1000)
    monkeypatch.setattr(mua_chain, "NOTCH_BLOCK", 700)


@pytest.mark.usefixtures("small_blocks")
def test_block_by_block_is_in_one_go():
    raw = voltage(300_007)
    found = mua_of(MuaRecording(Voltage(raw), SPEC, "zero"))
    np.testing.assert_array_equal(found.index, np.arange(10_001))
    np.testing.assert_allclose(found.values, both_ways(raw), rtol=0, atol=2e-5)


@given(n=st.integers(2, 4000), start=st.integers(0, 61))
@settings(max_examples=25, deadline=None)
def test_stretches_of_any_length_and_place_are_filtered(n, start):
    raw = voltage(n)
    found = list(MuaRecording(Voltage(raw, np.arange(start, start + n)), SPEC, "zero").blocks())
    index = np.concatenate([b.index for b in found]) if found else np.array([])
    np.testing.assert_array_equal(index, np.arange(-(-start // 30), -(-(start + n) // 30)))
    assert all(np.isfinite(b.values).all() for b in found)


def test_causal_is_the_live_chain_bit_for_bit():
    raw = voltage(9000)
    recording = MuaRecording(Voltage(raw), SPEC, "causal", uv_per_unit=0.5)
    assert not recording.looks_ahead
    found = mua_of(recording, 70)
    np.testing.assert_array_equal(found.values, MuaEnvelope(SPEC, N_CHANNELS, 0.5).push(raw))


def test_causal_and_zero_phase_are_the_same_activity_half_a_millisecond_apart():
    raw = voltage(150_000)
    both = [
        mua_of(MuaRecording(Voltage(raw), SPEC, p)).values[300:-300] for p in ("zero", "causal")
    ]
    assert MuaRecording(Voltage(raw), SPEC, "zero").looks_ahead
    shifts = np.arange(-3, 4)
    r = [
        np.corrcoef(both[0][3:-3].ravel(), both[1][3 + s : len(both[1]) - 3 + s].ravel())[0, 1]
        for s in shifts
    ]
    assert r[3] > 0.7
    assert shifts[np.argmax(r)] in (0, 1)
    slow = [x.reshape(-1, 20, N_CHANNELS).mean(axis=1)[:200] for x in (y[:4000] for y in both)]
    assert np.corrcoef(slow[0].ravel(), slow[1].ravel())[0, 1] > 0.98
    assert slow[1].mean() / slow[0].mean() == pytest.approx(1.0, abs=0.15)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("phase", ["zero", "causal"])
def test_a_gap_stays_a_gap_and_is_not_filtered_across(phase):
    raw = voltage(60_000)
    index = np.r_[np.arange(31_010), np.arange(46_010, 75_000)]
    raw[31_010:] += 5000.0
    found = mua_of(MuaRecording(Voltage(raw, index), SPEC, phase))
    assert (np.diff(found.index) >= 1).all()
    gap = np.flatnonzero(np.diff(found.index) > 1)
    assert len(gap) == 1
    # Causal: the sample that the gap cuts in two is missing, too.
    assert found.index[gap[0]] == (1033 if phase == "zero" else 1032)
    assert 1533 <= found.index[gap[0] + 1] <= 1534
    assert np.nanmax(found.values) < 100
    assert np.isfinite(found.values[-500:]).all()


@pytest.mark.usefixtures("small_blocks")
def test_only_the_neighbourhood_of_bad_samples_is_marked():
    raw = voltage(60_000)
    whole = mua_of(MuaRecording(Voltage(raw), SPEC, "zero")).values
    broken = raw.copy()
    broken[30_000:30_010, 2] = np.nan
    found = mua_of(MuaRecording(Voltage(broken), SPEC, "zero")).values
    marked = np.flatnonzero(np.isnan(found[:, 2]))
    assert 985 <= marked[0] < 1000 < marked[-1] <= 1015
    np.testing.assert_array_equal(found[:, [0, 1, 3]], whole[:, [0, 1, 3]])
    np.testing.assert_allclose(found[1400:, 2], whole[1400:, 2], atol=0.1)


def test_late_samples_are_left_out_and_counted(caplog):
    raw = voltage(3000)
    index = np.r_[np.arange(2000), np.arange(1990, 2990)]
    found = mua_of(MuaRecording(Voltage(raw, index), SPEC, "causal"))
    expected = MuaEnvelope(SPEC, N_CHANNELS).push(np.vstack([raw[:2000], raw[2010:]]))
    np.testing.assert_array_equal(found.values, expected)
    assert "10 late or doubled" in caplog.text


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("n", [60_000, 150_000])
def test_memory_is_bounded_as_stated_whatever_the_length(n):
    source = Voltage(voltage(n))
    mua_of(MuaRecording(Voltage(voltage(3000)), SPEC, "zero"))
    tracemalloc.start()
    for block in MuaRecording(source, SPEC, "zero").blocks():
        del block
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < working_bytes(N_CHANNELS, SPEC) + 2e6


def test_960_channels_need_less_than_a_quarter_of_a_gigabyte():
    assert working_bytes(960) < 250e6


def test_onsets_are_rounded_as_live():
    found = mua_chain.mua_onsets(np.array([0, 14, 15, 44, 45, 30_000]), SPEC)
    np.testing.assert_array_equal(found, [0, 0, 1, 1, 2, 1000])
    assert found.tolist() == [onset_index(i / 30) for i in (0, 14, 15, 44, 45, 30_000)]


def test_another_phase_is_refused():
    with pytest.raises(SessionError, match="zero or causal"):
        MuaRecording(Voltage(voltage(300)), SPEC, "linear")  # type: ignore[arg-type]
