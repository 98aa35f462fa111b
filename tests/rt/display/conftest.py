"""A model that is fed by a fake service without sockets, for the display's tests."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import msgspec
import pytest

from b2g_rt.contracts.messages import Flags, FrameMessage, Message, Topic, encode
from b2g_rt.display.newest import Newest
from tests.fake_service import N_WINDOWS, FakeService


@dataclass
class Fed:
    """Feeds a model with what a service would send."""

    service: FakeService = field(default_factory=FakeService)
    model: Newest = field(default_factory=Newest)

    def take(self, topic: Topic, message: Message | bytes) -> None:
        data = message if isinstance(message, bytes) else encode(message)
        self.model.take(topic, data, time.monotonic())

    def status(self, **changes: object) -> None:
        status = msgspec.structs.replace(self.service.status(), **changes)
        self.take(Topic.STATUS, status)

    def begin(self) -> float:
        onset_s = self.service.now() - 0.25
        self.take(Topic.EVENTS, self.service.stimulus(onset_s))
        return onset_s

    def frame(self, window_idx: int, onset_s: float, flags: Flags | None = None) -> FrameMessage:
        frame = self.service.frame(window_idx, onset_s, flags=flags)
        self.take(Topic.EVENTS, msgspec.structs.replace(frame, image=None))
        self.take(Topic.PICTURES, frame)
        return frame

    def trial(self) -> None:
        """Feed one whole trial, every picture painted."""
        onset_s = self.begin()
        for window_idx in range(N_WINDOWS):
            self.frame(window_idx, onset_s)
            picture = self.model.snapshot().picture
            assert picture is not None
            self.model.painted(picture)
        self.take(Topic.EVENTS, self.service.scores())


@pytest.fixture
def fed() -> Fed:
    return Fed()
