"""The MUA stream over its comings and goings: looked for, opened, read, watched, looked for again.

Says what happened and hands out raw blocks; what that means for the samples is not decided here.
"""

from __future__ import annotations

import time
from typing import Literal

from b2g_rt.errors import StreamAmbiguous, StreamLost, StreamMismatch
from b2g_rt.sources.chunk import Level, State, StreamDescription
from b2g_rt.sources.mua_inlet import Block, MuaInlet
from b2g_rt.sources.stream_query import POLL_S, FoundStream, Seeker, StreamQuery, not_found_line

Change = Literal["opened", "reopened", "stalled", "long-silence", "dropped"]
# After so long a silence a jump of the stamps is lost time, whatever its length.
LONG_SILENCE_S = 60.0


class MuaLink:
    """One MUA stream; a thread of its own must not touch it.

    Parameters
    ----------
    query : StreamQuery
    n_columns : int
        Columns that the stream must have.
    rate_hz : float
        Recorded rate that the bundle expects.
    resolve_timeout_s : float
        After looking this long it says what is there, and goes on looking.
    stale_after_s : float
        No sample for this long: stalled.
    max_rows : int
        Rows of one read at most.
    """

    def __init__(
        self,
        query: StreamQuery,
        n_columns: int,
        rate_hz: float,
        *,
        resolve_timeout_s: float,
        stale_after_s: float,
        max_rows: int,
    ) -> None:
        self._query = query
        self._n_columns = n_columns
        self._rate_hz = rate_hz
        self._resolve_timeout_s = resolve_timeout_s
        self._stale_after_s = stale_after_s
        self._max_rows = max_rows
        self._inlet: MuaInlet | None = None
        self._before: MuaInlet | None = None
        self._seeker: Seeker | None = None
        self._refused: frozenset[str] = frozenset()
        self._last_sample = 0.0
        self._stalled = False
        self._long_silent = False
        self._said_not_found = False
        self._said: list[tuple[str, Level, str]] = []
        self._changes: list[Change] = []

    @property
    def state(self) -> State:
        """'waiting', 'streaming' or 'stalled'."""
        if self._inlet is None:
            return "waiting"
        return "stalled" if self._stalled else "streaming"

    @property
    def connected(self) -> bool:
        """Whether an inlet is open."""
        return self._inlet is not None

    @property
    def exact_clock(self) -> bool:
        """Whether the open stream is stamped by this host's own clock."""
        return self._inlet is not None and self._inlet.exact_clock

    @property
    def description(self) -> StreamDescription | None:
        """The connected stream, or the one that was there last; None before the first."""
        inlet = self._inlet or self._before
        return None if inlet is None else inlet.description

    def take_said(self) -> list[tuple[str, Level, str]]:
        """Return what there is to say since the last call: (kind, level, text)."""
        said, self._said = self._said, []
        return said

    def take_changes(self) -> list[Change]:
        """Return what happened since the last call, in order."""
        changes, self._changes = self._changes, []
        return changes

    def read(self, timeout_s: float) -> Block | None:
        """Return a block, or None when nothing came or there is no stream.

        Raises
        ------
        StreamAmbiguous
            Several streams fit; once more at each look.
        StreamMismatch
            A stream that fits by name has other columns, rate, format or clock; once for each stream.
        """
        if self._inlet is None:
            self._seek(timeout_s)
            return None
        try:
            block = self._inlet.pull(timeout_s)
        except StreamLost as lost:
            self._drop(str(lost))
            return None
        except StreamMismatch:
            self._refused |= {self._inlet.found.uid}
            self._drop(f"{self._query.key}: {self._inlet.found} is refused.")
            raise
        if block is None:
            self._watch(self._inlet)
            return None
        self._last_sample = time.monotonic()
        self._long_silent = False
        if self._stalled:
            self._stalled = False
            self._seeker = None
            self._say("resumed", "info", f"{self._inlet.found} streams again.")
        return block

    def open(self, found: FoundStream) -> None:
        """Open a stream that was found; does nothing when it went away meanwhile.

        Raises
        ------
        StreamMismatch
            It is not what the bundle needs, or not what was there before.
        """
        self._seeker = None
        try:
            inlet = self._checked(found)
        except StreamLost:
            return
        except StreamMismatch as mismatch:
            self._refused |= {found.uid}
            if self._before is None:
                raise
            raise StreamMismatch(f"{mismatch} Before, it was {self._before.found}.") from None
        self._inlet = inlet
        self._last_sample = time.monotonic()
        self._said_not_found = False
        if not inlet.corrected:
            text = (
                f"the clock of host {found.host} could not be compared yet; times are uncorrected."
            )
            self._say("clock-unknown", "warning", text)
        if self._before is None:
            self._changes.append("opened")
            self._say("connected", "info", f"connected to {found}.")
        else:
            self._changes.append("reopened")
            self._say_reopened(self._before.found, found)

    def close(self) -> None:
        """Destroy the inlet; twice is harmless."""
        if self._inlet is not None:
            self._before = self._inlet
            self._inlet.close()
        self._inlet = self._seeker = None

    def _checked(self, found: FoundStream) -> MuaInlet:
        key, before = self._query.key, self._before
        inlet = MuaInlet(found, self._n_columns, self._rate_hz, key, self._max_rows)
        if before is not None and inlet.description.rate_hz != before.description.rate_hz:
            inlet.close()
            raise StreamMismatch(
                f"{key}: {found}: {found.rate_hz:g} Hz, expected {before.found.rate_hz:g} Hz as before. "
                "Restart the service to use it."
            )
        return inlet

    def _seek(self, timeout_s: float) -> None:
        end = time.monotonic() + timeout_s
        while True:
            if self._seeker is None:
                before = None if self._before is None else self._before.found
                self._seeker = Seeker(self._query, before)
            try:
                found = self._seeker.poll(self._refused)
            except StreamAmbiguous:
                self._seeker = None
                raise
            if found is not None:
                self.open(found)
                return
            if self._seeker.waited_s > self._resolve_timeout_s and not self._said_not_found:
                self._said_not_found = True
                line = not_found_line(self._query, self._seeker.waited_s)
                self._said.append(("not-found", "warning", f"{line} Still looking."))
            left_s = end - time.monotonic()
            if left_s <= 0:
                return
            time.sleep(min(left_s, POLL_S))

    def _watch(self, inlet: MuaInlet) -> None:
        """Say once that the outlet is silent (nothing is lost yet), and look for one in its place."""
        silent_s = time.monotonic() - self._last_sample
        if silent_s < self._stale_after_s:
            return
        if not self._stalled:
            self._stalled = True
            self._changes.append("stalled")
            self._say("stalled", "warning", f"no sample from {inlet.found} for {silent_s:.1f} s.")
        if silent_s > LONG_SILENCE_S and not self._long_silent:
            self._long_silent = True
            self._changes.append("long-silence")
        if self._seeker is None:
            self._seeker = Seeker(self._query, inlet.found)
        try:
            found = self._seeker.poll(self._refused | {inlet.found.uid})
        except StreamAmbiguous:
            return
        if found is not None:
            self._drop(f"{self._query.key}: {inlet.found} is silent and {found} took its place.")

    def _drop(self, reason: str) -> None:
        self.close()
        self._stalled = False
        self._changes.append("dropped")
        self._said.append(("lost", "warning", f"{reason} Looking for it."))

    def _say_reopened(self, old: FoundStream, found: FoundStream) -> None:
        what = "the outlet was restarted" if found.uid != old.uid else "the connection was lost"
        self._say("reconnected", "warning", f"connected again to {found}: {what}.")
        if (old.host, old.source_id) != (found.host, found.source_id):
            key = self._query.key
            self._say(
                "other-source",
                "warning",
                f"source_id '{found.source_id}' on {found.host}, before it was '{old.source_id}' on "
                f"{old.host}. Set {key}.source_id or {key}.host if this is not the same device.",
            )

    def _say(self, kind: str, level: Level, text: str) -> None:
        self._said.append((kind, level, f"{self._query.key}: {text}"))
