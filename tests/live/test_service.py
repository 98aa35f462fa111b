"""The whole service between real LSL outlets, a real decoder and generator, and real subscribers."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pylsl
import pytest

from b2g_rt.commands.live import Live, build, lsl_source
from b2g_rt.config import load_config
from b2g_rt.contracts.messages import EventMessage, FrameMessage, Message, TrialMessage, latent_of
from b2g_rt.contracts.session import SessionFile
from b2g_rt.contracts.windows import paper_windows, sliding_windows
from b2g_rt.service.models import load_models
from tests.live.outlets import MarkerOutlet, MuaOutlet
from tests.tiny_bundle import CHANNELS, write_tiny_bundle

pytestmark = pytest.mark.live
DEADLINE_S = 30.0


class Seen:
    """Everything that left the service."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._changed = threading.Condition()

    def __call__(self, message: Message) -> None:
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()

    def frames(self) -> list[FrameMessage]:
        return [m for m in self.messages if isinstance(m, FrameMessage)]

    def events(self, kind: str) -> list[EventMessage]:
        return [m for m in self.messages if isinstance(m, EventMessage) and m.kind == kind]

    def trials(self) -> list[TrialMessage]:
        return [m for m in self.messages if isinstance(m, TrialMessage)]

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        with self._changed:
            while not condition():
                left = deadline - time.monotonic()
                assert left > 0, f"waited {DEADLINE_S} s; saw {self.messages[-5:]}"
                self._changed.wait(min(left, 0.1))

    def wait_for_frames(self, n: int) -> None:
        self.wait(lambda: len(self.frames()) >= n)


class Rig:
    """A service and the two streams it reads."""

    def __init__(self, live: Live, seen: Seen, mua: MuaOutlet, markers: MarkerOutlet) -> None:
        self.live, self.seen, self.mua, self.markers = live, seen, mua, markers

    def trial(self, stimulus: str, onset: int) -> None:
        """Send everything of one trial: samples to 250 ms after the onset, the marker when it is due."""
        self.mua.push(onset + 1 - self.mua.sent)
        self.markers.push(stimulus, self.mua.time_of(onset))
        self.mua.push(250)


@contextmanager
def rig(tmp_path: Path, *sets: str, free_running: bool = False) -> Iterator[Rig]:
    bundle = write_tiny_bundle(
        tmp_path / "bundle",
        channels=CHANNELS,
        windows=sliding_windows() if free_running else paper_windows(),
        decoder_kind="fixed" if free_running else "per_window",
    )
    name = uuid.uuid4().hex[:8]
    ports = [f"publish.{topic}_port=0" for topic in ("pictures", "events", "activity", "status")]
    config = load_config(
        None,
        [
            f"bundle={bundle.path}",
            f"streams.mua.name=mua-{name}",
            f"streams.markers.name=markers-{name}",
            f"outlets.latents=latents-{name}",
            f"outlets.events=events-{name}",
            *ports,
            *sets,
        ],
    )
    mua, markers = MuaOutlet(f"mua-{name}"), MarkerOutlet(f"markers-{name}")
    models = load_models(config)
    source = lsl_source(config, models.channels, models.bundle.windows.rate_hz)
    source.connect()
    seen = Seen()
    live = build(config, models, source, seen)
    live.service.start()
    mua.wait_for_reader()
    markers.wait_for_reader()
    # The clock of the outlet starts when there is a reader, as an amplifier's does at "record".
    mua.start_s = pylsl.local_clock()
    try:
        yield Rig(live, seen, mua, markers)
    finally:
        live.service.request_stop()
        assert live.service.wait(DEADLINE_S)


def latent(frame: FrameMessage) -> np.ndarray:
    """Return the frame's latent, which must be there."""
    found = latent_of(frame)
    assert found is not None
    return found


