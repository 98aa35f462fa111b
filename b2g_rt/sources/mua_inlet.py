"""One connected MUA inlet: the contract checked at opening, then blocks of raw rows with stamps on our clock.

liblsl's own recovery and smoothing are off: recovery hides loss, smoothing is off by the length of every gap. One
thread owns an inlet: destroying it during a pull can abort the process (sccn/liblsl#220).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import StreamLost, StreamMismatch
from b2g_rt.sources.chunk import StreamDescription
from b2g_rt.sources.clock_correction import ClockCorrection
from b2g_rt.sources.stream_query import FoundStream

OPEN_TIMEOUT_S = 5.0
# A service that is held up finds everything again; at 1024 columns and 1 kHz this can grow to 1.4 GB.
BUFFER_S = 360
MAX_ROWS = 1000
FOREIGN_CLOCK_S = 10.0
_RATE_TOLERANCE = 1e-3
_DTYPES = {
    "float32": np.float32,
    "double64": np.float64,
    "int32": np.int32,
    "int16": np.int16,
    "int8": np.int8,
    "int64": np.int64,
}


@dataclass(frozen=True, slots=True)
class Block:
    """Rows as pulled: stamps float64 axes (sample,), rows float32 axes (sample, stream column)."""

    stamps: NDArray[np.float64]
    rows: NDArray[np.float32]
    received_s: float
    full: bool


class MuaInlet:
    """An open inlet that fits the bundle.

    Parameters
    ----------
    found : FoundStream
    n_columns : int
        Columns that the channel map expects.
    rate_hz : float
        Recorded rate that the bundle expects; the stream must declare it times its own speed.
    key : str
        Where the stream stands in the configuration.
    max_rows : int, optional
        Rows of one pull at most.

    Raises
    ------
    StreamMismatch
        Columns, rate or format are not what is expected.
    StreamLost
        The stream went away while it was opened.
    """

    def __init__(
        self, found: FoundStream, n_columns: int, rate_hz: float, key: str, max_rows: int = MAX_ROWS
    ) -> None:
        import pylsl

        _check_before_opening(found, n_columns, key)
        self._local_clock = pylsl.local_clock
        self._lost_error: type[Exception] = pylsl.util.LostError
        self.found = found
        self._key = key
        self._inlet: Any = pylsl.StreamInlet(
            found.info, max_buflen=BUFFER_S, recover=False, processing_flags=pylsl.proc_none
        )
        try:
            self.description = describe(self._inlet.info(OPEN_TIMEOUT_S))
            _check_rate(found, self.description, rate_hz, key)
            self._inlet.open_stream(OPEN_TIMEOUT_S)
            self._opened_s = float(self._local_clock())
            self._correction = ClockCorrection(self._inlet, found.host)
            self.corrected = self._correction.start(OPEN_TIMEOUT_S)
        except (pylsl.util.TimeoutError, self._lost_error):
            self.close()
            raise StreamLost(
                f"{key}: {found} went away while it was opened. Waiting for it."
            ) from None
        except StreamMismatch:
            self.close()
            raise
        self._buffer = np.empty((max_rows, n_columns), _DTYPES[found.format])
        self._clock_checked = False

    @property
    def exact_clock(self) -> bool:
        """Whether stamps need no correction (same host)."""
        return self._correction.exact

    def pull(self, timeout_s: float) -> Block | None:
        """Wait for one sample, then take what is there.

        Returns
        -------
        Block or None
            None when nothing came within ``timeout_s``.

        Raises
        ------
        StreamLost
            The outlet is gone.
        StreamMismatch
            The first stamps are on another clock than LSL's.
        """
        buffer, n_max = self._buffer, len(self._buffer)
        try:
            # A pull with a timeout blocks until it has all it was asked for: so ask for one sample, then drain.
            _, head = self._inlet.pull_chunk(timeout_s, max_samples=1, dest_obj=buffer)
            if not head:
                return None
            _, more = self._inlet.pull_chunk(0.0, max_samples=n_max - 1, dest_obj=buffer[1:])
            received_s = float(self._local_clock())
            correction_s = self._correction.now()
        except self._lost_error:
            raise StreamLost(f"{self._key}: {self.found} is gone.") from None
        stamps = np.array(head + more, np.float64)
        if correction_s:
            stamps += correction_s
        if not self._clock_checked:
            self._check_clock(float(stamps[0]), received_s)
        rows = np.array(buffer[: len(stamps)], np.float32)
        return Block(stamps, rows, received_s, full=len(stamps) == n_max)

    def close(self) -> None:
        """Destroy the inlet; twice is harmless."""
        self._inlet = None

    def _check_clock(self, stamp: float, received_s: float) -> None:
        self._clock_checked = True
        if self.description.session_clock:
            return
        # What waited in the inlet is old but not foreign: count from the moment it was opened.
        early, late = self._opened_s - stamp, stamp - received_s
        if early > FOREIGN_CLOCK_S or late > FOREIGN_CLOCK_S:
            off = f"{early:.0f} s behind" if early > 0 else f"{late:.0f} s ahead of"
            raise StreamMismatch(
                f"{self._key}: {self.found}: stamps are {off} LSL's local_clock, expected within "
                f"{FOREIGN_CLOCK_S:.0f} s. The outlet stamps with another clock (Unix time?): let it use "
                "pylsl.local_clock()."
            )


def describe(info: Any) -> StreamDescription:
    """Read a full stream info, with its ``<desc><b2g>`` where there is one."""
    b2g = info.desc().child("b2g")
    speed = _number(b2g.child_value("speed")) or 1.0
    n_trials = _number(b2g.child_value("n_trials"))
    first = info.desc().child("channels").child("channel")
    return StreamDescription(
        name=info.name(),
        host=info.hostname(),
        source_id=info.source_id(),
        uid=info.uid(),
        n_columns=info.channel_count(),
        rate_hz=info.nominal_srate(),
        speed=speed,
        session_clock=b2g.child_value("clock") == "session",
        simulated=b2g.child_value("simulated") == "1",
        unit=first.child_value("unit"),
        n_trials=None if n_trials is None else int(n_trials),
    )


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) and value > 0 else None


def _check_before_opening(found: FoundStream, n_columns: int, key: str) -> None:
    if found.format not in _DTYPES:
        raise StreamMismatch(
            f"{key}: {found}: format {found.format}, expected float32. Name the stream that carries MUA."
        )
    if found.n_columns != n_columns:
        raise StreamMismatch(
            f"{key}: {found}: {found.n_columns} columns, the channel map expects {n_columns}. "
            "Give the stream's map in 'channels', or choose another bundle or stream."
        )
    if not found.rate_hz > 0:
        raise StreamMismatch(
            f"{key}: {found}: irregular rate, expected a regular one. Name the stream that carries MUA."
        )


def _check_rate(found: FoundStream, described: StreamDescription, rate_hz: float, key: str) -> None:
    expected = rate_hz * described.speed
    if abs(found.rate_hz - expected) > _RATE_TOLERANCE * expected:
        times = (
            f" ({rate_hz:g} Hz times its speed {described.speed:g})" if described.speed != 1 else ""
        )
        raise StreamMismatch(
            f"{key}: {found}: {found.rate_hz:g} Hz, the bundle expects {expected:g} Hz{times}. "
            "Choose a bundle for this rate, or correct the outlet's nominal rate."
        )
