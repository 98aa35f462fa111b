"""Running two-way identification: how often the true stimulus is nearer than another one; chance is 50 %."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QPainter, QPen, QPolygonF
from PySide6.QtWidgets import QWidget

from b2g_rt.display import theme
from b2g_rt.display.panel import Panel
from b2g_rt.display.snapshot import IdentificationPoint

CHANCE = 0.5
_LOW, _HIGH = 0.4, 1.0


class IdentificationView(Panel):
    """The rate as a number and its course over the trials, with chance."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._points: tuple[IdentificationPoint, ...] = ()
        self._pool = 0

    def show_points(self, points: tuple[IdentificationPoint, ...], pool: int) -> None:
        """Show the running rate; ``pool``: stimuli among which is identified."""
        if points is not self._points:
            self._points, self._pool = points, pool
            self.update()

    def paint(self, painter: QPainter, box: QRectF) -> None:
        """Paint number, basis and course."""
        theme.put_caption(painter, QRectF(0, 0, box.width(), 16), "Two-way identification")
        number = QRectF(0, 26, box.width(), 48)
        basis = "no trial yet"
        width = 0.0
        if self._points:
            last = self._points[-1]
            width = theme.put_text(
                painter, number, f"{100 * last.rate:.0f} %", size=theme.HUGE, bold=True
            )
            plural = "trial" if last.n_trials == 1 else "trials"
            basis = f"{last.n_trials} {plural}, {self._pool} stimuli"
        lines = number.adjusted(width + 14 if width else 0, 0, 0, 0)
        upper = QRectF(lines.left(), lines.top() + 4, lines.width(), 20)
        theme.put_text(painter, upper, basis, size=theme.SMALL, colour=theme.TEXT_DIM)
        chance = f"chance {100 * CHANCE:.0f} %"
        theme.put_text(
            painter, upper.translated(0, 19), chance, size=theme.SMALL, colour=theme.TEXT_DIM
        )
        self._paint_course(painter, QRectF(0, 92, box.width(), box.height() - 92 - 6))

    def _paint_course(self, painter: QPainter, box: QRectF) -> None:
        def y_of(rate: float) -> float:
            return box.bottom() - box.height() * (min(max(rate, _LOW), _HIGH) - _LOW) / (
                _HIGH - _LOW
            )

        plot = box.adjusted(0, 0, -54, 0)
        for rate in (CHANCE, 0.75, 1.0):
            dashed = rate == CHANCE
            pen = QPen(theme.TEXT_DIM if dashed else theme.HAIRLINE, 1)
            pen.setStyle(Qt.PenStyle.DashLine if dashed else Qt.PenStyle.SolidLine)
            painter.setPen(pen)
            painter.drawLine(QPointF(plot.left(), y_of(rate)), QPointF(plot.right(), y_of(rate)))
            label = QRectF(plot.right() + 4, y_of(rate) - 9, 50, 18)
            theme.put_text(
                painter,
                label,
                f"{100 * rate:.0f} %",
                size=theme.SMALL,
                colour=theme.TEXT_DIM,
                align=theme.RIGHT,
            )
        if not self._points:
            return
        first, last = self._points[0].n_trials, self._points[-1].n_trials
        span = max(1, last - first)
        course = [
            QPointF(plot.left() + plot.width() * (p.n_trials - first) / span, y_of(p.rate))
            for p in self._points
        ]
        painter.setPen(QPen(theme.ACCENT, 2.2))
        painter.drawPolyline(QPolygonF(course))
        theme.put_dot(painter, course[-1], 4, theme.ACCENT)