def test_every_due_window_gives_exactly_one_frame(tmp_path):
    with rig(tmp_path) as r:
        for i in range(5):
            r.trial(f"face-{i:04d}", 400 + 400 * i)
        r.seen.wait_for_frames(45)
    frames = r.seen.frames()
    assert sorted((f.trial, f.window_idx) for f in frames) == [
        (t, k) for t in range(5) for k in range(9)
    ]
    assert all(f.latent is not None for f in frames)
    assert sorted(f.sequence for f in frames) == list(range(45))
    progress = r.live.service.progress
    assert (progress.windows_due, progress.windows_decoded, progress.windows_dropped) == (45, 45, 0)
    assert progress.frames_rendered + progress.windows_skipped == 45
    assert len(r.seen.trials()) == 5


def test_a_picture_carries_the_identity_of_the_window_it_was_decoded_from(tmp_path):
    with rig(tmp_path) as r:
        r.trial("face-0003", 400)
        r.seen.wait_for_frames(9)
        generator = r.live.models.generator
        shown = [f for f in r.seen.frames() if f.image is not None]
        assert shown
        for frame in shown:
            expected = generator.render(latent(frame))
            assert frame.image.data == expected.tobytes()
            assert frame.stimulus == "face-0003"
            assert frame.sample_stop - frame.sample_start == 100


def test_frames_carry_the_time_of_their_samples_and_of_every_stage(tmp_path):
    with rig(tmp_path) as r:
        r.trial("face-0001", 500)
        r.seen.wait_for_frames(9)
    for frame in r.seen.frames():
        onset = r.mua.time_of(500)
        assert frame.onset_s == pytest.approx(onset, abs=1e-6)
        assert frame.window_stop_s == pytest.approx(onset + 0.025 * frame.window_idx, abs=1e-4)
        assert frame.window_stop_s - frame.window_start_s == pytest.approx(0.1, abs=1e-6)
        stamps = frame.stamps
        assert stamps.decoded is not None
        assert stamps.published is not None
        assert stamps.received <= stamps.due <= stamps.decoded <= stamps.published


def test_windows_that_closed_before_their_marker_are_decoded_at_once_and_flagged_late(tmp_path):
    with rig(tmp_path) as r:
        r.mua.push(900)
        r.seen.wait(lambda: r.live.service.ledgers[0].received >= 870)
        r.markers.push("face-0000", r.mua.time_of(500))
        r.seen.wait_for_frames(9)
    assert all(f.flags.late for f in r.seen.frames())
    assert all(f.latent is not None for f in r.seen.frames())


def test_a_gap_inside_a_window_marks_its_frames_and_the_ledger_adds_up(tmp_path):
    with rig(tmp_path) as r:
        r.mua.push(450)
        r.mua.skip(12)
        r.mua.push(39)
        r.markers.push("face-0000", r.mua.time_of(500))
        r.mua.push(300)
        r.seen.wait_for_frames(9)
    by_window = {f.window_idx: f for f in r.seen.frames()}
    # The gap lies at samples 450-461; window k covers 400 + 25 k to 500 + 25 k.
    assert {k: f.flags.gap for k, f in by_window.items()} == {k: k <= 2 for k in range(9)}
    assert by_window[0].n_lost == 12
    ledger = r.live.service.ledgers[0]
    assert (ledger.lost, ledger.expected) == (12, ledger.received + 12)
    assert len(r.seen.events("gap")) == 1


def test_a_window_with_too_much_lost_has_no_latent_and_says_so(tmp_path):
    with rig(tmp_path) as r:
        r.mua.push(420)
        r.mua.skip(60)
        r.mua.push(21)
        r.markers.push("face-0000", r.mua.time_of(500))
        r.mua.push(300)
        r.seen.wait_for_frames(9)
    by_window = {f.window_idx: f for f in r.seen.frames()}
    assert by_window[0].flags.dropped
    assert by_window[0].latent is None
    assert by_window[8].latent is not None
    assert r.live.service.progress.windows_dropped == sum(
        f.flags.dropped for f in by_window.values()
    )
    assert len(r.seen.events("window-absent")) == 1


def test_a_marker_older_than_the_ring_is_counted_and_named(tmp_path):
    with rig(tmp_path, "service.ring_s=1") as r:
        r.mua.push(2500)
        r.seen.wait(lambda: r.live.service.ledgers[0].received >= 2400)
        r.markers.push("face-0002", r.mua.time_of(300))
        r.seen.wait_for_frames(9)
    assert all(f.flags.dropped for f in r.seen.frames())
    (event,) = r.seen.events("marker-too-old")
    assert "face-0002" in event.text


