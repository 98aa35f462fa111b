"""MUA and markers from LSL: found, checked, read, found again after a loss.

``LslSource.read`` is all the service calls. While there is no stream it looks for one and says so; when the outlet
restarts it reconnects, and the sample clock measures what was lost. One thread owns a source: liblsl's inlets do
not bear to be destroyed by another.
"""

from __future__ import annotations

import time

from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.errors import StreamAmbiguous, StreamLost, StreamMismatch, StreamNotFound
from b2g_rt.sources.chunk import Chunk, Level, SourceEvent, SourceMarker, State, StreamDescription
from b2g_rt.sources.ledger import StreamLedger
from b2g_rt.sources.marker_inlet import MarkerLink
from b2g_rt.sources.mua_inlet import MAX_ROWS, Block, MuaInlet
from b2g_rt.sources.placed import Placed
from b2g_rt.sources.sample_clock import MAX_FORWARD_S, SampleClock
from b2g_rt.sources.stream_query import (
    SETTLE_S,
    FoundStream,
    Seeker,
    StreamQuery,
    not_found_line,
)

BACKLOG_S = 0.5
_POLL_S = 0.05
_LEAST_WAIT_S = SETTLE_S + 2 * _POLL_S
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
        self._n_columns = channels.n_stream_channels
        self._rate_hz = rate_hz
        self._resolve_timeout_s = resolve_timeout_s
        self._stale_after_s = stale_after_s
        self._gap_threshold_s = gap_threshold_s
        self._max_rows = max_rows
        self._backlog_s = backlog_s
        self._markers = MarkerLink(markers) if markers is not None else None
        self._marker_ledger = StreamLedger()
        self._clock = SampleClock(rate_hz, gap_threshold_s=gap_threshold_s)
        self._ledger = StreamLedger()
        self._inlet: MuaInlet | None = None
        self._seeker: Seeker | None = None
        self._before: MuaInlet | None = None
        self._refused: frozenset[str] = frozenset()
        self._events: list[SourceEvent] = []
        self._placed: list[Placed] = []
        self._early: list[SourceMarker] = []
        self._last_sample = 0.0
        self._stalled = False
        self._behind = False
        self._said_not_found = False

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
        inlet = self._inlet or self._before
        return None if inlet is None else inlet.description

    @property
    def state(self) -> State:
        """'waiting', 'streaming' or 'stalled'."""
        if self._inlet is None:
            return "waiting"
        return "stalled" if self._stalled else "streaming"

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
        while self._inlet is None:
            # Markers first: once the MUA inlet is open, samples pile up in it.
            self._early += self._read_markers()
            found = seeker.poll()
            if found is not None and (self._markers_there or seeker.waited_s > _MARKER_WAIT_S):
                self._open(found)
            elif found is None and seeker.waited_s > max(self._resolve_timeout_s, _LEAST_WAIT_S):
                raise StreamNotFound(not_found_line(self._query, seeker.waited_s))
            else:
                time.sleep(_POLL_S)
        if not self._markers_there:
            text = "streams.markers: no such stream yet; trials start when it comes."
            self._say("markers-missing", "warning", text)
        return self._inlet.description

    def read(self, timeout_s: float) -> Chunk:
        """Return what there is, waiting up to ``timeout_s`` for a first sample.

        Raises
        ------
        StreamAmbiguous
            Several streams fit; once more at each look.
        StreamMismatch
            A stream that fits by name has other columns, rate, format or clock; once for each stream.
        """
        block = None
        if self._inlet is None:
            self._seek(timeout_s)
        else:
            block = self._pull(timeout_s)
        markers = self._early + self._read_markers()
        self._early = []
        return self._chunk(block, markers)

    def close(self) -> None:
        """Destroy the inlets; twice is harmless."""
        if self._inlet is not None:
            self._before = self._inlet
            self._inlet.close()
        self._inlet = self._seeker = None
        if self._markers is not None:
            self._markers.close()

    # ------------------------------------------------------------------ connected

    def _pull(self, timeout_s: float) -> Block | None:
        inlet = self._inlet
        assert inlet is not None
        try:
            block = inlet.pull(timeout_s)
        except StreamLost as lost:
            self._drop(str(lost))
            return None
        except StreamMismatch:
            self._refused |= {inlet.found.uid}
            self._drop(f"{self._query.key}: {inlet.found} is refused.")
            raise
        if block is None:
            self._check_stall()
            return None
        self._last_sample = time.monotonic()
        if self._stalled:
            self._stalled = False
            self._seeker = None
            self._say("resumed", "info", f"{self._query.key}: {inlet.found} streams again.")
        self._placed += self._clock.push(block.stamps, block.rows)
        return block

    def _check_stall(self) -> None:
        """Say once that the outlet is silent (nothing is lost yet), and look for one in its place."""
        inlet, silent_s = self._inlet, time.monotonic() - self._last_sample
        assert inlet is not None
        if silent_s < self._stale_after_s:
            return
        if not self._stalled:
            self._stalled = True
            self._placed += self._clock.flush()
            text = f"{self._query.key}: no sample from {inlet.found} for {silent_s:.1f} s."
            self._say("stalled", "warning", text)
        if silent_s > MAX_FORWARD_S and self._clock.n_pending == 0:
            # After so long a silence a jump is lost time, not a step of the stamps' clock.
            self._placed += self._clock.restart_hint()
        if self._seeker is None:
            self._seeker = Seeker(self._query, inlet.found)
        try:
            found = self._seeker.poll(self._refused | {inlet.found.uid})
        except StreamAmbiguous:
            return
        if found is not None:
            self._drop(f"{self._query.key}: {inlet.found} is silent and {found} took its place.")

    def _drop(self, reason: str) -> None:
        if self._inlet is not None:
            self._inlet.close()
            self._before = self._inlet
        self._inlet = self._seeker = None
        self._stalled = False
        self._placed += self._clock.flush()
        self._say("lost", "warning", f"{reason} Looking for it.")

    # ------------------------------------------------------------------ looking

    def _seek(self, timeout_s: float) -> None:
        end = time.monotonic() + timeout_s
        while True:
            if self._seeker is None:
                self._seeker = Seeker(
                    self._query, None if self._before is None else self._before.found
                )
            try:
                found = self._seeker.poll(self._refused)
            except StreamAmbiguous:
                self._seeker = None
                raise
            if found is not None:
                self._open(found)
                return
            if self._seeker.waited_s > self._resolve_timeout_s and not self._said_not_found:
                self._said_not_found = True
                line = not_found_line(self._query, self._seeker.waited_s)
                self._say("not-found", "warning", f"{line} Still looking.")
            left = end - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, _POLL_S))

    def _open(self, found: FoundStream) -> None:
        self._seeker = None
        key, before = self._query.key, self._before
        try:
            inlet = MuaInlet(found, self._n_columns, self._rate_hz, key, self._max_rows)
            if before is not None and inlet.description.rate_hz != before.description.rate_hz:
                inlet.close()
                raise StreamMismatch(
                    f"{key}: {found} took the place of {before.found}: another rate, expected the same. "
                    "Restart the service to use it."
                )
        except StreamLost:
            return
        except StreamMismatch as mismatch:
            self._refused |= {found.uid}
            if before is None:
                raise
            raise StreamMismatch(f"{mismatch} Before, it was {before.found}.") from None
        self._inlet = inlet
        self._last_sample = time.monotonic()
        self._said_not_found = False
        if not inlet.corrected:
            text = f"{key}: the clock of host {found.host} could not be compared yet; times are uncorrected."
            self._say("clock-unknown", "warning", text)
        if before is None:
            self._clock = SampleClock(
                inlet.description.rate_hz,
                gap_threshold_s=self._gap_threshold_s,
                stamp_noise_s=0.0 if inlet.exact_clock else _REMOTE_NOISE_S,
            )
            self._say("connected", "info", f"{key}: connected to {found}.")
            return
        self._placed += self._clock.restart_hint()
        self._ledger.add_reconnect()
        old, restarted = before.found, found.uid != before.found.uid
        what = "the outlet was restarted" if restarted else "the connection was lost"
        self._say("reconnected", "warning", f"{key}: connected again to {found}: {what}.")
        if (old.host, old.source_id) != (found.host, found.source_id):
            self._say(
                "other-source",
                "warning",
                f"{key}: source_id '{found.source_id}' on {found.host}, before it was '{old.source_id}' on "
                f"{old.host}. Set {key}.source_id or {key}.host if this is not the same device.",
            )

    # ------------------------------------------------------------------ markers, chunk

    def _read_markers(self) -> list[SourceMarker]:
        if self._markers is None:
            return []
        markers, said = self._markers.read()
        for kind, level, text in said:
            self._say(kind, level, text)
        self._marker_ledger.add_markers(len(markers))
        return markers

    @property
    def _markers_there(self) -> bool:
        return self._markers is None or self._markers.connected

    def _say(self, kind: str, level: Level, text: str) -> None:
        self._events.append(SourceEvent(kind, level, text, float(self._local_clock())))

    def _chunk(self, block: Block | None, markers: list[SourceMarker]) -> Chunk:
        placed, self._placed = self._placed, []
        for run in placed:
            self._ledger.add(run)
            if run.n_lost or run.step_s:
                self._say_gap(run)
        age_s = None
        if block is not None:
            age_s = self._note_backlog(block)
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
        if run.step_s:
            text = f"{self._query.key}: the stamps' clock stepped by {run.step_s:+.3f} s; the samples go on."
            self._say("clock-step", "warning", text)
        if run.n_lost:
            lost_s = run.n_lost / self._clock.rate_hz
            text = f"{self._query.key}: {run.n_lost} samples lost ({lost_s:.3f} s) before sample {run.index}."
            self._say("gap", "warning", text)

    def _note_backlog(self, block: Block) -> float | None:
        inlet = self._inlet
        if inlet is None or inlet.description.session_clock:
            return None
        age_s = block.received_s - float(block.stamps[-1])
        if not self._behind and age_s > self._backlog_s:
            self._behind = True
            text = f"{self._query.key}: {age_s:.1f} s behind; catching up, pictures are that old."
            self._say("backlog", "warning", text)
        elif self._behind and age_s < self._backlog_s / 2:
            self._behind = False
            self._say(
                "caught-up", "info", f"{self._query.key}: caught up, {1000 * age_s:.0f} ms behind."
            )
        return age_s
