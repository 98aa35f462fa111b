"""What every source hands out: one verb, ``read(timeout_s) -> Chunk``.

LSL inlet, recorded file and whatever comes later answer to ``Source``; the service sees nothing else.
Times are seconds on the LSL clock of this host, float64. Knows no LSL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from b2g_rt.contracts.messages import Ledger
from b2g_rt.sources.placed import Placed

State = Literal["waiting", "streaming", "stalled", "ended"]
Level = Literal["info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class SourceMarker:
    """A marker as received: its own stamp and when it arrived, s; the text as sent."""

    time_s: float
    text: str
    received_s: float


@dataclass(frozen=True, slots=True)
class SourceEvent:
    """Something to know.

    Kinds: connected, lost, reconnected, stalled, resumed, gap, clock-step, clock-unknown, backlog, caught-up,
    not-found, other-source, markers-connected, markers-lost, markers-missing, markers-clock.
    """

    kind: str
    level: Level
    text: str
    time_s: float


@dataclass(frozen=True, slots=True)
class StreamDescription:
    """What the connected stream says about itself.

    ``speed``: recorded seconds per second. ``session_clock``: the stamps are on the recording's own clock, as
    replays at top speed have them, so no age can be told.
    """

    name: str
    host: str
    source_id: str
    uid: str
    n_columns: int
    rate_hz: float
    speed: float = 1.0
    session_clock: bool = False
    simulated: bool = False
    unit: str = ""
    n_trials: int | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one read brought.

    Attributes
    ----------
    placed : tuple of Placed
        Everything received and understood, in the order received; raw stream columns.
    markers : tuple of SourceMarker
    events : tuple of SourceEvent
    received_s : float
        When the pull that brought the samples returned, s.
    age_s : float or None
        ``received_s`` minus the newest stamp; None without samples or when the clock is not LSL's.
    state : {'waiting', 'streaming', 'stalled', 'ended'}
    mua, markers_ledger : Ledger
        Counts as they stand after this chunk.
    """

    placed: tuple[Placed, ...]
    markers: tuple[SourceMarker, ...]
    events: tuple[SourceEvent, ...]
    received_s: float
    age_s: float | None
    state: State
    mua: Ledger
    markers_ledger: Ledger


class Clock(Protocol):
    """Index and time of a source's samples: 0 is the first received, lost ones are counted in."""

    @property
    def stop(self) -> int:
        """Index after the newest placed sample."""

    @property
    def started(self) -> bool:
        """Whether any sample was placed."""

    @property
    def rate_hz(self) -> float:
        """Fitted rate, samples per second of the stamps' clock."""

    def time_of(self, index: float) -> float:
        """Return the time of an index, s; WindowNotReady before the first sample."""

    def position_of(self, time_s: float) -> float:
        """Return the fractional index at a time; WindowNotReady before the first sample."""


class Source(Protocol):
    """Where samples come from."""

    @property
    def clock(self) -> Clock:
        """The sample clock that placed the samples."""

    @property
    def description(self) -> StreamDescription | None:
        """The connected stream, or None while there is none."""

    def read(self, timeout_s: float) -> Chunk:
        """Return what there is, waiting up to ``timeout_s`` for the first sample."""

    def close(self) -> None:
        """Let go of the stream; twice is harmless."""
