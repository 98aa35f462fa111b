"""One connected marker inlet: irregular strings, taken without waiting, stamped on our clock."""

from __future__ import annotations

import time
from typing import Any

from b2g_rt.errors import StreamAmbiguous, StreamLost, StreamMismatch
from b2g_rt.sources.chunk import Level, SourceMarker
from b2g_rt.sources.clock_correction import ClockCorrection
from b2g_rt.sources.stream_query import FoundStream, Seeker, StreamQuery

_OPEN_TIMEOUT_S = 2.0
_BUFFER = 360
# Silence is normal between trials; only then it is looked whether another outlet took the place, now and then.
_SILENT_S = 2.0
_LOOK_EVERY_S = 0.5


class MarkerInlet:
    """An open inlet of one string column.

    Raises
    ------
    StreamMismatch
        The stream is not one column of strings.
    StreamLost
        It went away while it was opened.
    """

    def __init__(self, found: FoundStream, key: str) -> None:
        import pylsl

        if found.format != "string" or found.n_columns != 1:
            raise StreamMismatch(
                f"{key}: {found}: {found.n_columns} x {found.format}, expected 1 x string. Name the marker stream."
            )
        self._local_clock = pylsl.local_clock
        self._lost_error: type[Exception] = pylsl.util.LostError
        self._key = key
        self.found = found
        self._inlet: Any = pylsl.StreamInlet(
            found.info,
            max_buflen=_BUFFER,
            recover=False,
            processing_flags=pylsl.proc_none,
            as_numpy=True,
        )
        try:
            self._inlet.open_stream(_OPEN_TIMEOUT_S)
            self._correction = ClockCorrection(self._inlet, found.host)
            self.corrected = self._correction.start(_OPEN_TIMEOUT_S)
        except (pylsl.util.TimeoutError, self._lost_error):
            self.close()
            raise StreamLost(
                f"{key}: {found} went away while it was opened. Waiting for it."
            ) from None

    def pull(self) -> list[SourceMarker]:
        """Return the markers that have arrived.

        Raises
        ------
        StreamLost
            The outlet is gone.
        """
        markers: list[SourceMarker] = []
        try:
            while True:
                # Raw bytes: a stranger's text need not be UTF-8.
                values, stamp = self._inlet.pull_sample(0.0)
                if values is None:
                    return markers
                text = bytes(values[0]).decode("utf-8", "replace")
                markers.append(
                    SourceMarker(stamp + self._correction.now(), text, float(self._local_clock()))
                )
        except self._lost_error:
            if markers:
                return markers
            raise StreamLost(f"{self._key}: {self.found} is gone.") from None

    def close(self) -> None:
        """Destroy the inlet; twice is harmless."""
        self._inlet = None


class MarkerLink:
    """The marker stream over its comings and goings: looked for, read, looked for again. Never waits long.

    Parameters
    ----------
    query : StreamQuery
    """

    def __init__(self, query: StreamQuery) -> None:
        self.key = query.key
        self._query = query
        self._inlet: MarkerInlet | None = None
        self._seeker: Seeker | None = None
        self._before: FoundStream | None = None
        self._successor: FoundStream | None = None
        self._refused: frozenset[str] = frozenset()
        self._next_look = 0.0

    @property
    def connected(self) -> bool:
        """Whether there is a marker stream right now."""
        return self._inlet is not None

    @property
    def found(self) -> FoundStream | None:
        """The connected stream, or the one that was there last; None before the first."""
        return self._before

    def read(self) -> tuple[list[SourceMarker], list[tuple[str, Level, str]]]:
        """Return the markers that have arrived, and what there is to say (kind, level, text).

        Raises
        ------
        StreamAmbiguous, StreamMismatch
            Several streams fit, or the one that fits carries no markers; once for each stream.
        """
        said = self._connect() if self._inlet is None else []
        if self._inlet is None:
            return [], said
        try:
            markers = self._inlet.pull()
        except StreamLost as lost:
            return [], [*said, self._drop(str(lost))]
        if markers:
            self._seeker = None
            self._next_look = time.monotonic() + _SILENT_S
        else:
            said += self._watch(self._inlet.found)
        return markers, said

    def close(self) -> None:
        """Let go of the stream; twice is harmless."""
        if self._inlet is not None:
            self._inlet.close()
        self._inlet = self._seeker = None

    def _connect(self) -> list[tuple[str, Level, str]]:
        found, self._successor = self._successor or self._seek(), None
        if found is None:
            return []
        self._seeker = None
        try:
            inlet = MarkerInlet(found, self.key)
        except StreamMismatch:
            self._refused |= {found.uid}
            raise
        except StreamLost:
            return []
        self._inlet = inlet
        self._next_look = time.monotonic() + _SILENT_S
        again = "again " if self._before is not None else ""
        self._before = found
        said: list[tuple[str, Level, str]] = [
            ("markers-connected", "info", f"{self.key}: connected {again}to {found}.")
        ]
        if not inlet.corrected:
            text = f"{self.key}: the clock of host {found.host} could not be compared yet; times are uncorrected."
            said.append(("clock-unknown", "warning", text))
        return said

    def _seek(self) -> FoundStream | None:
        if self._seeker is None:
            self._seeker = Seeker(self._query, self._before)
        try:
            return self._seeker.poll(self._refused)
        except StreamAmbiguous:
            self._seeker = None
            raise

    def _watch(self, connected: FoundStream) -> list[tuple[str, Level, str]]:
        """Look whether another outlet took the place of a silent one; a frozen program never closes its own."""
        now = time.monotonic()
        if now < self._next_look:
            return []
        self._next_look = now + _LOOK_EVERY_S
        if self._seeker is None:
            self._seeker = Seeker(self._query, connected)
        self._successor = self._seeker.successor(connected, self._refused)
        if self._successor is None:
            return []
        return [self._drop(f"{self.key}: {connected} is silent and another outlet took its place.")]

    def _drop(self, reason: str) -> tuple[str, Level, str]:
        self.close()
        return "markers-lost", "warning", f"{reason} Markers sent meanwhile are unknown."
