"""The service's clock as seen from this process, so that a stamp can be told as an age.

The service stamps with its LSL clock; this process has only its own monotonic clock, and may run on another
host. Every message that carries the time of its publication gives ``arrival - published``, which is the
difference of the clocks plus the time on the way; the smallest of these is the best estimate. It is too
large by the fastest passage seen, on loopback a fraction of a millisecond, so ages are understated by that.

The estimate may rise by ``DRIFT`` only: after a stall old messages arrive late, and believing them
would turn a picture of five seconds ago into a new one. Knows neither sockets nor Qt; time is an argument.
"""

from __future__ import annotations

# Quartz clocks of two hosts drift apart by less than 100 ppm; twice that is allowed.
DRIFT = 2e-4


class ServiceClock:
    """Difference between this process's monotonic clock and the service's LSL clock."""

    def __init__(self) -> None:
        self._offset_s: float | None = None
        self._arrival_s = 0.0

    def observe(self, published_s: float, arrival_s: float) -> None:
        """Take a publication time (LSL clock) and the arrival of the message (monotonic), in seconds."""
        observed = arrival_s - published_s
        if self._offset_s is not None:
            leak = DRIFT * max(0.0, arrival_s - self._arrival_s)
            observed = min(observed, self._offset_s + leak)
        self._offset_s, self._arrival_s = observed, arrival_s

    def forget(self) -> None:
        """Start afresh: another run of the service, perhaps on another host."""
        self._offset_s = None

    @property
    def offset_s(self) -> float | None:
        """Monotonic minus LSL clock, seconds; None before the first message."""
        return self._offset_s
