"""Keeps what the summary of a demo needs: every frame, picture and score that left the service."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

from b2g_rt.contracts.messages import (
    EventMessage,
    FrameMessage,
    Image,
    Message,
    StimulusMessage,
    TrialMessage,
)

MAX_EVENTS = 1000


@dataclass(slots=True)
class TrialRecord:
    """One trial as it was shown: pictures by window, and its score."""

    trial: int
    stimulus: str
    pictures: dict[int, Image] = field(default_factory=dict)
    stimulus_picture: Image | None = None
    score: TrialMessage | None = None


class Collector:
    """Listens to a service; pass ``see`` as its ``on_message``.

    Parameters
    ----------
    max_trials : int
        The last so many trials are kept: a demo left open for a day must not fill the memory with pictures.
    """

    def __init__(self, max_trials: int) -> None:
        self._lock = threading.Lock()
        self._max_trials = max_trials
        self._trials: dict[int, TrialRecord] = {}
        self.events: deque[EventMessage] = deque(maxlen=MAX_EVENTS)

    def see(self, message: Message) -> None:
        """Take one message."""
        with self._lock:
            if isinstance(message, FrameMessage):
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
        found = self._trials.get(trial)
        if found is None:
            found = self._trials[trial] = TrialRecord(trial, stimulus)
            if len(self._trials) > self._max_trials:
                del self._trials[min(self._trials)]
        return found

    def scored(self) -> list[TrialRecord]:
        """Return the trials with a score, best raw cosine first."""
        with self._lock:
            scored = [t for t in self._trials.values() if t.score]
        return sorted(scored, key=lambda t: -t.score.cosine if t.score else 0.0)
