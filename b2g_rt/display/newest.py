"""The display's model: takes messages as bytes, keeps the newest state, hands out snapshots. No widgets.

The subscriber's thread calls ``take`` and ``note``, the GUI thread ``snapshot`` and ``painted``; one lock guards all.
A service that was started again counts from zero: each topic notices that by itself, since topics
travel on sockets of their own and nothing orders them among each other.
"""

from __future__ import annotations

import re
import statistics
import threading
from collections import deque
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.messages import (
    ActivityMessage,
    EncodingMessage,
    EventMessage,
    FrameMessage,
    Image,
    Message,
    StatusMessage,
    StimulusMessage,
    Topic,
    TrialMessage,
    decode,
    floats_of,
    pixels_of,
)
from b2g_rt.display.service_clock import ServiceClock
from b2g_rt.display.snapshot import EventLine, Picture, Pixels, Snapshot
from b2g_rt.display.trials import Trials
from b2g_rt.errors import MessageError

N_EVENT_LINES = 4
# Order within one connection is certain, so going back means another run; but what an old
# connection still held may come after the new one's first message. Only a repeated step back counts.
N_STEPS_BACK = 3
_DEFAULT_PERIOD_S = 0.025
_NUMBER = re.compile(r"\d+(\.\d+)?")

_EXPECTED: dict[Topic, tuple[type, ...]] = {
    Topic.PICTURES: (FrameMessage,),
    Topic.ACTIVITY: (ActivityMessage,),
    Topic.STATUS: (StatusMessage,),
    Topic.EVENTS: (FrameMessage, StimulusMessage, TrialMessage, EncodingMessage, EventMessage),
}


