"""Which LSL stream is meant, and which streams are there.

Exactly one stream must fit. What is wrong is said in one line that lists what was seen. Imports pylsl only when
something is looked for.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from b2g_rt.errors import StreamAmbiguous, StreamError

# Outlets answer within half a second at best; a shorter look sees only some of them.
SETTLE_S = 1.0
POLL_S = 0.05
_FORGET_AFTER_S = 3.0
_MAX_LISTED = 12


@dataclass(frozen=True, slots=True)
class StreamQuery:
    """Name, type, source_id and host of a stream; empty ones match anything.

    ``key``: where this stands in the configuration, for messages.
    """

    name: str
    type: str = ""
    source_id: str = ""
    host: str = ""
    key: str = "streams.mua"

    def predicate(self) -> str:
        """Return the XPath 1.0 predicate for liblsl.

        Raises
        ------
        StreamError
            A value holds both kinds of quotes, which XPath 1.0 cannot write.
        """
        parts = [
            f"{element}={self._quoted(element, value)}"
            for element, value in (
                ("name", self.name),
                ("type", self.type),
                ("source_id", self.source_id),
                ("hostname", self.host),
            )
            if value
        ]
        return " and ".join(parts) or "true()"

    def _quoted(self, element: str, value: str) -> str:
        if "'" not in value:
            return f"'{value}'"
        if '"' not in value:
            return f'"{value}"'
        raise StreamError(
            f"{self.key}.{element}: {value!r} holds both ' and \", expected at most one kind."
        )

    def __str__(self) -> str:
        """Return the query as a reader would say it."""
        given = [
            f"{what} '{value}'"
            for what, value in (
                ("name", self.name),
                ("type", self.type),
                ("source_id", self.source_id),
                ("host", self.host),
            )
            if value
        ]
        return ", ".join(given) or "any stream"


@dataclass(frozen=True, slots=True)
class FoundStream:
    """A stream that answered; ``info`` is pylsl's handle, for opening an inlet."""

    name: str
    type: str
    n_columns: int
    rate_hz: float
    format: str
    source_id: str
    host: str
    uid: str
    info: Any

    def __str__(self) -> str:
        """Return the stream in one phrase."""
        rate = f"{self.rate_hz:g} Hz" if self.rate_hz else "irregular"
        kind = f" ({self.type})" if self.type else ""
        return f"'{self.name}'{kind} {self.n_columns} x {self.format} at {rate} on {self.host}"


class Seeker:
    """Looks for a stream in the background until it is dropped.

    Parameters
    ----------
    query : StreamQuery
    before : FoundStream, optional
        The stream that was connected; among several that fit, this device is chosen, and without waiting.
    """

    def __init__(self, query: StreamQuery, before: FoundStream | None = None) -> None:
        import pylsl

        self._query = query
        self._before = before
        self._resolver: Any = pylsl.ContinuousResolver(
            pred=query.predicate(), forget_after=_FORGET_AFTER_S
        )
        self._since = time.monotonic()
        self._next_look = self._since

    @property
    def waited_s(self) -> float:
        """How long the search has been on, s."""
        return time.monotonic() - self._since

    def poll(self, refused: frozenset[str] = frozenset()) -> FoundStream | None:
        """Return the one stream that fits, or None so far; never blocks.

        Parameters
        ----------
        refused : frozenset of str
            uids that are left out.

        Raises
        ------
        StreamAmbiguous
            Several fit; the line says how to tell them apart.
        """
        if not self._due() or (self._before is None and self.waited_s < SETTLE_S):
            return None
        found = self._answering(refused)
        if len(found) > 1 and self._before is not None:
            same = [
                s
                for s in found
                if (s.host, s.source_id) == (self._before.host, self._before.source_id)
            ]
            found = same or found
        if len(found) > 1:
            raise StreamAmbiguous(_ambiguous(self._query, found))
        return found[0] if found else None

    def successor(
        self, connected: FoundStream, refused: frozenset[str] = frozenset()
    ) -> FoundStream | None:
        """Return the outlet that took the place of a connected one, or None so far; never blocks.

        It is of the same host and source_id, and either the connected one no longer answers (its program hangs, its
        machine is gone), or the new one was made later. Without a source_id only the first counts: two programs of
        one name are not one device.

        Parameters
        ----------
        connected : FoundStream
        refused : frozenset of str
            uids that are left out.
        """
        if not self._due() or self.waited_s < SETTLE_S:
            return None
        found = self._answering(refused)
        device = connected.host, connected.source_id
        others = [s for s in found if s.uid != connected.uid and (s.host, s.source_id) == device]
        if not others:
            return None
        newest = max(others, key=lambda stream: float(stream.info.created_at()))
        if all(stream.uid != connected.uid for stream in found):
            return newest
        later = newest.info.created_at() > connected.info.created_at()
        return newest if later and connected.source_id else None

    def _due(self) -> bool:
        now = time.monotonic()
        if now < self._next_look:
            return False
        self._next_look = now + POLL_S
        return True

    def _answering(self, refused: frozenset[str]) -> list[FoundStream]:
        return [s for s in map(_found, self._resolver.results()) if s.uid not in refused]


def list_streams(wait_s: float = SETTLE_S) -> list[FoundStream]:
    """Return every stream that answers within ``wait_s``, by name."""
    import pylsl

    found = {stream.uid: stream for stream in map(_found, pylsl.resolve_streams(wait_s))}
    return sorted(found.values(), key=lambda stream: (stream.name, stream.host, stream.uid))


def not_found_line(query: StreamQuery, waited_s: float) -> str:
    """Return the line for a stream that is not there, with those that are."""
    there = list_streams()
    listed = "; ".join(map(str, there[:_MAX_LISTED])) or "none"
    more = f"; and {len(there) - _MAX_LISTED} more" if len(there) > _MAX_LISTED else ""
    return (
        f"{query.key}: no LSL stream with {query} within {waited_s:.0f} s. Streams that are there: {listed}{more}. "
        f"Start the outlet, or correct {query.key}.name."
    )


def _ambiguous(query: StreamQuery, found: list[FoundStream]) -> str:
    listed = "; ".join(
        f"source_id '{s.source_id}' on host '{s.host}' (uid {s.uid[:8]}, {s.n_columns} x {s.format})"
        for s in sorted(found, key=lambda s: (s.source_id, s.host, s.uid))[:_MAX_LISTED]
    )
    if len({(s.source_id, s.host) for s in found}) == 1:
        advice = "They cannot be told apart: stop one of them."
    else:
        advice = f"Set {query.key}.source_id or {query.key}.host to choose one."
    return f"{query.key}: {len(found)} LSL streams with {query}, expected one: {listed}. {advice}"


_FORMATS = ("undefined", "float32", "double64", "string", "int32", "int16", "int8", "int64")


def _found(info: Any) -> FoundStream:
    return FoundStream(
        name=info.name(),
        type=info.type(),
        n_columns=info.channel_count(),
        rate_hz=info.nominal_srate(),
        format=_FORMATS[info.channel_format()],
        source_id=info.source_id(),
        host=info.hostname(),
        uid=info.uid(),
        info=info,
    )
