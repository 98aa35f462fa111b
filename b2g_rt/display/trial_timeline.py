"""Where in the trial we are: an axis around onset, one cell per window that fills when it is decoded."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen
from PySide6.QtWidgets import QWidget

from b2g_rt.display import theme
from b2g_rt.display.panel import Panel
from b2g_rt.display.snapshot import TrialProgress, WindowMark

_CAPTION_HEIGHT = 20.0
_DEFAULT_AXIS_MS = (-100.0, 200.0)
Spans = tuple[tuple[float, float] | None, ...]


class TrialTimeline(Panel):
    """Axis, cells and a playhead."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._progress: TrialProgress | None = None
        self._spans_ms: Spans = ()
        self._shown_idx: int | None = None
        self._now_ms: float | None = None

    def show_progress(
        self,
        progress: TrialProgress | None,
        spans_ms: Spans,
        *,
        shown_idx: int | None,
        now_ms: float | None,
    ) -> None:
        """Show the trial.

        Parameters
        ----------
        progress : TrialProgress or None
            None: no trial yet.
        spans_ms : tuple, axes (window,)
            Start and stop of each window after onset, None where not seen yet.
        shown_idx : int or None
            Window whose picture is on screen, if it is of this trial.
        now_ms : float or None
            Time after onset; outside the axis no playhead is painted.
        """
        low, high = _axis_of(spans_ms)
        if now_ms is not None and not low <= now_ms <= high:
            now_ms = None
        new = (progress, spans_ms, shown_idx, now_ms)
        if new != (self._progress, self._spans_ms, self._shown_idx, self._now_ms):
            self._progress, self._spans_ms, self._shown_idx, self._now_ms = new
            self.update()

    def paint(self, painter: QPainter, box: QRectF) -> None:
        """Paint from left (first window's start) to right (last window's stop)."""
        head = QRectF(0, 0, box.width(), 16)
        theme.put_caption(painter, head, "Trial")
        theme.put_text(
            painter, head, self._where(), size=theme.SMALL, colour=theme.TEXT, align=theme.RIGHT
        )
        painter.translate(0, _CAPTION_HEIGHT)
        low, high = _axis_of(self._spans_ms)
        scale = box.width() / (high - low)

        def x_of(time_ms: float) -> float:
            return (time_ms - low) * scale

        self._paint_axis(painter, box, x_of(0.0), low, high)
        cell_top, cell_height = 16.0, 16.0
        marks = self._progress.marks if self._progress is not None else ()
        for idx, span in enumerate(self._spans_ms):
            if span is None:
                continue
            width = _stride_ms(self._spans_ms) * scale - 4
            cell = QRectF(x_of(span[1]) - width - 1, cell_top, width, cell_height)
            mark = marks[idx] if idx < len(marks) else None
            _paint_cell(painter, cell, mark)
            if idx == self._shown_idx:
                painter.setPen(QPen(theme.ACCENT, 2))
                y = cell_top - 8
                painter.drawLine(QPointF(x_of(span[0]), y), QPointF(x_of(span[1]) - 1, y))
        if self._now_ms is not None:
            x = x_of(self._now_ms)
            painter.setPen(QPen(theme.TEXT, 1.6))
            painter.drawLine(QPointF(x, 4), QPointF(x, cell_top + cell_height + 6))

    def _where(self) -> str:
        progress = self._progress
        if progress is None:
            return ""
        n_decoded = sum(mark is not None and mark.outcome != "dropped" for mark in progress.marks)
        of = f"{n_decoded} of {len(progress.marks)} windows decoded" if progress.marks else ""
        n_late = sum(mark is not None and mark.late for mark in progress.marks)
        late = f", {n_late} late (amber)" if n_late else ""
        return f"trial {progress.trial + 1}   {progress.stimulus}   {of}{late}"

    def _paint_axis(
        self, painter: QPainter, box: QRectF, onset_x: float, low: float, high: float
    ) -> None:
        y = 38.0
        painter.setPen(QPen(theme.HAIRLINE, 1.2))
        painter.drawLine(QPointF(0, y), QPointF(box.width(), y))
        painter.setPen(QPen(theme.TEXT_DIM, 1.2))
        painter.drawLine(QPointF(onset_x, 12), QPointF(onset_x, y))
        labels = QRectF(0, y + 2, box.width(), 18)
        small = {"size": theme.SMALL, "colour": theme.TEXT_DIM}
        theme.put_text(painter, labels, f"{low:+.0f}".replace("-", "−"), **small)  # type: ignore[arg-type]
        theme.put_text(painter, labels, f"{high:+.0f} ms", align=theme.RIGHT, **small)  # type: ignore[arg-type]
        middle = QRectF(onset_x - 60, y + 2, 120, 18)
        theme.put_text(painter, middle, "onset", align=theme.CENTRE, **small)  # type: ignore[arg-type]


def _axis_of(spans_ms: Spans) -> tuple[float, float]:
    known = [span for span in spans_ms if span is not None]
    if not known:
        return _DEFAULT_AXIS_MS
    low, high = min(s[0] for s in known), max(s[1] for s in known)
    return min(low, _DEFAULT_AXIS_MS[0]), max(high, _DEFAULT_AXIS_MS[1])


def _stride_ms(spans_ms: Spans) -> float:
    stops = sorted(span[1] for span in spans_ms if span is not None)
    steps = [b - a for a, b in zip(stops, stops[1:], strict=False) if b > a]
    return min(steps) if steps else 25.0


def _paint_cell(painter: QPainter, cell: QRectF, mark: WindowMark | None) -> None:
    colour = QColor(theme.HAIRLINE)
    if mark is not None:
        colour = {"decoded": theme.ACCENT, "skipped": theme.ACCENT, "dropped": theme.RED}[
            mark.outcome
        ]
        if mark.late and mark.outcome != "dropped":
            colour = theme.AMBER
    filled = mark is not None and mark.outcome == "decoded"
    painter.setPen(QPen(colour, 1.4))
    painter.setBrush(colour if filled else Qt.BrushStyle.NoBrush)
    painter.drawRoundedRect(cell, 3, 3)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    if mark is not None and mark.outcome == "dropped":
        inner = cell.adjusted(cell.width() / 2 - 4, 4, 4 - cell.width() / 2, -4)
        painter.drawLine(inner.topLeft(), inner.bottomRight())
        painter.drawLine(inner.bottomLeft(), inner.topRight())