class Newest:
    """Newest state of all four topics."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clock = ServiceClock()
        self._trials = Trials()
        self._picture: Picture | None = None
        self._steps_back = 0
        self._periods_s: deque[float] = deque(maxlen=15)
        self._activity: NDArray[np.float32] | None = None
        self._status: StatusMessage | None = None
        self._heard_s = 0.0
        self._baseline: tuple[Image, Pixels] | None = None
        self._events: tuple[EventLine, ...] = ()
        self._n_foreign = 0

    def take(self, topic: Topic, data: bytes, arrival_s: float) -> None:
        """Take one message as it came; what cannot be read is counted and named, never raised.

        Parameters
        ----------
        topic : Topic
            The socket it came from.
        data : bytes
            One ZeroMQ part.
        arrival_s : float
            Monotonic clock, seconds.
        """
        with self._lock:
            try:
                message = decode(data)
                if not isinstance(message, _EXPECTED[topic]):
                    raise MessageError(
                        f"a message '{type(message).__name__}' does not belong there."
                    )
                self._heard_s = arrival_s
                self._take(topic, message, arrival_s)
            except MessageError as error:
                self._n_foreign += 1
                self._line("warning", f"{topic}: {error}", arrival_s)

    def note(self, level: Literal["info", "warning", "error"], text: str, arrival_s: float) -> None:
        """Add a line of the display's own to the event area."""
        with self._lock:
            self._line(level, text, arrival_s)

    def painted(self, picture: Picture) -> None:
        """Remember that this picture was on screen: the strip shows what was seen."""
        with self._lock:
            self._trials.painted(picture)

    def snapshot(self) -> Snapshot:
        """Return the newest state."""
        with self._lock:
            trials, picture = self._trials, self._picture
            return Snapshot(
                picture=picture,
                stimulus=None if picture is None else trials.stimulus_of(picture.frame),
                progress=trials.progress,
                spans_ms=trials.spans_ms,
                activity=self._activity,
                status=self._status,
                heard_s=self._heard_s,
                baseline=None if self._baseline is None else self._baseline[1],
                strip=trials.strip,
                identification=trials.identification,
                pool=trials.pool,
                encoding=trials.encoding,
                events=self._events,
                n_foreign=self._n_foreign,
                offset_s=self._clock.offset_s,
                picture_period_s=self._period_s(),
            )

    def _take(self, topic: Topic, message: Message, arrival_s: float) -> None:
        match message:
            case FrameMessage() if topic is Topic.PICTURES:
                self._take_picture(message, arrival_s)
            case StatusMessage():
                self._take_status(message, arrival_s)
            case ActivityMessage():
                self._take_activity(message)
            case EventMessage():
                self._line(message.level, message.text, arrival_s)
            case FrameMessage() | StimulusMessage() | TrialMessage() | EncodingMessage():
                if isinstance(message, EncodingMessage):
                    arrays = message.predicted, message.observed, message.trial_r
                    self._check_channels("encoding", *(a for a in arrays if a is not None))
                if self._trials.is_of_another_run(message):
                    self._trials = Trials()
                    self._line(
                        "info", "service started again, trials count from the beginning", arrival_s
                    )
                if isinstance(message, FrameMessage):
                    n_missing = self._trials.n_missing_before(message)
                    if n_missing:
                        text = f"events: {n_missing} frames were lost on the way to this display"
                        self._line("warning", text, arrival_s)
                self._trials.take(message, 1.0 if self._status is None else self._status.speed)

    def _take_picture(self, frame: FrameMessage, arrival_s: float) -> None:
        if frame.image is None:
            raise MessageError(f"frame {frame.sequence}: no image, expected one on this topic.")
        picture = Picture(frame, pixels_of(frame.image))
        if frame.stamps.published is not None:
            self._clock.observe(frame.stamps.published, arrival_s)
        before = self._picture
        if before is not None and frame.sequence <= before.frame.sequence:
            self._steps_back += 1
            newer = frame.stamps.sample > before.frame.stamps.sample
            if not newer and self._steps_back < N_STEPS_BACK:
                return
            self._periods_s.clear()
        elif before is not None:
            self._observe_period(before.frame, frame)
        self._steps_back = 0
        self._picture = picture

    def _observe_period(self, before: FrameMessage, frame: FrameMessage) -> None:
        published = before.stamps.published, frame.stamps.published
        if before.trial == frame.trial and published[0] is not None and published[1] is not None:
            n_windows = frame.sequence - before.sequence
            self._periods_s.append((published[1] - published[0]) / n_windows)

    def _period_s(self) -> float:
        if not self._periods_s:
            return _DEFAULT_PERIOD_S
        return min(0.2, max(0.005, statistics.median(self._periods_s)))

    def _take_status(self, status: StatusMessage, arrival_s: float) -> None:
        before = self._status
        if before is not None and (
            status.windows_due < before.windows_due
            or status.n_trials < before.n_trials
            or status.time_s < before.time_s
        ):
            self._clock.forget()
        if status.baseline is None:
            self._baseline = None
        elif self._baseline is None or self._baseline[0] != status.baseline:
            self._baseline = status.baseline, pixels_of(status.baseline)
        if before is not None and status.layout == before.layout:
            # The same object as before, so that the array maps see at a glance that nothing moved.
            status = msgspec.structs.replace(status, layout=before.layout)
        self._clock.observe(status.time_s, arrival_s)
        self._status = status

    def _take_activity(self, message: ActivityMessage) -> None:
        self._check_channels("activity", message.values)
        self._activity = floats_of(message.values, "activity")

    def _check_channels(self, what: str, *arrays: bytes) -> None:
        n_channels = None if self._status is None else len(self._status.layout.roi)
        for values in (floats_of(data, what) for data in arrays):
            if n_channels is not None and len(values) != n_channels:
                raise MessageError(
                    f"{what}: {len(values)} channels, the status names {n_channels}."
                )

    def _line(
        self, level: Literal["info", "warning", "error"], text: str, arrival_s: float
    ) -> None:
        # Lines that differ by their numbers only are one cause: told once, then counted.
        cause = _NUMBER.sub("#", text)
        same = next((line for line in self._events if _NUMBER.sub("#", line.text) == cause), None)
        count = 1 if same is None else same.count + 1
        kept = tuple(line for line in self._events if line is not same)
        self._events = (*kept, EventLine(level, text, arrival_s, count))[-N_EVENT_LINES:]
