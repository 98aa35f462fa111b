from __future__ import annotations

import time

import msgspec
import numpy as np
import pytest

from b2g_rt.contracts.messages import (
    VERSION,
    ActivityMessage,
    Flags,
    Image,
    Topic,
    encode,
    pixels_of,
)
from b2g_rt.display.trials import N_STRIP, span_ms
from tests.fake_service import N_WINDOWS, FakeService


def test_newest_picture_comes_with_the_stimulus_of_its_trial(fed):
    onset_s = fed.begin()
    frame = fed.frame(0, onset_s)
    snapshot = fed.model.snapshot()
    np.testing.assert_array_equal(snapshot.picture.pixels, pixels_of(frame.image))
    assert snapshot.stimulus.name == frame.stimulus
    fed.begin()
    assert fed.model.snapshot().stimulus.name == frame.stimulus, (
        "the picture's trial, not the newest"
    )


def test_windows_of_the_running_trial_are_marked_with_what_became_of_them(fed):
    onset_s = fed.begin()
    fed.frame(0, onset_s)
    fed.frame(1, onset_s, Flags(late=True))
    fed.frame(2, onset_s, Flags(skipped=True))
    fed.frame(3, onset_s, Flags(dropped=True))
    progress = fed.model.snapshot().progress
    outcomes = [None if mark is None else mark.outcome for mark in progress.marks]
    assert outcomes == ["decoded", "decoded", "skipped", "dropped"] + [None] * 5
    assert [mark.late for mark in progress.marks[:2]] == [False, True]
    fed.begin()
    assert fed.model.snapshot().progress.marks == (None,) * N_WINDOWS


@pytest.mark.parametrize("speed", [1.0, 0.25])
def test_window_spans_are_in_recorded_milliseconds_also_when_slowed(speed, fed):
    fed.service = FakeService(speed=speed)
    fed.status()
    fed.trial()
    spans = fed.model.snapshot().spans_ms
    assert spans[0] == (-100, 0)
    assert spans[8] == (100, 200)


def test_strip_holds_the_last_eight_trials_with_the_latest_window_that_was_painted(fed):
    for _ in range(N_STRIP + 3):
        fed.trial()
    strip = fed.model.snapshot().strip
    assert [row.trial for row in strip] == list(range(3, 3 + N_STRIP))
    assert {row.picture.frame.window_idx for row in strip} == {N_WINDOWS - 1}
    assert all(row.scores.trial == row.stimulus.trial == row.trial for row in strip)


def test_strip_is_the_same_object_while_nothing_in_it_changes(fed):
    fed.trial()
    before = fed.model.snapshot().strip
    onset_s = fed.begin()
    fed.frame(0, onset_s)
    assert fed.model.snapshot().strip is before


def test_a_picture_that_was_never_painted_is_not_in_the_strip(fed):
    onset_s = fed.begin()
    for window_idx in range(N_WINDOWS):
        fed.frame(window_idx, onset_s)
        if window_idx == 4:
            fed.model.painted(fed.model.snapshot().picture)
    fed.take(Topic.EVENTS, fed.service.scores())
    assert fed.model.snapshot().strip[-1].picture.frame.window_idx == 4


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"hello", "expected a b2g_rt message"),
        (b"", "expected a b2g_rt message"),
        (
            msgspec.msgpack.encode({"type": "frame", "version": VERSION + 1}),
            "this program reads version",
        ),
        (msgspec.msgpack.encode({"type": "frame", "version": VERSION}), "expected the layout"),
    ],
    ids=["foreign", "empty", "next version", "other layout"],
)
def test_a_foreign_message_is_one_line_and_counted(fed, data, said):
    fed.trial()
    for _ in range(3):
        fed.take(Topic.PICTURES, data)
    snapshot = fed.model.snapshot()
    assert snapshot.n_foreign == 3
    assert [line.count for line in snapshot.events] == [3]
    assert said in snapshot.events[0].text
    assert snapshot.picture is not None


def test_a_message_on_the_wrong_topic_is_named(fed):
    fed.take(Topic.PICTURES, fed.service.status())
    snapshot = fed.model.snapshot()
    assert snapshot.n_foreign == 1
    assert "StatusMessage" in snapshot.events[0].text