def test_an_unknown_stimulus_is_named_once_and_still_decoded(tmp_path):
    with rig(tmp_path) as r:
        r.trial("nobody", 400)
        r.trial("nobody", 800)
        r.seen.wait_for_frames(18)
    (event,) = r.seen.events("unknown-stimulus")
    assert "nobody" in event.text
    assert all(f.latent is not None and f.cosine is None for f in r.seen.frames())
    assert r.seen.trials() == []


@pytest.mark.parametrize("bad", [np.nan, np.inf], ids=["nan", "inf"])
def test_samples_that_are_not_finite_degrade_their_channel_only(tmp_path, bad):
    with rig(tmp_path) as r:
        rows = r.mua.rows(1000)
        rows[:, 77] = bad
        r.mua.push(1000, rows)
        r.markers.push("face-0000", r.mua.time_of(500))
        r.seen.wait_for_frames(9)
    for frame in r.seen.frames():
        assert frame.flags.degraded
        assert frame.n_bad_channels == 1
        assert np.isfinite(latent(frame)).all()


def test_free_running_decodes_every_25_ms_without_any_marker(tmp_path):
    with rig(tmp_path, free_running=True) as r:
        r.mua.push(1000)
        # The first window ends at 150: its V1 samples lie 50 ms before it.
        r.seen.wait_for_frames(35)
    frames = r.seen.frames()
    assert [f.sample_stop for f in frames] == list(range(150, 1001, 25))
    assert all(f.trial is None and f.latent is not None for f in frames)
    assert r.seen.trials() == []


def test_an_amplified_latent_is_drawn_but_the_decoded_one_is_sent(tmp_path):
    with rig(tmp_path, "inference.latent_gain=2") as r:
        r.trial("face-0003", 400)
        r.seen.wait_for_frames(9)
        generator, mean = r.live.models.generator, r.live.models.bundle.latent_mean
        assert generator is not None
        for frame in (f for f in r.seen.frames() if f.image is not None):
            drawn = generator.render(mean + np.float32(2) * (latent(frame) - mean))
            assert frame.image is not None
            assert frame.image.data == drawn.tobytes()


@pytest.mark.parametrize("stage", ["decode", "render", "deliver"])
def test_a_failure_in_one_stage_is_said_and_neither_stops_nor_loses_anything_else(tmp_path, stage):
    path = tmp_path / "session.h5"
    with rig(tmp_path, f"record.path={path}") as r:
        service = r.live.service
        part = getattr(service, f"_{stage}")
        healthy, calls = part.push, []

        def failing(item):
            calls.append(item)
            if len(calls) == 3:
                raise RuntimeError("the card is gone")
            return healthy(item)

        part.push = failing
        # What the failing delivery held, a frame at the most, is gone; decode and render lose none.
        lost = 1 if stage == "deliver" else 0
        for i in range(3):
            r.trial(f"face-{i:04d}", 400 + 400 * i)
            # A trial's newest window is always rendered: three trials, seen one after the other, give each stage three.
            r.seen.wait_for_frames(9 * (i + 1) - lost)
        r.seen.wait(lambda: service.progress.windows_due == 27)
        assert len(calls) >= 3
        # The last samples belong to no window; a service that is closed while they are on their way has not lost them.
        r.seen.wait(lambda: service.ledgers[0].received == r.mua.sent)
        if stage != "deliver":
            assert len(r.seen.events("stage-failed")) == 1
            failed = [f for f in r.seen.frames() if f.flags.dropped or f.flags.skipped]
            assert failed
    assert service.progress.n_failures == 1
    with SessionFile(path) as session:
        assert session.n_samples == r.mua.sent
        assert len(session.group("frames")["sequence"]) >= 26


