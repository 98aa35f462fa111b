"""A view that paints itself in design units, whatever the size of the window."""

from __future__ import annotations

from PySide6.QtCore import QRectF
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from b2g_rt.display import theme


class Panel(QWidget):
    """Base of the painted views; subclasses implement ``paint``.

    A panel keeps what it last showed and calls ``update`` only when that changes.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scale = 1.0
        self.setAutoFillBackground(False)

    def set_scale(self, scale: float) -> None:
        """Set device-independent pixels per design unit."""
        self._scale = scale
        self.update()

    def paint(self, painter: QPainter, box: QRectF) -> None:
        """Paint into ``box``, in design units; its corner is (0, 0)."""
        raise NotImplementedError

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 (Qt's name)
        """Fill the background and paint."""
        with QPainter(self) as painter:
            painter.fillRect(event.rect(), theme.BACKGROUND)
            painter.setRenderHints(
                QPainter.RenderHint.Antialiasing
                | QPainter.RenderHint.TextAntialiasing
                | QPainter.RenderHint.SmoothPixmapTransform
            )
            painter.scale(self._scale, self._scale)
            self.paint(
                painter, QRectF(0, 0, self.width() / self._scale, self.height() / self._scale)
            )
