from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from b2g_rt.contracts.channels import ArraySlot, ChannelMap, brain2gan_channels
from b2g_rt.contracts.samples import SampleArray
from b2g_rt.contracts.windows import (
    MissingLimits,
    Shown,
    Trial,
    WindowCutter,
    WindowFeatures,
    WindowScheduler,
    WindowSpec,
    begins_anew,
    onset_index,
    paper_windows,
    sliding_windows,
)
from b2g_rt.errors import WindowError, WindowNotReady, WindowOverwritten

CHANNELS = ChannelMap(192, (ArraySlot(0, "V1", 0), ArraySlot(1, "V4", 64), ArraySlot(2, "IT", 128)))


def trial(number: int, onset: int) -> Trial:
    return Trial(number, f"face-{number:04d}", onset / 1000.0, onset)


def values_of(features: WindowFeatures) -> np.ndarray:
    """Return the values, which must be there."""
    assert features.values is not None
    return features.values


def test_paper_windows_run_from_minus_100_to_plus_200_ms():
    spec = paper_windows()
    assert [spec.start_of(k) for k in range(spec.n_windows)] == [-100 + 25 * k for k in range(9)]
    assert spec.length == 100


def test_a_window_is_due_when_marker_and_samples_are_there():
    scheduler = WindowScheduler(paper_windows())
    assert scheduler.due(5000) == []
    scheduler.add_trial(trial(0, 1000), stop=1001)
    assert [w.window_idx for w in scheduler.due(1001)] == [0]
    assert scheduler.due(1024) == []
    assert [(w.window_idx, w.start, w.stop) for w in scheduler.due(1025)] == [(1, 925, 1025)]
    assert [w.window_idx for w in scheduler.due(1200)] == list(range(2, 9))
    assert scheduler.n_waiting == 0


def test_windows_that_closed_before_their_marker_are_late_and_no_others():
    scheduler = WindowScheduler(paper_windows())
    scheduler.add_trial(trial(0, 1000), stop=1110)
    due = scheduler.due(1110) + scheduler.due(2000)
    assert [w.late for w in due] == [True] * 5 + [False] * 4


@given(
    onsets=st.lists(st.integers(0, 3000), min_size=1, max_size=6),
    steps=st.lists(st.integers(1, 400), min_size=1, max_size=40),
)
def test_every_window_is_due_exactly_once_whatever_the_chunks(onsets, steps):
    scheduler = WindowScheduler(paper_windows())
    for number, onset in enumerate(onsets):
        scheduler.add_trial(trial(number, onset), stop=0)
    stop, seen = 0, []
    for step in [*steps, 10_000]:
        stop += step
        due = scheduler.due(stop)
        assert all(w.stop <= stop for w in due)
        seen += [(w.trial.trial, w.window_idx) for w in due if w.trial]
    assert sorted(seen) == [(t, k) for t in range(len(onsets)) for k in range(9)]


@given(steps=st.lists(st.integers(1, 200), min_size=1, max_size=30))
def test_free_windows_do_not_depend_on_chunks(steps):
    spec = sliding_windows()
    scheduler, whole = WindowScheduler(spec), WindowScheduler(spec)
    stops = np.cumsum(steps)
    parts = [w for stop in stops for w in scheduler.due(int(stop))]
    assert parts == whole.due(int(stops[-1]))
    assert all(b.stop - a.stop == spec.stride for a, b in zip(parts, parts[1:], strict=False))


@given(index=st.integers(-1000, 10_000_000), shift=st.floats(-0.4, 0.4))
def test_onsets_moved_by_less_than_half_a_sample_get_the_same_windows(index, shift):
    assert onset_index(index + shift) == index


def test_onsets_between_two_samples_go_up():
    assert [onset_index(x) for x in (2.5, 3.5, -0.5)] == [3, 4, 0]


def test_a_window_is_the_mean_of_its_samples_channel_by_channel(rng):
    values = rng.standard_normal((400, 192)).astype(np.float32)
    got = WindowCutter(paper_windows(), CHANNELS).cut(SampleArray(values, start=50), 120)
    expected = values[70:170].astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(values_of(got), expected, rtol=0, atol=1e-7)


def test_each_roi_is_cut_with_its_own_lag(rng):
    values = rng.standard_normal((400, 192)).astype(np.float32)
    got = WindowCutter(sliding_windows(), CHANNELS).cut(SampleArray(values), 200).values
    for roi, lag in (("V1", 50), ("V4", 25), ("IT", 0)):
        expected = values[200 - lag : 300 - lag, CHANNELS.channels_of(roi)].mean(
            axis=0, dtype=np.float64
        )
        np.testing.assert_array_equal(got[CHANNELS.channels_of(roi)], expected.astype(np.float32))


