"""How well a trial's MUA was predicted: r over the electrodes of each ROI, with the mean response as baseline."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QPainter, QPen
from PySide6.QtWidgets import QWidget

from b2g_rt.display import theme
from b2g_rt.display.panel import Panel
from b2g_rt.display.snapshot import Encoding

_ROW = 24.0
_COLUMN = 86.0
_LINE = 19.0
_NOTHING = "–"


def encoding_rows(encoding: Encoding | None) -> list[tuple[str, str, str]]:
    """Return the rows of the table: ROI with its electrodes, r, r of the mean response."""
    if encoding is None:
        return []
    return [
        (
            f"{a.roi}  {a.n_electrodes}",
            _r(a.r),
            _r(a.mean_response_r),
        )
        for a in encoding.message.agreement
    ]


def trials_text(encoding: Encoding | None) -> str:
    """Return what is known of single electrodes over the trials so far."""
    if encoding is None:
        return ""
    n = encoding.message.n_trials
    known = None if encoding.trial_r is None else encoding.trial_r[np.isfinite(encoding.trial_r)]
    if known is None or not len(known):
        return f"{n} {'trial' if n == 1 else 'trials'} so far"
    return f"over {n} trials: median electrode r {_r(float(np.median(known)))}"


def training_text(encoding: Encoding | None) -> str:
    """Return whether r is that of a stimulus which the encoder was fitted to: that one is predicted better."""
    if encoding is None:
        return ""
    m = encoding.message
    of_all = f"{m.n_in_training} of {m.n_trials} so far"
    return (
        f"training stimulus ({of_all})" if m.in_training else f"new stimulus (training: {of_all})"
    )


def _r(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.2f}".replace("-", "−")


class EncodingView(Panel):
    """The table beside the maps of predicted and observed MUA."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._encoding: Encoding | None = None

    def show_encoding(self, encoding: Encoding | None) -> None:
        """Show a trial's figures."""
        if encoding is not self._encoding:
            self._encoding = encoding
            self.update()

    def paint(self, painter: QPainter, box: QRectF) -> None:
        """Paint the trial, the table and what is known over trials."""
        width = box.width()
        theme.put_caption(painter, QRectF(0, 14, width, 20), "Prediction")
        columns = (width - _COLUMN, width)
        for right, head in zip(columns, ("r", "baseline"), strict=True):
            cell = QRectF(right - _COLUMN, 14, _COLUMN, 20)
            theme.put_text(
                painter, cell, head, size=theme.SMALL, colour=theme.TEXT_DIM, align=theme.RIGHT
            )
        y = 42.0
        for label, *values in encoding_rows(self._encoding):
            name = QRectF(0, y, width - 2 * _COLUMN, _ROW)
            theme.put_text(painter, name, label, colour=theme.TEXT_DIM)
            for right, value in zip(columns, values, strict=True):
                cell = QRectF(right - _COLUMN, y, _COLUMN, _ROW)
                of_encoder = right < width
                colour = theme.TEXT if of_encoder else theme.TEXT_DIM
                theme.put_text(
                    painter, cell, value, colour=colour, align=theme.RIGHT, bold=of_encoder
                )
            y += _ROW
        self._paint_basis(painter, y + 6, width)

    def _paint_basis(self, painter: QPainter, y: float, width: float) -> None:
        if self._encoding is None:
            return
        painter.setPen(QPen(theme.HAIRLINE, 1))
        painter.drawLine(QPointF(0, y), QPointF(width, y))
        message = self._encoding.message
        lines = (
            f"trial {message.trial + 1}   {message.stimulus}",
            trials_text(self._encoding),
            training_text(self._encoding),
            "baseline: mean predicted response",
        )
        for row, text in enumerate(lines):
            box = QRectF(0, y + 6 + _LINE * row, width, _LINE)
            theme.put_text(painter, box, text, size=theme.SMALL, colour=theme.TEXT_DIM)
