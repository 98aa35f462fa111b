from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from b2g_rt.errors import ConfigError
from b2g_rt.mua.block_filter import BlockFilter
from b2g_rt.mua.filter_design import MuaSpec, design, settling


def test_the_paper_s_filters_are_designed():
    filters = design(MuaSpec())
    band = np.abs(signal.sosfreqz(filters.band_pass, [50, 500, 1500, 5000, 14000], fs=30_000)[1])
    np.testing.assert_allclose(band[[1, 3]], np.sqrt(0.5), rtol=1e-6)
    assert band[2] > 0.99
    assert max(band[0], band[4]) < 0.05
    low = np.abs(signal.sosfreqz(filters.low_pass, [1, 200, 600], fs=30_000)[1])
    np.testing.assert_allclose(low[:2], [1, np.sqrt(0.5)], rtol=1e-6)
    notch = np.abs(signal.sosfreqz(filters.notches, [0, 50, 60, 100, 150, 20], fs=1000)[1])
    assert notch[1:5].max() < 1e-6
    assert min(notch[0], notch[5]) > 0.99


def test_group_delays_are_those_of_scipy():
    # One section at a time: scipy computes the delay of a ratio of polynomials.
    filters = design(MuaSpec(notches_hz=()))
    _, low = signal.group_delay((filters.low_pass[0, :3], filters.low_pass[0, 3:]), w=[1e-3])
    w = np.linspace(0, np.pi, 4098)[1:-1]
    band = sum(signal.group_delay((s[:3], s[3:]), w=w)[1] for s in filters.band_pass)
    power = np.abs(signal.sosfreqz(filters.band_pass, w)[1]) ** 2
    expected = (low[0] + (band * power).sum() / power.sum()) / 30_000
    assert filters.lag_s == pytest.approx(expected, rel=1e-3)


def test_settling_is_when_so_little_is_left():
    for sos in (design(MuaSpec()).low_pass, design(MuaSpec()).band_pass):
        n = settling(sos, 1e-3)
        assert 10 < n < 1000
        response = signal.sosfilt(sos, np.r_[1.0, np.zeros(5 * n)])
        assert np.abs(response[n:]).max() < 3e-3 * np.abs(response).max()
    assert settling(np.zeros((0, 6)), 1e-3) == 0


def test_a_block_filter_is_the_filter():
    sos = design(MuaSpec()).band_pass
    block = BlockFilter(sos, 30, "all", np.float64)
    last = BlockFilter(sos, 30, "last", np.float64)
    x = np.random.default_rng(0).standard_normal((90, 2)) + 5
    state = block.rest[:, None] * x[0]
    found = []
    for rows in x.reshape(3, 30, 2):
        stacked = np.concatenate([rows, state])
        found.append((block.matrix @ stacked)[:30])
        np.testing.assert_allclose((last.matrix @ stacked)[0], found[-1][-1])
        state = (block.matrix @ stacked)[30:]
    zi = signal.sosfilt_zi(sos)[:, :, None] * x[0]
    np.testing.assert_allclose(
        np.concatenate(found), signal.sosfilt(sos, x, axis=0, zi=zi)[0], atol=1e-12
    )


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"raw_rate_hz": 30_500.0}, "whole multiple"),
        ({"raw_rate_hz": 1000.0}, "raw_rate_hz"),
        ({"band_hz": (5000.0, 500.0)}, "band_hz"),
        ({"band_hz": (500.0, 16_000.0)}, "band_hz"),
        ({"low_pass_hz": 600.0}, "low_pass_hz"),
        ({"band_order": 0}, "orders"),
        ({"notches_hz": (50.0, 500.0)}, "notches_hz"),
    ],
    ids=str,
)
def test_numbers_that_make_no_chain_are_named(options, named):
    with pytest.raises(ConfigError, match=named):
        MuaSpec(**options)
