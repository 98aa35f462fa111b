"""Plays a recorded session through real LSL outlets: in real time, slower, faster, or as fast as possible.

Every sample has its own stamp, t0 + (index - first index) / (rate * speed): gaps of the recording stay gaps. A chunk
is sent when the time of its last sample has come, a marker after the samples that it points at. As fast as possible
means that the stamps run on the session's own clock (the outlet says so), and up to 360 s are sent at once, which is
what LSL's buffers hold; the rest follows at ten times real time. For replay, demo, bench and tests.
"""

from __future__ import annotations

import heapq
import math
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import SessionError, StreamError
from b2g_rt.sources.outlets import BUFFER_S, OutletPair
from b2g_rt.sources.recorded import Recording, marker_positions

CHUNK = 10
LINGER_S = 2.0
MARKER_WAIT_S = 5.0
_BEYOND_BUFFER_SPEED = 10.0
# LSL drops the oldest silently when its buffer is full: stay a little below.
_BUFFER_SHARE = 0.9
_READ = 128
_LEAST_BYTES_PER_S = 50e6

Advance = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong on purpose, for tests; positions are rows of the session, half open.

    ``drop``: runs that are never sent, though their time passes. ``repeat``: the chunks that begin at or after
    these rows are sent twice. ``swap``: the chunks at or after these rows are sent after their successors.
    ``restart``: before this row the outlets close, and open again after ``restart_pause_s``; what would have been
    sent meanwhile is not.
    """

    drop: tuple[tuple[int, int], ...] = ()
    repeat: tuple[int, ...] = ()
    swap: tuple[int, ...] = ()
    restart: int | None = None
    restart_pause_s: float = 0.5


class Player:
    """Plays one session.

    Parameters
    ----------
    session : Recording
    mua_name : str
    marker_name : str or None
        None: no marker outlet.
    speed : float or None, optional
        Recorded seconds per second; None: as fast as possible.
    chunk : int or (int, int), optional
        Samples per push, or the smallest and largest of a random size.
    loop : bool, optional
        Begin again at the end; time goes on.
    source_id : str, optional
        Of the MUA outlet; random by default.
    seed : int, optional
        Of chunk sizes and marker lateness.
    marker_lateness_s : float, optional
        Each marker is sent up to this much later, at random.
    linger_s : float, optional
        The outlets stay open this long after the last sample, or until nobody reads any more.
    faults : Faults, optional

    Raises
    ------
    ValueError
        A speed or chunk size that plays nothing.
    StreamError
        A stream without a name.
    SessionError
        The session has no samples.
    """

    def __init__(
        self,
        session: Recording,
        mua_name: str,
        marker_name: str | None,
        *,
        speed: float | None = 1.0,
        chunk: int | tuple[int, int] = CHUNK,
        loop: bool = False,
        source_id: str | None = None,
        seed: int = 0,
        marker_lateness_s: float = 0.0,
        linger_s: float | None = None,
        faults: Faults | None = None,
    ) -> None:
        low, high = (chunk, chunk) if isinstance(chunk, int) else chunk
        if not 1 <= low <= high:
            raise ValueError(f"player: chunks of {low} to {high} samples, expected at least 1.")
        if speed is not None and not (speed > 0 and math.isfinite(speed)):
            raise ValueError(f"player: speed {speed}, expected more than 0.")
        for what, given in (("MUA", mua_name), ("marker", marker_name)):
            if given is not None and not given.strip():
                raise StreamError(
                    f"player: the {what} stream has no name, expected one. Give it a name."
                )
        if not session.n_samples:
            raise SessionError("player: no samples, expected a recorded session. Record again.")
        self._session = session
        self._names = (mua_name, marker_name)
        self._speed = speed
        self._sizes = (low, high)
        self._loop = loop
        self._source_id = source_id or f"b2g-player-{secrets.token_hex(4)}"
        self._seed = seed
        self._lateness_s = marker_lateness_s
        self._linger_s = self._default_linger() if linger_s is None else linger_s
        self._faults = faults or Faults()
        self._positions = session.index() - int(session.index()[0])
        self._markers = marker_positions(session)
        self._period_s = 1.0 / (session.info.rate_hz * (speed or 1.0))
        self._outlets: OutletPair | None = None
        self.n_sent = 0
        self.n_markers_sent = 0

    def run(self, stop: threading.Event | None = None, advance: Advance | None = None) -> None:
        """Wait for readers, play, linger, close.

        Parameters
        ----------
        stop : threading.Event, optional
            Ends it early.
        advance : callable (done, total), optional
            Told how many samples of the session have been sent.
        """
        from pylsl import local_clock

        stop = stop or threading.Event()
        self._open()
        try:
            assert self._outlets is not None
            if not self._outlets.wait_for_readers(stop, MARKER_WAIT_S):
                return
            start_s = float(local_clock())
            while not stop.is_set():
                self._pass(start_s, stop, advance)
                start_s += (int(self._positions.max()) + 1) * self._period_s
                if not self._loop:
                    break
            self._linger(stop)
        finally:
            if self._outlets is not None:
                self._outlets.close()

    def _open(self) -> None:
        mua_name, marker_name = self._names
        n_trials = None if self._loop else len(self._markers)
        self._outlets = OutletPair(
            self._session, mua_name, marker_name, self._speed, self._source_id, n_trials
        )

    def _pass(self, start_s: float, stop: threading.Event, advance: Advance | None) -> None:
        """Play the session once; the sample at position p has stamp start_s + p * period."""
        pacer = _Pacer(start_s, self._speed, stop)
        markers = self._scheduled_markers(start_s)
        restart = self._faults.restart
        sent_until_s = -math.inf
        for first, rows in self._with_faults(self._chunks()):
            positions = self._positions[first : first + len(rows)]
            stamps = np.asarray(start_s + positions * self._period_s, np.float64)
            newest_s = float(stamps.max())
            while markers and markers[0][0] < newest_s and markers[0][2] <= sent_until_s:
                self._send_marker(pacer, heapq.heappop(markers))
            if restart is not None and first >= restart:
                restart = None
                self._restart(stop)
            pacer.wait_until(newest_s)
            if stop.is_set():
                return
            assert self._outlets is not None
            self._outlets.push(rows, stamps)
            self.n_sent += len(rows)
            sent_until_s = max(sent_until_s, newest_s)
            if advance:
                advance(first + len(rows), self._session.n_samples)
        while markers and not stop.is_set():
            self._send_marker(pacer, heapq.heappop(markers))

    def _send_marker(self, pacer: _Pacer, marker: tuple[float, int, float, str]) -> None:
        due_s, _, stamp, text = marker
        pacer.wait_until(due_s)
        assert self._outlets is not None
        self._outlets.push_marker(text, stamp)
        self.n_markers_sent += 1

    def _scheduled_markers(self, start_s: float) -> list[tuple[float, int, float, str]]:
        """Return (when to send, order, stamp, text) as a heap."""
        late_s = np.random.default_rng((self._seed, 1)).uniform(0, 1, len(self._markers))
        late_s *= self._lateness_s
        scheduled = []
        for order, (position, marker) in enumerate(self._markers):
            stamp = start_s + position * self._period_s
            scheduled.append((stamp + float(late_s[order]), order, stamp, marker.text))
        heapq.heapify(scheduled)
        return scheduled

    def _chunks(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield (first row, rows) in sizes from the seeded range; reads a little ahead."""
        rng = np.random.default_rng((self._seed, 0))
        low, high = self._sizes
        session, at, held_at = self._session, 0, 0
        held = session.mua(0, 0)
        while at < session.n_samples:
            stop = min(at + int(rng.integers(low, high + 1)), session.n_samples)
            while held_at + len(held) < stop:
                more = session.mua(held_at + len(held), held_at + len(held) + max(_READ, high))
                held = np.concatenate([held[at - held_at :], more])
                held_at = at
            yield at, held[at - held_at : stop - held_at]
            at = stop

    def _with_faults(
        self, chunks: Iterator[tuple[int, NDArray[np.float32]]]
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        faults = self._faults
        dropped = list(faults.drop)
        if faults.restart is not None:
            n_meanwhile = round(faults.restart_pause_s / self._period_s)
            dropped.append((faults.restart, faults.restart + n_meanwhile))
        repeat, swap = sorted(faults.repeat), sorted(faults.swap)
        held: tuple[int, NDArray[np.float32]] | None = None
        for chunk in (part for whole in chunks for part in _without(whole, dropped)):
            if swap and chunk[0] >= swap[0] and held is None:
                swap.pop(0)
                held = chunk
                continue
            yield chunk
            if held is not None:
                yield held
                held = None
            if repeat and chunk[0] >= repeat[0]:
                repeat.pop(0)
                yield chunk
        if held is not None:
            yield held

    def _restart(self, stop: threading.Event) -> None:
        assert self._outlets is not None
        self._outlets.close()
        stop.wait(self._faults.restart_pause_s)
        self._open()
        if self._speed is None:
            self._outlets.wait_for_readers(stop, MARKER_WAIT_S)

    def _default_linger(self) -> float:
        if self._speed is not None:
            return LINGER_S
        n_bytes = 4.0 * self._session.n_samples * self._session.n_columns
        return max(5 * LINGER_S, n_bytes / _LEAST_BYTES_PER_S)

    def _linger(self, stop: threading.Event) -> None:
        """Leave readers the time to take what is on its way: closing an outlet drops that."""
        assert self._outlets is not None
        end = time.monotonic() + self._linger_s
        while self._outlets.have_readers() and time.monotonic() < end:
            if stop.wait(0.05):
                return


class _Pacer:
    """Waits until a stamp's time has come; at top speed, only where LSL's buffers would overflow."""

    def __init__(self, start_s: float, speed: float | None, stop: threading.Event) -> None:
        from pylsl import local_clock

        self._clock: Callable[[], float] = local_clock
        self._stop = stop
        self._start_s = start_s
        self._paced = speed is not None
        self._began_s = float(local_clock())

    def wait_until(self, stamp: float) -> None:
        if self._paced:
            due_s = stamp
        else:
            beyond_s = stamp - self._start_s - _BUFFER_SHARE * BUFFER_S
            due_s = self._began_s + beyond_s / _BEYOND_BUFFER_SPEED
        left_s = due_s - self._clock()
        if left_s > 0:
            self._stop.wait(left_s)


def _without(
    chunk: tuple[int, NDArray[np.float32]], dropped: list[tuple[int, int]]
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield what is left of a chunk when runs of rows are taken out."""
    first, rows = chunk
    keep = np.ones(len(rows), np.bool_)
    for start, stop in dropped:
        keep[max(0, start - first) : max(0, stop - first)] = False
    edges = np.flatnonzero(np.diff(np.concatenate([[False], keep, [False]]).astype(np.int8)))
    for a, b in zip(edges[::2], edges[1::2], strict=True):
        yield first + int(a), rows[a:b]
