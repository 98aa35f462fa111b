"""What the views are given: the newest state of everything, as one frozen value per paint.

Parts that did not change since the last snapshot are the same objects, so a view compares with ``is`` and
leaves alone what it has already painted. Times named ``arrival_s`` are on this process's monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.messages import EncodingMessage, FrameMessage, StatusMessage, TrialMessage

# The service sends its status several times a second; silence on all topics for this long means that it is gone.
SERVICE_GONE_S = 2.0

Pixels = NDArray[np.uint8]
ServiceState = Literal["no contact yet", "gone", "waiting", "streaming", "stalled", "stopping"]


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A reconstruction; ``pixels``: uint8, axes (row, col, rgb)."""

    frame: FrameMessage
    pixels: Pixels


@dataclass(frozen=True, slots=True, eq=False)
class Stimulus:
    """What was shown to the animal; ``pixels`` is None when the bundle does not know it."""

    trial: int
    name: str
    onset_s: float
    pixels: Pixels | None


@dataclass(frozen=True, slots=True)
class WindowMark:
    """What became of one window of the trial."""

    outcome: Literal["decoded", "skipped", "dropped"]
    late: bool


@dataclass(frozen=True, slots=True, eq=False)
class TrialProgress:
    """The trial that is running, or ran last; ``marks``: axes (window,), None where not due yet."""

    trial: int
    stimulus: str
    onset_s: float
    marks: tuple[WindowMark | None, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TrialRow:
    """A trial for the strip: stimulus, the picture of its latest window that was painted, and scores."""

    trial: int
    stimulus: Stimulus | None
    scores: TrialMessage | None
    picture: Picture | None


@dataclass(frozen=True, slots=True, eq=False)
class Encoding:
    """A trial's predicted and observed MUA, float32, axes (channel,), z units; ``trial_r`` as in the message."""

    message: EncodingMessage
    predicted: NDArray[np.float32]
    observed: NDArray[np.float32]
    trial_r: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True)
class EventLine:
    """One line of the event area; equal causes in a row are counted, not repeated."""

    level: Literal["info", "warning", "error"]
    text: str
    arrival_s: float
    count: int = 1


@dataclass(frozen=True, slots=True)
class IdentificationPoint:
    """Running two-way identification rate after ``n_trials`` trials."""

    n_trials: int
    rate: float


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """The newest state.

    Attributes
    ----------
    picture, stimulus
        The newest reconstruction and the stimulus of its trial.
    progress, spans_ms
        The running trial, and each window's (start, stop) in milliseconds after onset as seen so far.
    activity : float32, axes (channel,), z units
    status, baseline
        The newest status, and the picture of the mean latent.
    heard_s
        Arrival of the newest message of any topic.
    strip
        The last eight trials that are over, oldest first.
    identification
        Its history in this run of the service; ``pool``: stimuli compared with, 0 before the first trial.
    encoding
        Of the newest trial that was compared; None without an encoder.
    events
        Newest last.
    n_foreign
        Messages that could not be read.
    offset_s
        This process's monotonic clock minus the service's LSL clock.
    picture_period_s
        Time between windows while they flow.
    """

    picture: Picture | None
    stimulus: Stimulus | None
    progress: TrialProgress | None
    spans_ms: tuple[tuple[float, float] | None, ...]
    activity: NDArray[np.float32] | None
    status: StatusMessage | None
    heard_s: float
    baseline: Pixels | None
    strip: tuple[TrialRow, ...]
    identification: tuple[IdentificationPoint, ...]
    pool: int
    encoding: Encoding | None
    events: tuple[EventLine, ...]
    n_foreign: int
    offset_s: float | None
    picture_period_s: float

    def service_state(self, now_s: float, listening_since_s: float = 0.0) -> ServiceState:
        """Return what the service is doing, as far as this process knows.

        Parameters
        ----------
        now_s : float
            Monotonic clock.
        listening_since_s : float
            End of the last stall of this process: silence before it says nothing about the service.
        """
        if self.status is None:
            return "no contact yet"
        if now_s - max(self.heard_s, listening_since_s) > SERVICE_GONE_S:
            return "gone"
        return self.status.state
