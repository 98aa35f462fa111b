"""Keeps what the summary of a demo needs: every frame, picture and score that left the service."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from b2g_rt.contracts.messages import (
    EventMessage,
    FrameMessage,
    Image,
    Message,
    StimulusMessage,
    TrialMessage,
)


@dataclass(slots=True)
class TrialRecord:
    """One trial as it was shown: pictures by window, and its score."""

    trial: int
    stimulus: str
    pictures: dict[int, Image] = field(default_factory=dict)
    stimulus_picture: Image | None = None
    score: TrialMessage | None = None


class Collector:
    """Listens to a service; pass ``see`` as its ``on_message``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._trials: dict[int, TrialRecord] = {}
        self.events: list[EventMessage] = []
        self.n_frames = 0

    def see(self, message: Message) -> None:
        """Take one message."""
        with self._lock:
            if isinstance(message, FrameMessage):
                self.n_frames += 1
                if message.trial is not None and message.image is not None:
                    trial = self._trial(message.trial, message.stimulus or "")
                    trial.pictures[message.window_idx] = message.image
            elif isinstance(message, StimulusMessage):
                self._trial(message.trial, message.stimulus).stimulus_picture = message.image
            elif isinstance(message, TrialMessage):
                self._trial(message.trial, message.stimulus).score = message
            elif isinstance(message, EventMessage):
                self.events.append(message)

    def _trial(self, trial: int, stimulus: str) -> TrialRecord:
        return self._trials.setdefault(trial, TrialRecord(trial, stimulus))

    @property
    def n_scored(self) -> int:
        """Trials with a score so far."""
        with self._lock:
            return sum(t.score is not None for t in self._trials.values())

    def scored(self) -> list[TrialRecord]:
        """Return the trials with a score, best raw cosine first."""
        with self._lock:
            scored = [t for t in self._trials.values() if t.score]
        return sorted(scored, key=lambda t: -t.score.cosine if t.score else 0.0)
