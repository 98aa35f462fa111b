"""MUA and markers from LSL as one source: samples on the sample clock, markers, and what there is to say.

While there is no stream it looks for one and says so; when the outlet restarts it reconnects, and the sample clock
measures what was lost. One thread owns a source: liblsl's inlets do not bear to be destroyed by another.
"""

from __future__ import annotations

import time

from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.errors import StreamNotFound
from b2g_rt.sources.chunk import Chunk, Level, SourceEvent, SourceMarker, State, StreamDescription
from b2g_rt.sources.ledger import StreamLedger
from b2g_rt.sources.marker_inlet import MarkerLink
from b2g_rt.sources.marker_stamps import ClockNow, MarkerStamps
from b2g_rt.sources.mua_inlet import MAX_ROWS, Block
from b2g_rt.sources.mua_link import MuaLink
from b2g_rt.sources.placed import Placed
from b2g_rt.sources.sample_clock import SampleClock
from b2g_rt.sources.stream_query import POLL_S, SETTLE_S, Seeker, StreamQuery, not_found_line

BACKLOG_S = 0.5
_LEAST_WAIT_S = SETTLE_S + 2 * POLL_S
_MARKER_WAIT_S = 2 * SETTLE_S
# The default gap threshold stays above the steps by which a remote clock's correction moves.
_REMOTE_NOISE_S = 0.0005


