"""A recorded session as a source: the same chunks as from LSL, as fast as they are asked for.

Indices are those of the recording; the sample clock is fitted to its stamps as it was live, so windows and latents
are the live ones. Knows no LSL.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.session import SessionInfo, SessionMarker
from b2g_rt.errors import SessionError
from b2g_rt.sources.chunk import Chunk, SourceEvent, SourceMarker, State, StreamDescription
from b2g_rt.sources.ledger import StreamLedger
from b2g_rt.sources.recorded_clock import RecordedClock

CHUNK = 1000
_MARKER_BLOCK = 100


class Recording(Protocol):
    """What is needed of a recorded session; ``contracts.session.SessionFile`` has it."""

    info: SessionInfo
    n_samples: int

    @property
    def n_columns(self) -> int:
        """Stream columns of the MUA."""

    def mua(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return rows [start, stop), axes (sample, stream column)."""

    def time_s(self) -> NDArray[np.float64]:
        """Return all stamps, axes (sample,), s."""

    def index(self) -> NDArray[np.int64]:
        """Return all indices on the sample clock, axes (sample,)."""

    def markers(self) -> list[SessionMarker]:
        """Return the markers as received."""


class RecordedSource:
    """Reads a session from its first sample to its last, then says 'ended'.

    Parameters
    ----------
    session : Recording
    rate_hz : float
        Recorded rate that the bundle expects.
    chunk : int, optional
        Samples per read; results do not depend on it.
    name : str, optional
        Of the stream, for messages.
    now : callable, optional
        The clock of ``received_s``, s.

    Raises
    ------
    SessionError
        The session has another rate, or no samples.
    """

    def __init__(
        self,
        session: Recording,
        rate_hz: float,
        *,
        chunk: int = CHUNK,
        name: str = "recording",
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        info = session.info
        if abs(info.rate_hz - rate_hz) > 1e-3 * rate_hz:
            raise SessionError(
                f"{name}: {info.rate_hz:g} Hz, the bundle expects {rate_hz:g} Hz. Choose a bundle for this rate."
            )
        if not session.n_samples:
            raise SessionError(f"{name}: no samples, expected a recorded session. Record again.")
        self._session = session
        self._chunk = chunk
        self._now = now
        self._stamps = session.time_s()
        self._index = session.index() - int(session.index()[0])
        self._waiting, self._events = _finite_markers(session, name, now)
        self._clock = RecordedClock(info.rate_hz * info.speed)
        self._ledger = StreamLedger()
        self._marker_ledger = StreamLedger()
        self._at = 0
        self._description = StreamDescription(
            name=name,
            host="",
            source_id="",
            uid="",
            n_columns=session.n_columns,
            rate_hz=info.rate_hz * info.speed,
            speed=info.speed,
            session_clock=True,
            simulated=info.simulated,
            unit=info.unit,
            n_trials=len(self._waiting),
        )

    def __enter__(self) -> RecordedSource:
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Do nothing: the session belongs to the caller."""

    @property
    def clock(self) -> RecordedClock:
        """The sample clock that placed the samples."""
        return self._clock

    @property
    def description(self) -> StreamDescription:
        """What the session says about itself."""
        return self._description

    def read(self, timeout_s: float) -> Chunk:  # noqa: ARG002 - the verb of all sources
        """Return the next samples and the markers that point into them; never waits."""
        start, stop = self._at, min(self._at + self._chunk, self._session.n_samples)
        state: State = "ended" if start == stop else "streaming"
        part = slice(start, stop)
        rows = self._session.mua(start, stop) if start < stop else np.empty((0, 0), np.float32)
        placed = self._clock.place(self._index[part], self._stamps[part], rows)
        for run in placed:
            self._ledger.add(run)
        self._at = stop
        received_s = self._now()
        events, self._events = self._events, ()
        markers = [
            SourceMarker(m.time_s, m.text, received_s) for m in self._due(ended=state == "ended")
        ]
        self._marker_ledger.add_markers(len(markers))
        return Chunk(
            placed=tuple(placed),
            markers=tuple(markers),
            events=events,
            received_s=received_s,
            age_s=None,
            state=state,
            mua=self._ledger.snapshot(),
            markers_ledger=self._marker_ledger.snapshot(),
        )

    def close(self) -> None:
        """Do nothing: the session belongs to the caller."""

    def _due(self, *, ended: bool) -> list[SessionMarker]:
        """Take the markers whose samples have been read: markers arrive after what they point at."""
        due = [m for m in self._waiting if ended or self._passed(m)]
        self._waiting = [m for m in self._waiting if m not in due] if due else self._waiting
        return due

    def _passed(self, marker: SessionMarker) -> bool:
        return self._clock.position_of(marker.time_s) < self._clock.stop


def _finite_markers(
    session: Recording, name: str, now: Callable[[], float]
) -> tuple[list[SessionMarker], tuple[SourceEvent, ...]]:
    """Return the markers whose time is a number, and what there is to say about the others."""
    markers = session.markers()
    finite = [marker for marker in markers if math.isfinite(marker.time_s)]
    n_refused = len(markers) - len(finite)
    if not n_refused:
        return finite, ()
    text = (
        f"{name}: {n_refused} of {len(markers)} markers have a time that is no finite number, expected seconds. They "
        "are no onsets; let the marker outlet stamp with pylsl.local_clock()."
    )
    return finite, (SourceEvent("markers-clock", "error", text, now()),)


def marker_positions(session: Recording) -> list[tuple[float, SessionMarker]]:
    """Return each marker with its (fractional) position on the recording's sample clock, 0 = first sample.

    The clock is fitted as it was live: a marker is placed when the samples have passed it. Markers whose time is no
    number are left out.
    """
    stamps, index = session.time_s(), session.index()
    clock = RecordedClock(session.info.rate_hz * session.info.speed)
    waiting = [marker for marker in session.markers() if math.isfinite(marker.time_s)]
    positions: list[tuple[float, SessionMarker]] = []
    for start in range(0, session.n_samples, _MARKER_BLOCK):
        part = slice(start, start + _MARKER_BLOCK)
        n = len(stamps[part])
        clock.place(index[part] - index[0], stamps[part], np.empty((n, 0), np.float32))
        still = []
        for marker in waiting:
            position = clock.position_of(marker.time_s)
            if position < clock.stop:
                positions.append((position, marker))
            else:
                still.append(marker)
        waiting = still
    return positions + [(clock.position_of(marker.time_s), marker) for marker in waiting]
