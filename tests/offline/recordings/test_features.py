from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2g_rt.contracts.bundle import Normalisation
from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.contracts.samples import SampleArray
from b2g_rt.contracts.windows import WindowCutter, paper_windows, sliding_windows
from b2g_rt.mua.normaliser import Normaliser
from offline.recordings.features import window_features, window_starts
from offline.recordings.recording import Block

CHANNELS = ChannelMap(192, (ArraySlot(0, "V1", 0), ArraySlot(1, "V4", 64), ArraySlot(2, "IT", 128)))
N = 3000
VALUES = np.random.default_rng(0).normal(12.0, 2.0, (N, 192)).astype(np.float32)
MEAN, SD = VALUES.mean(0).astype(np.float64), VALUES.std(0).astype(np.float64)
ONSETS = np.array([400, 2500, 1200, 1201], np.int64)


def normaliser(kind="frozen"):
    return Normaliser(Normalisation(kind=kind, block_samples=700), MEAN, SD, 1000.0)


def in_blocks(sizes, index=None, values=VALUES):
    index = np.arange(len(values)) if index is None else index
    start, i = 0, 0
    while start < len(values):
        stop = start + sizes[i % len(sizes)]
        yield Block(index[start:stop], values[start:stop])
        start, i = stop, i + 1


@pytest.mark.parametrize("spec", [paper_windows(), sliding_windows()], ids=["paper", "sliding"])
@pytest.mark.parametrize("kind", ["frozen", "running"])
@settings(max_examples=15, deadline=None)
@given(sizes=st.lists(st.integers(1, 1500), min_size=1, max_size=4).filter(lambda s: max(s) > 30))
def test_features_do_not_depend_on_block_sizes(spec, kind, sizes):
    found = window_features(in_blocks(sizes), ONSETS, spec, CHANNELS, normaliser(kind))
    z = SampleArray(normaliser(kind).push(VALUES))
    cutter = WindowCutter(spec, CHANNELS)
    for trial, onset in enumerate(ONSETS):
        for window, start in enumerate(window_starts(spec)):
            wanted = cutter.cut(z, int(onset + start)).values
            np.testing.assert_array_equal(found[trial, window], wanted)


def test_the_static_position_is_that_of_the_paper():
    spec = sliding_windows()
    start = int(window_starts(spec)[0])
    extent = {
        roi: (start - spec.lag_of(roi), start - spec.lag_of(roi) + spec.length)
        for roi in ("V1", "V4", "IT")
    }
    assert extent == {"V1": (25, 125), "V4": (50, 150), "IT": (75, 175)}


def test_windows_beyond_the_recording_are_nan():
    spec = paper_windows()
    onsets = np.array([50, 1000, N - 100, N + 5000, -5000])
    features = window_features(in_blocks([500]), onsets, spec, CHANNELS, normaliser())
    whole = np.isfinite(features).all(axis=2)
    assert whole[0].tolist() == [False] * 2 + [True] * 7
    assert whole[1].all()
    assert whole[2].tolist() == [True] * 9 if N - 100 + 200 <= N else whole[2].sum() == 5
    assert not whole[3:].any()


@settings(max_examples=15, deadline=None)
@given(size=st.integers(1, 900), gap=st.integers(1, 30), pause=st.sampled_from([0, 50_000]))
def test_a_gap_is_left_out_of_the_mean_and_a_long_one_drops_the_window(size, gap, pause):
    size = max(size, 30)
    index = np.arange(N)
    index[1000:] += gap + pause
    onset = np.array([1000 + 50, 1000 + gap + pause + 500])
    features = window_features(
        in_blocks([size], index), onset, paper_windows(), CHANNELS, normaliser()
    )
    z = normaliser().push(VALUES)
    # Window 2 is [onset - 50, onset + 50): it begins at the gap.
    if pause or gap > 20:
        assert np.isnan(features[0, 2]).all()
    else:
        wanted = z[1000 : 1000 + 100 - gap].mean(axis=0, dtype=np.float64).astype(np.float32)
        np.testing.assert_array_equal(features[0, 2], wanted)
    wanted = z[1400:1500].mean(axis=0, dtype=np.float64).astype(np.float32)
    np.testing.assert_array_equal(features[1, 0], wanted)


@settings(max_examples=15, deadline=None)
@given(size=st.integers(30, 900), at=st.integers(1010, 1400))
def test_late_samples_count_in_windows_that_close_after_they_came(size, at):
    order = np.concatenate(
        [np.arange(1000), np.arange(1010, at), np.arange(1000, 1010), np.arange(at, N)]
    )
    # Doubled rows with other values: the first ones count.
    order = np.insert(order, 700, 650)
    values = VALUES[order]
    values[700] += 5.0
    onsets = np.array([1000])
    features = window_features(
        in_blocks([size], order, values), onsets, paper_windows(), CHANNELS, normaliser()
    )
    z = normaliser().push(VALUES)
    for k, start in enumerate(range(900, 1101, 25)):
        rows = np.arange(start, start + 100)
        if start + 100 <= at and at > 1010:
            rows = rows[(rows < 1000) | (rows >= 1010)]
        wanted = z[rows].mean(axis=0, dtype=np.float64).astype(np.float32)
        np.testing.assert_array_equal(features[0, k], wanted)


def test_lost_samples_count_for_the_blocks_that_running_normalisation_learns_from_as_live():
    index = np.concatenate([np.arange(900), np.arange(1350, N + 450)])
    onsets = np.array([400, 1600, 2900], np.int64)
    found = window_features(
        in_blocks([400], index), onsets, paper_windows(), CHANNELS, normaliser("running")
    )
    live = normaliser("running")
    z = np.full((N + 450, 192), np.nan, np.float32)
    z[:900] = live.push(VALUES[:900])
    live.skip(450)
    z[1350:] = live.push(VALUES[900:])
    store, cutter = SampleArray(z, 0, np.isnan(z[:, 0])), WindowCutter(paper_windows(), CHANNELS)
    for trial, onset in enumerate(onsets):
        for window, start in enumerate(window_starts(paper_windows())):
            wanted = cutter.cut(store, int(onset + start)).values
            np.testing.assert_array_equal(found[trial, window], wanted)