def test_a_gap_longer_than_the_ring_flags_the_windows_it_touches(tmp_path):
    with rig(tmp_path, "service.ring_s=1") as r:
        r.mua.push(501)
        r.markers.push("face-0000", r.mua.time_of(500))
        r.seen.wait_for_frames(1)
        r.mua.push(90)
        r.mua.skip(4000)
        r.mua.push(200)
        r.seen.wait_for_frames(9)
    by_window = {f.window_idx: f for f in r.seen.frames()}
    # The gap begins at 591; window k covers 400 + 25 k to 500 + 25 k.
    assert {k: f.flags.gap for k, f in by_window.items()} == {k: k >= 4 for k in range(9)}
    assert by_window[4].latent is not None
    assert by_window[8].flags.dropped
    assert r.seen.events("marker-too-old") == []


def test_an_onset_before_the_first_sample_is_named_as_that(tmp_path):
    with rig(tmp_path) as r:
        r.mua.push(1)
        r.seen.wait(lambda: r.live.service.ledgers[0].received >= 1)
        r.markers.push("face-0002", r.mua.time_of(-50))
        r.mua.push(400)
        r.seen.wait_for_frames(9)
    (event,) = r.seen.events("marker-too-old")
    assert "before the first sample" in event.text
    assert [f.flags.dropped for f in sorted(r.seen.frames(), key=lambda f: f.window_idx)] == (
        [True] * 6 + [False] * 3
    )


def test_a_stream_that_stops_and_returns_is_one_gap_and_is_decoded_again(tmp_path):
    with rig(tmp_path) as r:
        r.trial("face-0000", 400)
        r.seen.wait_for_frames(9)
        name = r.live.service._ingest._source.description.name
        r.mua.close()
        r.seen.wait(lambda: bool(r.seen.events("lost")))
        again = MuaOutlet(name, start_s=r.mua.start_s)
        again.wait_for_reader()
        again.sent = r.mua.sent + 200
        r.mua = again
        r.trial("face-0001", again.sent + 400)
        r.seen.wait_for_frames(18)
    ledger = r.live.service.ledgers[0]
    assert ledger.reconnects == 1
    assert ledger.lost == 200
    assert ledger.expected == ledger.received + ledger.lost
    assert [f.flags.dropped for f in r.seen.frames()] == [False] * 18
    assert len({(f.trial, f.window_idx) for f in r.seen.frames()}) == 18


def test_everything_received_and_decoded_is_in_the_recording(tmp_path):
    path = tmp_path / "session.h5"
    with rig(tmp_path, f"record.path={path}") as r:
        for i in range(3):
            r.trial(f"face-{i:04d}", 400 + 400 * i)
        r.seen.wait_for_frames(27)
        r.seen.wait(lambda: r.live.service.ledgers[0].received == r.mua.sent)
    with SessionFile(path) as session:
        ledger = r.live.service.ledgers[0]
        assert session.n_samples == ledger.received == r.mua.sent
        np.testing.assert_array_equal(
            session.mua(0, session.n_samples)[:, 0], np.arange(r.mua.sent)
        )
        assert [m.text for m in session.markers()] == ["face-0000", "face-0001", "face-0002"]
        assert len(session.group("frames")["sequence"]) == 27


def test_latents_and_events_can_be_read_by_any_lsl_client(tmp_path):
    with rig(tmp_path) as r:
        name = r.live.outputs.latents._outlet.get_info().name()
        (info,) = pylsl.resolve_byprop("name", name, timeout=10)
        inlet = pylsl.StreamInlet(info)
        inlet.open_stream(10)
        r.trial("face-0000", 400)
        r.seen.wait_for_frames(9)
        samples: list[list[float]] = []
        stamps: list[float] = []
        while len(samples) < 9:
            sample, stamp = inlet.pull_sample(timeout=10)
            assert sample is not None
            samples.append(sample)
            stamps.append(stamp)
    frames = sorted(r.seen.frames(), key=lambda f: f.sequence)
    for frame, sample, stamp in zip(frames, samples, stamps, strict=True):
        np.testing.assert_array_equal(np.array(sample[:16], np.float32), latent(frame))
        assert stamp == pytest.approx(frame.window_stop_s, abs=1e-3)
