"""When to paint: soon after something changed, at most ``MAX_RATE_HZ`` times a second, else ten times a second.

Another thread calls ``request``; at most one wake-up is queued in the GUI thread at any time. The slow beat keeps
ages true while nothing arrives.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from PySide6.QtCore import QObject, Qt, QTimer, Signal, Slot

MAX_RATE_HZ = 30.0
_BEAT_MS = 100


class PaintClock(QObject):
    """Calls ``paint`` in the thread that made it (the GUI thread)."""

    _woken = Signal()

    def __init__(self, paint: Callable[[], object], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._paint = paint
        self._pending = False
        self._lock = threading.Lock()
        self._last_s = float("-inf")
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setTimerType(Qt.TimerType.PreciseTimer)
        self._soon.timeout.connect(self._on_due)
        self._beat = QTimer(self)
        self._beat.timeout.connect(self._on_due)
        self._woken.connect(self._on_woken, Qt.ConnectionType.QueuedConnection)

    def start(self) -> None:
        """Begin the slow beat."""
        self._beat.start(_BEAT_MS)

    def stop(self) -> None:
        """Paint no more."""
        self._beat.stop()
        self._soon.stop()

    def request(self) -> None:
        """Ask for a paint; from any thread, returns at once."""
        with self._lock:
            if self._pending:
                return
            self._pending = True
        self._woken.emit()

    @Slot()
    def _on_woken(self) -> None:
        with self._lock:
            self._pending = False
        if self._soon.isActive():
            return
        wait_s = self._last_s + 1 / MAX_RATE_HZ - time.monotonic()
        if wait_s <= 0:
            self._on_due()
        else:
            self._soon.start(max(1, round(1000 * wait_s)))

    @Slot()
    def _on_due(self) -> None:
        self._soon.stop()
        self._last_s = time.monotonic()
        # The beat need not come while pictures do.
        self._beat.start(_BEAT_MS)
        self._paint()
