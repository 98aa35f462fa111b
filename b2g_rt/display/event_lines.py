"""The last events: gaps, reconnects, unknown stimuli, failed handshakes, messages that could not be read."""

from __future__ import annotations

from PySide6.QtCore import QRectF
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QWidget

from b2g_rt.display import theme
from b2g_rt.display.newest import N_EVENT_LINES
from b2g_rt.display.panel import Panel
from b2g_rt.display.snapshot import EventLine

_COLOURS = {"info": theme.TEXT_DIM, "warning": theme.AMBER, "error": theme.RED}
_ROW = 25.0
_KEYS = "F  full screen     S  screenshot     Q  quit"


def since_text(seconds: float) -> str:
    """Return how long ago an event was, coarsely, so that the line is repainted rarely."""
    if seconds < 60:
        return f"{max(0, int(seconds / 5) * 5)} s" if seconds >= 5 else "now"
    return f"{int(seconds / 60)} min" if seconds < 3600 else f"{int(seconds / 3600)} h"


class EventLines(Panel):
    """Four lines, newest first; the keys at the right of the caption."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._lines: tuple[tuple[EventLine, str], ...] = ()

    def show_events(self, events: tuple[EventLine, ...], now_s: float) -> None:
        """Show the events, given newest last; ``now_s``: monotonic clock."""
        lines = tuple((event, since_text(now_s - event.arrival_s)) for event in reversed(events))
        if lines != self._lines:
            self._lines = lines
            self.update()

    def paint(self, painter: QPainter, box: QRectF) -> None:
        """Paint caption and lines."""
        head = QRectF(0, 0, box.width(), 16)
        theme.put_caption(painter, head, "Events")
        theme.put_text(
            painter, head, _KEYS, size=theme.SMALL, colour=theme.TEXT_FAINT, align=theme.RIGHT
        )
        if not self._lines:
            line = QRectF(0, 24, box.width(), _ROW)
            theme.put_text(painter, line, "none", colour=theme.TEXT_FAINT)
        for i, (event, since) in enumerate(self._lines[:N_EVENT_LINES]):
            line = QRectF(0, 24 + i * _ROW, box.width(), _ROW)
            theme.put_text(
                painter,
                QRectF(line.left(), line.top(), 56, _ROW),
                since,
                size=theme.SMALL,
                colour=theme.TEXT_FAINT,
            )
            count = f"×{event.count}" if event.count > 1 else ""
            taken = theme.put_text(
                painter, line, count, size=theme.SMALL, colour=theme.TEXT_DIM, align=theme.RIGHT
            )
            text = line.adjusted(60, 0, -taken - 8, 0)
            theme.put_text(painter, text, event.text, size=14.5, colour=_COLOURS[event.level])
