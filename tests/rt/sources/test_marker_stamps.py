"""Marker stamps that cannot be of LSL's clock are held back; no LSL."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from b2g_rt.sources.chunk import SourceMarker
from b2g_rt.sources.marker_stamps import AHEAD_S, BEHIND_S, ClockNow, MarkerStamps

NOW_S = 50_000.0
LIVE = ClockNow(NOW_S - 0.01, session_clock=False)
SESSION = ClockNow(NOW_S - 0.01, session_clock=True)


def sort(stamps, clock=LIVE, checked=None, uid="uid"):
    markers = [SourceMarker(stamp, f"face-{k}", NOW_S) for k, stamp in enumerate(stamps)]
    return (checked or MarkerStamps("streams.markers")).sort(markers, clock, "'m' on rig", uid)


@pytest.mark.parametrize(
    "stamp", [NOW_S, NOW_S + AHEAD_S - 0.1, NOW_S - 30.0, NOW_S - BEHIND_S + 0.1]
)
def test_a_stamp_of_lsls_clock_is_handed_out(stamp):
    good, said = sort([stamp])
    assert ([marker.time_s for marker in good], said) == ([stamp], [])


@pytest.mark.parametrize(
    "stamp",
    [math.nan, math.inf, -math.inf, -1e19, 1e19, 1.7e9, -5.0, 3.0, NOW_S + 11.0, NOW_S - 3700.0],
)
def test_a_stamp_that_cannot_be_of_lsls_clock_is_refused_in_one_line_that_keeps_it(stamp):
    good, said = sort([stamp])
    assert good == []
    ((kind, level, text),) = said
    assert (kind, level) == ("markers-clock", "error")
    assert text.startswith("streams.markers: 'm' on rig: marker 'face-0' stamped ")
    assert repr(stamp) in text
    assert "expected" in text
    assert "pylsl.local_clock()" in text
    assert "\n" not in text


def test_each_cause_is_said_once_and_then_counted_and_another_outlet_is_said_anew():
    checked = MarkerStamps("streams.markers")
    _, said = sort([1.7e9] * 1000 + [math.nan] * 5, checked=checked)
    assert [level for _, level, _ in said] == ["error", "warning", "warning", "warning", "error"]
    for n, (_, _, text) in zip((10, 100, 1000), said[1:4], strict=True):
        assert f"is the {n}th that is refused" in text
    assert [level for _, level, _ in sort([1.7e9], checked=checked, uid="again")[1]] == ["error"]


def test_text_with_line_breaks_stays_one_line():
    _, said = MarkerStamps("streams.markers").sort(
        [SourceMarker(math.nan, "a\nb" * 1000, NOW_S)], LIVE, "'m'", "uid"
    )
    assert "\n" not in said[0][2]
    assert len(said[0][2]) < 600


@pytest.mark.parametrize(
    ("stamp", "ok"), [(1.7e9, True), (-3.0, True), (math.nan, False), (1e19, False)]
)
def test_on_the_sessions_own_clock_every_time_that_a_clock_can_read_is_handed_out(stamp, ok):
    assert bool(sort([stamp], SESSION)[0]) is ok


def test_markers_may_follow_the_samples_where_their_clock_was_set():
    ahead = ClockNow(NOW_S + 2e5, session_clock=False)
    assert len(sort([NOW_S + 2e5, NOW_S], ahead)[0]) == 2
    behind = ClockNow(NOW_S - 4e4, session_clock=False)
    assert len(sort([NOW_S - 4e4, NOW_S], behind)[0]) == 2


@given(st.lists(st.floats()), st.sampled_from([LIVE, SESSION, ClockNow(None, False)]))
def test_whatever_is_handed_out_is_a_place_on_the_sample_clock(stamps, clock):
    good, _ = sort(stamps, clock)
    assert all(abs(round((marker.time_s - NOW_S) * 30_000)) < 2**63 for marker in good)