class LslSource:
    """One MUA stream and, if wanted, one marker stream.

    Parameters
    ----------
    mua : StreamQuery
    markers : StreamQuery or None
        None: no markers are looked for.
    channels : ChannelMap
        Gives the number of columns that the stream must have.
    rate_hz : float
        Recorded rate that the bundle expects.
    resolve_timeout_s : float, optional
        ``connect`` gives up after this; ``read`` says after this what is there, and goes on looking.
    stale_after_s : float, optional
        No sample for this long: state 'stalled'.
    gap_threshold_s : float, optional
        See ``SampleClock``.
    max_rows : int, optional
        Rows of one read at most.
    backlog_s : float, optional
        Samples older than this on arrival are a backlog, s.
    """

    def __init__(
        self,
        mua: StreamQuery,
        markers: StreamQuery | None,
        channels: ChannelMap,
        rate_hz: float,
        *,
        resolve_timeout_s: float = 10.0,
        stale_after_s: float = 1.0,
        gap_threshold_s: float | None = None,
        max_rows: int = MAX_ROWS,
        backlog_s: float = BACKLOG_S,
    ) -> None:
        import pylsl

        self._local_clock = pylsl.local_clock
        self._query = mua
        self._resolve_timeout_s = resolve_timeout_s
        self._gap_threshold_s = gap_threshold_s
        self._backlog_s = backlog_s
        self._link = MuaLink(
            mua,
            channels.n_stream_channels,
            rate_hz,
            resolve_timeout_s=resolve_timeout_s,
            stale_after_s=stale_after_s,
            max_rows=max_rows,
        )
        self._markers = MarkerLink(markers) if markers is not None else None
        self._stamps = MarkerStamps("streams.markers" if markers is None else markers.key)
        self._clock = SampleClock(rate_hz, gap_threshold_s=gap_threshold_s)
        self._ledger = StreamLedger()
        self._marker_ledger = StreamLedger()
        self._events: list[SourceEvent] = []
        self._placed: list[Placed] = []
        self._early: list[SourceMarker] = []
        self._behind = False

    def __enter__(self) -> LslSource:
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the inlets."""
        self.close()

    @property
    def clock(self) -> SampleClock:
        """The sample clock; made anew at the first connect, when the stream's rate is known."""
        return self._clock

    @property
    def description(self) -> StreamDescription | None:
        """The connected stream, or the one that was there last; None before the first."""
        return self._link.description

    @property
    def state(self) -> State:
        """'waiting', 'streaming' or 'stalled'."""
        return self._link.state

    def connect(self) -> StreamDescription:
        """Find and open the MUA stream, or say why not; markers may come later.

        Raises
        ------
        StreamNotFound
            No such stream within ``resolve_timeout_s``; the line lists those that are there.
        StreamAmbiguous
            Several streams fit.
        StreamMismatch
            Columns, rate or format are not what is expected.
        """
        seeker = Seeker(self._query)
        while not self._link.connected:
            # Markers first: once the MUA inlet is open, samples pile up in it.
            self._early += self._read_markers()
            found = seeker.poll()
            if found is not None and (self._markers_there or seeker.waited_s > _MARKER_WAIT_S):
                self._link.open(found)
            elif found is None and seeker.waited_s > max(self._resolve_timeout_s, _LEAST_WAIT_S):
                raise StreamNotFound(not_found_line(self._query, seeker.waited_s))
            else:
                time.sleep(POLL_S)
        if not self._markers_there:
            text = "streams.markers: no such stream yet; trials start when it comes."
            self._say("markers-missing", "warning", text)
        self._follow_link()
        description = self._link.description
        assert description is not None
        return description

    def read(self, timeout_s: float) -> Chunk:
        """Return what there is, waiting up to ``timeout_s`` for a first sample.

        Raises
        ------
        StreamAmbiguous
            Several streams fit; once more at each look.
        StreamMismatch
            A stream that fits by name has other columns, rate, format or clock; once for each stream.
        """
        try:
            block = self._link.read(timeout_s)
        finally:
            self._follow_link()
        if block is not None:
            self._placed += self._clock.push(block.stamps, block.rows)
        markers = self._early + self._read_markers()
        self._early = []
        return self._chunk(block, self._plausible(markers))

    def close(self) -> None:
        """Destroy the inlets; twice is harmless."""
        self._link.close()
        if self._markers is not None:
            self._markers.close()

    def _follow_link(self) -> None:
        """Let clock and ledger know what happened to the stream."""
        for kind, level, text in self._link.take_said():
            self._say(kind, level, text)
        for change in self._link.take_changes():
            if change == "opened":
                self._clock = self._new_clock()
            elif change == "reopened":
                self._placed += self._clock.restart_hint()
                self._ledger.add_reconnect()
            elif change == "long-silence":
                self._placed += self._clock.restart_hint()
            else:
                self._placed += self._clock.flush()

    def _new_clock(self) -> SampleClock:
        description = self._link.description
        assert description is not None
        return SampleClock(
            description.rate_hz,
            gap_threshold_s=self._gap_threshold_s,
            stamp_noise_s=0.0 if self._link.exact_clock else _REMOTE_NOISE_S,
        )

    @property
    def _markers_there(self) -> bool:
        return self._markers is None or self._markers.connected

    def _read_markers(self) -> list[SourceMarker]:
        if self._markers is None:
            return []
        markers, said = self._markers.read()
        for kind, level, text in said:
            self._say(kind, level, text)
        self._marker_ledger.add_markers(len(markers))
        return markers

    def _plausible(self, markers: list[SourceMarker]) -> list[SourceMarker]:
        """Hold back markers whose stamps cannot be true; they count as received, and it is said."""
        if not markers or self._markers is None or self._markers.found is None:
            return markers
        description, clock = self._link.description, self._clock
        now = ClockNow(
            newest_s=clock.time_of(clock.stop - 1) if clock.started else None,
            session_clock=description is not None and description.session_clock,
        )
        found = self._markers.found
        good, said = self._stamps.sort(markers, now, str(found), found.uid)
        for kind, level, text in said:
            self._say(kind, level, text)
        return good

    def _say(self, kind: str, level: Level, text: str) -> None:
        self._events.append(SourceEvent(kind, level, text, float(self._local_clock())))

    def _chunk(self, block: Block | None, markers: list[SourceMarker]) -> Chunk:
        placed, self._placed = self._placed, []
        for run in placed:
            self._ledger.add(run)
            if run.n_lost or run.step_s:
                self._say_gap(run)
        age_s = None if block is None else self._age(block)
        events, self._events = self._events, []
        return Chunk(
            placed=tuple(placed),
            markers=tuple(markers),
            events=tuple(events),
            received_s=float(self._local_clock()) if block is None else block.received_s,
            age_s=age_s,
            state=self.state,
            mua=self._ledger.snapshot(),
            markers_ledger=self._marker_ledger.snapshot(),
        )

    def _say_gap(self, run: Placed) -> None:
        key = self._query.key
        if run.step_s:
            text = f"{key}: the stamps' clock stepped by {run.step_s:+.3f} s; the samples go on."
            self._say("clock-step", "warning", text)
        if run.n_lost:
            lost_s = run.n_lost / self._clock.rate_hz
            text = f"{key}: {run.n_lost} samples lost ({lost_s:.3f} s) before sample {run.index}."
            self._say("gap", "warning", text)

    def _age(self, block: Block) -> float | None:
        """Return how old the newest sample is, s; say so when that is much, and when it is over."""
        description = self._link.description
        if description is None or description.session_clock:
            return None
        age_s = block.received_s - float(block.stamps[-1])
        key = self._query.key
        if not self._behind and age_s > self._backlog_s:
            self._behind = True
            text = f"{key}: {age_s:.1f} s behind; catching up, pictures are that old."
            self._say("backlog", "warning", text)
        elif self._behind and age_s < self._backlog_s / 2:
            self._behind = False
            self._say("caught-up", "info", f"{key}: caught up, {1000 * age_s:.0f} ms behind.")
        return age_s
