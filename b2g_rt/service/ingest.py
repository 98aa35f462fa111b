"""The ingest stage: what the source received goes to the recorder and the ring; due windows are cut.

One thread, one loop: read, normalise, append, ask the scheduler, cut. It never waits for pictures or disks.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from b2g_rt.config import Config
from b2g_rt.contracts.messages import (
    VERSION,
    ActivityMessage,
    EventMessage,
    Ledger,
    StimulusMessage,
)
from b2g_rt.contracts.recorded_frames import DAY_START
from b2g_rt.contracts.windows import (
    DueWindow,
    MissingLimits,
    Trial,
    WindowCutter,
    WindowFeatures,
    WindowScheduler,
)
from b2g_rt.errors import CommandError, StreamError, WindowOverwritten
from b2g_rt.mua.normaliser import Normaliser
from b2g_rt.ring import Ring
from b2g_rt.service.decode import WindowJob
from b2g_rt.service.deliver import Delivery
from b2g_rt.service.models import Models, normalisation_of
from b2g_rt.service.onsets import OnsetTracker
from b2g_rt.service.progress import Progress
from b2g_rt.service.status import StatusReporter
from b2g_rt.sources.chunk import Chunk, Level, Source
from b2g_rt.sources.placed import Placed

if TYPE_CHECKING:
    from b2g_rt.outputs.recorder import Recorder

LOG = logging.getLogger(__name__)

READ_TIMEOUT_S = 0.1
ACTIVITY_S = 0.05
MAX_NAMED = 20
_LOG_LEVELS: dict[Level, int] = {
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


class IngestStage:
    """Reads a source until told to stop.

    Parameters
    ----------
    config : Config
    models : Models
    source : Source
    recorder : Recorder or None
    now : callable
        The LSL clock, seconds.
    progress : Progress
    send_job, send : callable
        Where due windows and messages go.
    """

    def __init__(
        self,
        config: Config,
        models: Models,
        source: Source,
        recorder: Recorder | None,
        now: Callable[[], float],
        progress: Progress,
        send_job: Callable[[WindowJob], None],
        send: Callable[[Delivery], None],
    ) -> None:
        self._source = source
        self._recorder = recorder
        self._now = now
        self._progress = progress
        self._send_job = send_job
        self._send = send
        self._channels = models.channels
        self._stimuli = models.stimuli
        self._known = set(models.bundle.stimuli.ids)
        self._unknown: set[str] = set()
        bundle = models.bundle
        spec = bundle.windows
        normalisation = normalisation_of(config, bundle)
        self._normaliser = Normaliser(
            normalisation, bundle.channel_mean, bundle.channel_sd, spec.rate_hz
        )
        self._has_days = normalisation.kind == "running"
        self._day_weight_s = config.adaptation.day_weight_s
        self._day_due = threading.Event()
        if self._has_days and config.adaptation.day_start == "stream":
            self._day_due.set()
        self._ring = Ring(round(config.service.ring_s * spec.rate_hz), bundle.channels.n_channels)
        self._scheduler = WindowScheduler(spec)
        limits = MissingLimits(config.windows.max_lost_share, config.windows.max_bad_channel_share)
        self._cutter = WindowCutter(spec, bundle.channels, limits)
        self._onsets = OnsetTracker(config.streams.marker_pattern)
        self._sequence = 0
        self._status = StatusReporter(config, models, progress)
        self._activity_s = 1.0 / config.service.activity_hz
        self._activity_samples = round(ACTIVITY_S * spec.rate_hz)
        self._next_activity = 0.0
        self._refused = ""
        self._too_old_trial = -1
        self._n_absent = 0

    def run(self, stop: threading.Event) -> None:
        """Loop until ``stop`` is set or the source is exhausted; then close the source."""
        try:
            while not stop.is_set():
                try:
                    chunk = self._source.read(READ_TIMEOUT_S)
                except StreamError as error:
                    # A stream that does not fit must not end a session: the right one may still come.
                    self._refuse(str(error))
                    stop.wait(READ_TIMEOUT_S)
                    continue
                self.take(chunk)
                if chunk.state == "ended":
                    break
        finally:
            self._status.stopping()
            self._send(self._status.message(self._now()))
            self._source.close()

    def _refuse(self, text: str) -> None:
        if text != self._refused:
            self._refused = text
            self._status.refused(text)
            self._tell("stream-refused", "error", text)
        self._report()

    @property
    def ledgers(self) -> tuple[Ledger, Ledger]:
        """What the source counted so far: MUA and markers."""
        return self._status.ledgers

    def take(self, chunk: Chunk) -> None:
        """Process what one read returned."""
        self._status.saw(chunk, self._source.description)
        for event in chunk.events:
            self._tell(event.kind, event.level, event.text, event.time_s)
        for run in chunk.placed:
            self._append(run, chunk.received_s)
        for marker in chunk.markers:
            if self._recorder:
                self._recorder.marker(marker.time_s, marker.text)
            self._onsets.add(marker.time_s, marker.text)
        self._progress.n_other_markers = self._onsets.n_others
        if chunk.placed or chunk.markers:
            self._schedule(chunk.received_s)
        self._report()

    def _append(self, run: Placed, received_s: float) -> None:
        if self._recorder:
            index = np.arange(run.index, run.stop, dtype=np.int64)
            self._recorder.samples(run.rows, run.stamps, index)
        if run.kind == "duplicate":
            return
        rows = self._channels.pick(run.rows)
        if run.kind == "late":
            self._ring.fill(run.index, self._normaliser.apply(rows))
            return
        self._append_lost(run.n_lost, received_s)
        if self._day_due.is_set():
            self._start_day(run.index)
        self._ring.append(self._normaliser.push(rows))

    def request_day(self) -> None:
        """Start a day with the next sample; from any thread.

        Raises
        ------
        CommandError
            Normalisation is frozen and has no days.
        """
        if not self._has_days:
            raise CommandError(
                "new-day: normalisation is frozen and has no days. Serve with --set normalisation=running."
            )
        self._day_due.set()

    def _start_day(self, index: int) -> None:
        self._day_due.clear()
        self._normaliser.start_day(self._day_weight_s)
        self._tell(
            DAY_START,
            "info",
            f"a day starts with sample {index}: running normalisation learns it anew, what came before counts for "
            f"{self._day_weight_s:g} s",
            self._source.clock.time_of(index),
            index,
        )

    def _append_lost(self, n: int, received_s: float) -> None:
        """Let lost samples into the ring; a gap longer than the ring must not push out windows before they are cut."""
        self._normaliser.skip(n)
        step = self._ring.capacity // 2
        while n > 0:
            part = min(n, step)
            self._ring.append_lost(part)
            n -= part
            if n > 0:
                self._schedule(received_s)

    def _schedule(self, received_s: float) -> None:
        stop = self._ring.stop
        if stop == 0:
            return
        for trial in self._onsets.resolve(self._source.clock.position_of, stop):
            self._start(trial)
            self._scheduler.add_trial(trial, stop)
        self._progress.n_trials = self._onsets.n_trials
        for window in self._scheduler.due(stop):
            self._send_job(self._job(window, received_s))

    def _start(self, trial: Trial) -> None:
        if trial.stimulus not in self._known:
            self._name_unknown(trial)
        self._send(
            StimulusMessage(
                version=VERSION,
                trial=trial.trial,
                stimulus=trial.stimulus,
                onset_s=trial.onset_s,
                image=self._stimuli.get(trial.stimulus),
            )
        )

    def _name_unknown(self, trial: Trial) -> None:
        self._progress.n_unknown_stimuli += 1
        if trial.stimulus in self._unknown or len(self._unknown) >= MAX_NAMED:
            return
        self._unknown.add(trial.stimulus)
        more = " Further ones are counted only." if len(self._unknown) == MAX_NAMED else ""
        self._tell(
            "unknown-stimulus",
            "warning",
            f"marker '{trial.stimulus}': not among the bundle's {len(self._known)} stimuli; decoded, but not "
            f"scored. Check streams.marker_pattern, or fit a bundle that knows it.{more}",
            trial.onset_s,
        )

    def _job(self, window: DueWindow, received_s: float) -> WindowJob:
        self._progress.windows_due += 1
        self._progress.windows_late += window.late
        features = self._cut(window)
        self._progress.windows_gap += features.n_lost > 0
        time_of = self._source.clock.time_of
        job = WindowJob(
            sequence=self._sequence,
            window=window,
            features=features,
            start_s=time_of(window.start),
            stop_s=time_of(window.stop),
            sample_s=time_of(window.stop - 1),
            received_s=received_s,
            due_s=self._now(),
        )
        self._sequence += 1
        return job

    def _cut(self, window: DueWindow) -> WindowFeatures:
        try:
            features = self._cutter.cut(self._ring, window.start)
        except WindowOverwritten as error:
            self._name_too_old(window, str(error))
            return WindowFeatures(None, 0, 0, "not in the ring")
        if features.values is None:
            self._n_absent += 1
            if self._n_absent == 1:
                self._tell(
                    "window-absent",
                    "warning",
                    f"window {window.start} to {window.stop - 1}: {features.reason}, no latent. Counted from now on.",
                )
        return features

    def _name_too_old(self, window: DueWindow, why: str) -> None:
        trial = window.trial
        if trial is None or trial.trial == self._too_old_trial:
            return
        self._too_old_trial = trial.trial
        self._progress.n_markers_too_old += 1
        if self._ring.start == 0:
            why = "it lies before the first sample that was received; its first windows have no latent."
        self._tell("marker-too-old", "warning", f"marker '{trial.stimulus}': {why}", trial.onset_s)

    def _report(self) -> None:
        now = self._now()
        if now >= self._next_activity and self._ring.stop:
            self._next_activity = now + self._activity_s
            values = self._ring.latest_mean(self._activity_samples)
            self._send(
                ActivityMessage(
                    version=VERSION,
                    time_s=self._source.clock.time_of(self._ring.stop - 1),
                    sample_stop=self._ring.stop,
                    values=values.astype("<f4").tobytes(),
                )
            )
        if self._status.due(now):
            self._send(self._status.message(now))

    def _tell(
        self,
        kind: str,
        level: Level,
        text: str,
        time_s: float | None = None,
        sample: int | None = None,
    ) -> None:
        LOG.log(_LOG_LEVELS[level], "%s", text)
        self._send(
            EventMessage(
                version=VERSION,
                kind=kind,
                level=level,
                text=text,
                time_s=self._now() if time_s is None else time_s,
                sample=sample,
            )
        )
