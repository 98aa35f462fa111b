"""What must be added to a stream's stamps to be on this host's LSL clock.

Streams of this host are stamped by the very clock that is read here: their correction is zero, and the estimate,
which scatters by some 50 us, would only add noise (and steps) to exact stamps. It is measured all the same: two
machines may carry one name.
"""

from __future__ import annotations

import socket
import time
from typing import Any

SAME_CLOCK_S = 0.002
REFRESH_S = 2.0


class ClockCorrection:
    """Correction of one inlet, refreshed every two seconds; never blocks after ``start``.

    Parameters
    ----------
    inlet : pylsl.StreamInlet
    host : str
        Where the stream comes from.
    """

    def __init__(self, inlet: Any, host: str) -> None:
        import pylsl.util

        # Not the built-in one: pylsl has a class of its own by that name.
        self._timeout_error: type[Exception] = pylsl.util.TimeoutError
        self._inlet = inlet
        self._next = 0.0
        self._exact = host == socket.gethostname()
        self.value_s = 0.0

    @property
    def exact(self) -> bool:
        """Whether stamps and ``local_clock`` are one clock."""
        return self._exact

    def start(self, timeout_s: float) -> bool:
        """Get a first estimate; return whether there is one. Does not wait for streams of this host."""
        return self._refresh(0.0 if self._exact else timeout_s) or self._exact

    def now(self) -> float:
        """Return the correction, s."""
        if time.monotonic() >= self._next:
            self._refresh(0.0)
        return self.value_s

    def _refresh(self, timeout_s: float) -> bool:
        self._next = time.monotonic() + REFRESH_S
        try:
            estimate = float(self._inlet.time_correction(timeout_s))
        except self._timeout_error:
            return False
        if self._exact and abs(estimate) > SAME_CLOCK_S:
            self._exact = False
        self.value_s = 0.0 if self._exact else estimate
        return True
