"""The deliver stage: everything that leaves the service leaves through this one thread.

A frame passes twice: decoded (its latent goes to the LSL outlet at once), then finished (rendered, skipped or
dropped), when it is published and recorded. ZeroMQ sockets and LSL outlets are touched nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from b2g_rt.contracts.messages import (
    ActivityMessage,
    EventMessage,
    FrameMessage,
    Occurrence,
    StatusMessage,
    Topic,
)
from b2g_rt.service.progress import Progress

if TYPE_CHECKING:
    from b2g_rt.outputs.control import ControlServer
    from b2g_rt.outputs.lsl_outlets import EventOutlet, LatentOutlet
    from b2g_rt.outputs.publisher import Publisher
    from b2g_rt.outputs.recorder import Recorder

RECORDER = "recorder"
"""Kind of the events that tell of the recorder's troubles."""

Outgoing = Occurrence | ActivityMessage | StatusMessage


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """A frame whose latent can leave; its picture follows."""

    frame: FrameMessage


@dataclass(frozen=True, slots=True)
class FinishedFrame:
    """A frame that will not change any more, but for the time it leaves."""

    frame: FrameMessage


Delivery = DecodedFrame | FinishedFrame | Outgoing


@dataclass(slots=True)
class Outputs:
    """Where things go, and where commands come in; None where it is switched off."""

    publisher: Publisher | None = None
    latents: LatentOutlet | None = None
    events: EventOutlet | None = None
    recorder: Recorder | None = None
    control: ControlServer | None = None


class DeliverStage:
    """Sends one item to every output that wants it.

    Parameters
    ----------
    outputs : Outputs
    now : callable
        The LSL clock, seconds.
    progress : Progress
    on_message : callable, optional
        Sees every message that leaves, in order, in this stage's thread (summaries, benchmarks).
    """

    def __init__(
        self,
        outputs: Outputs,
        now: Callable[[], float],
        progress: Progress,
        on_message: Callable[[FrameMessage | Outgoing], None] | None = None,
    ) -> None:
        self._out = outputs
        self._now = now
        self._progress = progress
        self._on_message = on_message
        self._held: dict[int, FrameMessage | None] = {}
        self._next_sequence = 0

    def push(self, item: Delivery) -> None:
        """Deliver one item."""
        if isinstance(item, DecodedFrame):
            if self._out.latents and item.frame.latent is not None:
                self._out.latents.push(item.frame)
        elif isinstance(item, FinishedFrame):
            self._finished(item.frame)
        else:
            self._message(item)

    def _finished(self, frame: FrameMessage) -> None:
        frame = replace(frame, stamps=replace(frame.stamps, published=self._now()))
        # A superseded frame is finished before the one that is being rendered: pictures do not wait, the record of
        # all frames keeps the order of the windows.
        self._held[frame.sequence] = frame
        if frame.image is not None:
            if self._out.publisher:
                self._out.publisher.publish(Topic.PICTURES, frame)
            self._progress.sample_to_frame.add(self._now() - frame.stamps.sample)
        self._release()

    def give_up(self, item: Delivery) -> None:
        """Let the frames behind one that could not be delivered pass."""
        if isinstance(item, FinishedFrame) and item.frame.sequence >= self._next_sequence:
            self._held.setdefault(item.frame.sequence, None)
            self._release()

    def _release(self) -> None:
        while self._next_sequence in self._held:
            frame = self._held.pop(self._next_sequence)
            self._next_sequence += 1
            if frame is not None:
                self._in_order(frame)

    def _in_order(self, frame: FrameMessage) -> None:
        bare = replace(frame, image=None)
        if self._out.publisher:
            self._out.publisher.publish(Topic.EVENTS, bare)
        if self._out.events:
            self._out.events.push(bare)
        if self._out.recorder:
            self._out.recorder.frame(frame)
        if self._on_message:
            self._on_message(frame)

    def _message(self, message: Outgoing) -> None:
        if self._out.publisher:
            self._out.publisher.publish(_topic(message), message)
        if not isinstance(message, ActivityMessage | StatusMessage):
            if self._out.events:
                self._out.events.push(message)
            if self._out.recorder and not _is_of_recorder(message):
                self._out.recorder.event(message)
        if self._on_message:
            self._on_message(message)


def _is_of_recorder(message: Outgoing) -> bool:
    # The recorder writes its own troubles into its file, also when nobody listens.
    return isinstance(message, EventMessage) and message.kind == RECORDER


def _topic(message: Outgoing) -> Topic:
    if isinstance(message, ActivityMessage):
        return Topic.ACTIVITY
    if isinstance(message, StatusMessage):
        return Topic.STATUS
    return Topic.EVENTS