def test_lost_samples_are_counted_and_left_out(rng):
    values = rng.standard_normal((300, 192)).astype(np.float32)
    lost = np.zeros(300, bool)
    lost[110:125] = True
    values[lost] = np.nan
    got = WindowCutter(paper_windows(), CHANNELS).cut(SampleArray(values, 0, lost), 100)
    assert got.n_lost == 15
    expected = values[100:200][~lost[100:200]].mean(axis=0, dtype=np.float64)
    np.testing.assert_array_equal(got.values, expected.astype(np.float32))


def test_too_many_lost_samples_leave_no_values():
    lost = np.zeros(300, bool)
    lost[100:121] = True
    store = SampleArray(np.zeros((300, 192), np.float32), 0, lost)
    got = WindowCutter(paper_windows(), CHANNELS, MissingLimits(max_lost_share=0.2)).cut(store, 100)
    assert got.values is None
    assert "21% of its samples lost" in got.reason


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_channel_that_is_not_finite_counts_as_zero_and_harms_no_other(rng, bad):
    values = rng.standard_normal((300, 192)).astype(np.float32)
    clean = values_of(WindowCutter(paper_windows(), CHANNELS).cut(SampleArray(values), 100))
    values[100:, 7] = bad
    got = WindowCutter(paper_windows(), CHANNELS).cut(SampleArray(values), 100)
    assert got.n_bad_channels == 1
    assert values_of(got)[7] == 0
    np.testing.assert_allclose(np.delete(values_of(got), 7), np.delete(clean, 7), atol=1e-6)


def test_a_few_samples_that_are_not_finite_are_left_out(rng):
    values = rng.standard_normal((300, 192)).astype(np.float32)
    values[110, 3] = np.nan
    got = WindowCutter(paper_windows(), CHANNELS).cut(SampleArray(values), 100)
    assert got.n_bad_channels == 0
    assert values_of(got)[3] == pytest.approx(np.nanmean(values[100:200, 3]), abs=1e-6)


def test_too_many_bad_channels_leave_no_values():
    values = np.zeros((300, 192), np.float32)
    values[:, :60] = np.nan
    got = WindowCutter(paper_windows(), CHANNELS).cut(SampleArray(values), 100)
    assert got.values is None
    assert got.reason == "60 bad channels"


def test_a_window_outside_the_store_raises_the_named_error():
    cutter = WindowCutter(paper_windows(), CHANNELS)
    store = SampleArray(np.zeros((200, 192), np.float32), start=1000)
    with pytest.raises(WindowNotReady, match="after 1 more"):
        cutter.cut(store, 1101)
    with pytest.raises(WindowOverwritten, match="oldest kept is 1000, 1 too late"):
        cutter.cut(store, 999)


def test_times_that_are_no_whole_samples_are_refused():
    with pytest.raises(WindowError, match=r"stride_ms: 2.5 ms is 2.5 samples at 1000 Hz"):
        WindowSpec.from_ms(rate_hz=1000, length_ms=100, stride_ms=2.5, anchor="free")


def test_a_specification_survives_the_way_through_json():
    for spec in (paper_windows(), sliding_windows()):
        assert WindowSpec.from_dict(spec.to_dict()) == spec


def test_features_do_not_depend_on_how_the_map_interleaves_rois(rng):
    values = rng.standard_normal((300, 960)).astype(np.float32)
    got = WindowCutter(paper_windows(), brain2gan_channels()).cut(SampleArray(values), 0).values
    np.testing.assert_array_equal(
        got, values[:100].mean(axis=0, dtype=np.float64).astype(np.float32)
    )


def test_a_trial_is_shown_by_its_last_window():
    scheduler = WindowScheduler(paper_windows())
    scheduler.add_trial(trial(0, 500), 500)
    due = scheduler.due(1000)
    assert [w.shows for w in due] == [()] * 8 + [(Shown(trial(0, 500), 600),)]


@pytest.mark.parametrize("onset", [400, 401, 424, 425])
def test_a_free_running_trial_is_shown_by_the_first_window_from_the_static_position_on(onset):
    spec = sliding_windows()
    scheduler = WindowScheduler(spec)
    scheduler.add_trial(trial(0, onset), onset + 1)
    ((window, (shown,)),) = [(w, w.shows) for w in scheduler.due(2000) if w.shows]
    assert window.trial is None
    assert shown == Shown(trial(0, onset), window.start)
    assert onset + 75 <= window.start < onset + 100


def test_a_marker_that_comes_late_is_told_with_the_next_free_running_window():
    scheduler = WindowScheduler(sliding_windows())
    before = [w.start for w in scheduler.due(1000)]
    for number in range(3):
        scheduler.add_trial(trial(number, 400 + number), 1000)
    due = scheduler.due(3000)
    assert [s.start for s in due[0].shows] == [475, 500, 500]
    assert {475, 500} <= set(before)
    assert not any(w.shows for w in due[1:])


@pytest.mark.parametrize(("lost", "anew"), [(0, False), (100, False), (101, True)])
def test_a_free_running_decoder_forgets_over_a_gap_longer_than_a_window(lost, anew):
    spec = sliding_windows()
    assert begins_anew(spec, 1000, 1000 + spec.stride + lost) == anew