def test_a_broken_picture_leaves_the_last_good_one(fed):
    fed.trial()
    good = fed.model.snapshot().picture
    broken = msgspec.structs.replace(
        fed.service.frame(0, 0.0), image=Image("jpeg", 128, 128, b"no jpeg")
    )
    fed.take(Topic.PICTURES, broken)
    snapshot = fed.model.snapshot()
    assert snapshot.picture is good
    assert "JPEG" in snapshot.events[-1].text


def test_activity_of_another_channel_count_is_refused_by_name(fed):
    fed.status()
    values = np.zeros(12, "<f4").tobytes()
    fed.take(Topic.ACTIVITY, ActivityMessage(VERSION, 0.0, 0, values))
    assert "12 channels, the status names 960" in fed.model.snapshot().events[-1].text


def test_lines_that_differ_by_numbers_only_are_counted(fed):
    for n_lost in (12, 7, 300):
        fed.take(Topic.EVENTS, fed.service.event(f"gap: stream mua lost {n_lost} samples"))
    (line,) = fed.model.snapshot().events
    assert (line.text, line.count) == ("gap: stream mua lost 300 samples", 3)


def test_a_restarted_service_is_accepted_though_it_counts_from_zero(fed):
    for _ in range(3):
        fed.trial()
    fed.status()
    fed.service = FakeService(seed=1, clock_shift_s=-500.0)  # another host: another clock
    fed.status()
    fed.trial()
    snapshot = fed.model.snapshot()
    assert [row.trial for row in snapshot.strip] == [0]
    assert len(snapshot.identification) == 1
    assert any("started again" in line.text for line in snapshot.events)
    assert snapshot.picture.frame.sequence == N_WINDOWS - 1
    assert snapshot.offset_s == pytest.approx(500.0, abs=0.2)


def test_a_leftover_of_the_old_connection_does_not_replace_a_newer_picture(fed):
    onset_s = fed.begin()
    old = fed.frame(0, onset_s)
    newer = fed.frame(1, onset_s)
    fed.take(Topic.PICTURES, old)
    assert fed.model.snapshot().picture.frame.sequence == newer.sequence


def test_picture_period_is_measured_within_trials(fed):
    fed.begin()
    base = fed.service.frame(0, 0.0)
    for i in range(10):
        stamps = msgspec.structs.replace(
            base.stamps, published=100.0 + 0.1 * i, sample=99.9 + 0.1 * i
        )
        frame = msgspec.structs.replace(base, sequence=100 + 2 * i, stamps=stamps)
        fed.model.take(Topic.PICTURES, encode(frame), time.monotonic())
    assert fed.model.snapshot().picture_period_s == pytest.approx(0.05)


def test_service_that_falls_silent_is_gone(fed):
    assert fed.model.snapshot().service_state(0.0) == "no contact yet"
    fed.status(state="stalled")
    snapshot = fed.model.snapshot()
    assert snapshot.service_state(snapshot.heard_s + 0.1) == "stalled"
    assert snapshot.service_state(snapshot.heard_s + 2.1) == "gone"
    # A display that was itself stalled has not listened: it does not call the service gone.
    woke_s = snapshot.heard_s + 5
    assert snapshot.service_state(woke_s, listening_since_s=woke_s) == "stalled"
    assert snapshot.service_state(woke_s + 2.1, listening_since_s=woke_s) == "gone"


def test_frames_lost_on_the_way_are_told(fed):
    onset_s = fed.begin()
    fed.frame(0, onset_s)
    fed.service.sequence += 5
    fed.frame(6, onset_s)
    (line,) = fed.model.snapshot().events
    assert line.text == "events: 5 frames were lost on the way to this display"


def test_labels_of_windows_do_not_flicker_with_the_clock_fit(fed):
    frame = fed.service.frame(8, 0.0)
    for error_s in (-0.0009, -0.0003, 0.0004, 0.0012):
        assert span_ms(frame, frame.onset_s + error_s, 1.0) == (100, 200)
