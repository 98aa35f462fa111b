"""One picture: pixels in, a smooth square out; greyed when stale, covered when it must not be seen.

pyqtgraph's ImageItem takes uint8, contiguous, row-major RGB without copies or levels. Items are reused.
"""

from __future__ import annotations

import time

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QFont, QImage, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QWidget

from b2g_rt.display import theme
from b2g_rt.display.snapshot import Pixels

_REC601 = np.array([0.299, 0.587, 0.114], np.float32)
_GREY_GAIN = 0.42


def greyed(pixels: Pixels) -> Pixels:
    """Return the picture without colour and dimmed, uint8, axes (row, col, rgb)."""
    grey = (pixels.astype(np.float32) @ _REC601) * _GREY_GAIN
    return np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)


def image_of(pixels: Pixels) -> QImage:
    """Return the pixels, axes (row, col, rgb), as an image that owns its memory."""
    packed = np.ascontiguousarray(pixels)
    height, width, _ = packed.shape
    return QImage(packed.data, width, height, 3 * width, QImage.Format.Format_RGB888).copy()


class PictureView(pg.GraphicsView):  # type: ignore[misc]
    """Shows one picture, or a line of text where there is none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, background=theme.PLATE)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        self._item = pg.ImageItem(axisOrder="row-major", autoDownsample=False)
        self._item.setVisible(False)
        self.addItem(self._item)
        self._pixels: Pixels | None = None
        self._grey = False
        self._text = ""
        self._scale = 1.0
        self._text_size = theme.BODY
        self._valid_until_s: float | None = None
        self._blanked = False

    def set_scale(self, scale: float) -> None:
        """Set device-independent pixels per design unit, after the geometry."""
        self._scale = scale
        self._fit()
        self.viewport().update()

    def show_picture(
        self,
        pixels: Pixels | None,
        *,
        grey: bool = False,
        text: str = "",
        valid_until_s: float | None = None,
    ) -> None:
        """Show a picture, or ``text`` alone; over a grey picture the text stands on a plate.

        Parameters
        ----------
        pixels : uint8, axes (row, col, rgb), or None
        grey : bool
            Without colour, dimmed.
        text : str
            What to say instead of the picture, or over it.
        valid_until_s : float, optional
            Monotonic time after which Qt must not paint this picture any more: an expose event in a process
            that has just been woken would otherwise show it as new.
        """
        self._valid_until_s = valid_until_s
        if self._blanked:
            self._blanked = False
            self.viewport().update()
        if pixels is not self._pixels or grey != self._grey:
            self._pixels, self._grey = pixels, grey
            self._item.setVisible(pixels is not None)
            if pixels is not None:
                shown = greyed(pixels) if grey else np.ascontiguousarray(pixels)
                self._item.setImage(shown, autoLevels=False, levels=None)
                self._fit()
        if text != self._text:
            self._text = text
            self.viewport().update(self._text_box(whole=pixels is None).toAlignedRect())

    def keep_valid(self, until_s: float) -> None:
        """Let what was shown last be painted until then, for a screenshot of it."""
        if self._valid_until_s is not None:
            self._valid_until_s = max(self._valid_until_s, until_s)

    def _fit(self) -> None:
        if self._pixels is None:
            return
        n_rows, n_cols = self._pixels.shape[:2]
        zoom = min(self.width() / n_cols, self.height() / n_rows)
        width, height = n_cols * zoom, n_rows * zoom
        self._item.setRect(
            QRectF((self.width() - width) / 2, (self.height() - height) / 2, width, height)
        )

    def _text_box(self, *, whole: bool) -> QRectF:
        box = QRectF(self.rect())
        if whole:
            return box
        height = 48 * self._scale
        return QRectF(0, box.height() - height, box.width(), height)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 (Qt's name)
        """Paint the scene, or a plain plate when the picture is past its time; then the text."""
        if self._valid_until_s is not None and time.monotonic() > self._valid_until_s:
            self._blanked = True
            with QPainter(self.viewport()) as painter:
                painter.fillRect(event.rect(), theme.PLATE)
            return
        super().paintEvent(event)
        if not self._text:
            return
        with QPainter(self.viewport()) as painter:
            painter.setRenderHint(QPainter.RenderHint.TextAntialiasing)
            self._paint_text(painter)

    def _paint_text(self, painter: QPainter) -> None:
        over = self._pixels is not None
        box = self._text_box(whole=not over)
        chosen: QFont = theme.font(
            (theme.LARGE if over else self._text_size) * self._scale, bold=over
        )
        if over:
            painter.fillRect(box, theme.BACKGROUND)
        painter.setFont(chosen)
        painter.setPen(theme.AMBER if over else theme.TEXT_FAINT)
        painter.drawText(box, int(theme.CENTRE) | int(Qt.TextFlag.TextWordWrap), self._text)
