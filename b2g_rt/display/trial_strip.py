"""The last eight trials: stimulus above the final reconstruction, cosine under each, newest at the right."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QImage, QPainter, QPen
from PySide6.QtWidgets import QWidget

from b2g_rt.display import theme
from b2g_rt.display.panel import Panel
from b2g_rt.display.picture_view import image_of
from b2g_rt.display.snapshot import Pixels, TrialRow
from b2g_rt.display.trials import N_STRIP

_CAPTION_HEIGHT = 22.0
_SCORE_HEIGHT = 24.0
_GAP = 12.0


class TrialStrip(Panel):
    """Eight columns; empty places are kept, so nothing moves while the strip fills."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._strip: tuple[TrialRow, ...] = ()
        self._thumbnails: list[tuple[Pixels, QImage]] = []

    def show_strip(self, strip: tuple[TrialRow, ...]) -> None:
        """Show the trials, oldest first."""
        if strip is not self._strip:
            self._strip = strip
            self.update()

    def paint(self, painter: QPainter, box: QRectF) -> None:
        """Paint the columns."""
        caption = QRectF(0, 0, box.width(), 16)
        theme.put_caption(painter, caption, "Last trials")
        theme.put_text(
            painter,
            caption,
            "cosine: decoded, mean latent",
            size=theme.SMALL,
            colour=theme.TEXT_DIM,
            align=theme.RIGHT,
        )
        width = (box.width() - (N_STRIP - 1) * _GAP) / N_STRIP
        side = min(width, (box.height() - _CAPTION_HEIGHT - _SCORE_HEIGHT - 4) / 2)
        pitch = (box.width() - width) / (N_STRIP - 1)
        for position in range(N_STRIP):
            place = position - (N_STRIP - len(self._strip))
            row = self._strip[place] if place >= 0 else None
            self._paint_trial(painter, row, position * pitch + (width - side) / 2, side)

    def _paint_trial(
        self, painter: QPainter, row: TrialRow | None, left: float, side: float
    ) -> None:
        above = QRectF(left, _CAPTION_HEIGHT, side, side)
        below = above.translated(0, side + 4)
        stimulus = None if row is None or row.stimulus is None else row.stimulus.pixels
        final = None if row is None or row.picture is None else row.picture.pixels
        self._paint_thumbnail(painter, above, stimulus)
        self._paint_thumbnail(painter, below, final)
        scores = None if row is None else row.scores
        if row is None:
            return
        line = QRectF(left, below.bottom() + 4, side, 20)
        if scores is None:
            theme.put_text(painter, line, "–", align=theme.CENTRE, colour=theme.TEXT_DIM)
            return
        theme.put_text(painter, line, f"{scores.cosine:.2f}", bold=True)
        mean = f"{scores.mean_latent_cosine:.2f}"
        theme.put_text(
            painter, line, mean, size=theme.SMALL, colour=theme.TEXT_DIM, align=theme.RIGHT
        )

    def _paint_thumbnail(self, painter: QPainter, box: QRectF, pixels: Pixels | None) -> None:
        if pixels is not None:
            painter.drawImage(box, self._thumbnail(pixels, round(box.width() * self._scale)))
            return
        painter.setPen(QPen(theme.HAIRLINE, 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(box.adjusted(0.5, 0.5, -0.5, -0.5))

    def _thumbnail(self, pixels: Pixels, side: int) -> QImage:
        """Return the picture at its size on screen, made once."""
        side = round(side * self.devicePixelRatioF())
        for known, image in self._thumbnails:
            if known is pixels and image.width() == side:
                return image
        smooth = Qt.TransformationMode.SmoothTransformation
        image = image_of(pixels).scaled(side, side, Qt.AspectRatioMode.IgnoreAspectRatio, smooth)
        self._thumbnails = [*self._thumbnails, (pixels, image)][-4 * N_STRIP :]
        return image
