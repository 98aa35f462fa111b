"""How the display looks: colours, type scale, and painting of text and badges in design units.

Every panel paints on a canvas of 1600 x 900 units that is scaled to the window, so one type scale holds for all
sizes. One accent colour stands for data; amber and red are kept for what needs attention.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QFont, QFontMetricsF, QPainter, QPen

CANVAS_WIDTH: Final = 1600
CANVAS_HEIGHT: Final = 900
ENCODING_HEIGHT: Final = 256
"""What the canvas grows by below, once there is an encoder."""

BACKGROUND: Final = QColor(11, 13, 18)
PLATE: Final = QColor(20, 24, 32)
HAIRLINE: Final = QColor(38, 44, 56)
TEXT: Final = QColor(236, 240, 245)
TEXT_DIM: Final = QColor(146, 156, 172)
TEXT_FAINT: Final = QColor(92, 102, 118)
ACCENT: Final = QColor(94, 200, 255)
GOOD: Final = QColor(98, 214, 148)
AMBER: Final = QColor(255, 184, 76)
RED: Final = QColor(255, 107, 107)

# Type scale in design units.
SMALL: Final = 13.5
BODY: Final = 16.0
LARGE: Final = 22.0
HUGE: Final = 42.0

_FAMILIES: Final = ["Inter", "DejaVu Sans", "Noto Sans", "Liberation Sans"]

# Diverging, dark in the middle so that rest recedes: light blue - blue - slate - rust - light amber.
_DIVERGING: Final = ((150, 220, 255), (45, 125, 190), (27, 32, 42), (190, 92, 45), (255, 220, 160))

Align = Qt.AlignmentFlag
LEFT: Final = Align.AlignLeft | Align.AlignVCenter
RIGHT: Final = Align.AlignRight | Align.AlignVCenter
CENTRE: Final = Align.AlignCenter


def diverging_table(n_colours: int = 256) -> NDArray[np.uint8]:
    """Return the colours of MUA from lowest to highest, uint8, axes (colour, rgb)."""
    anchors = np.array(_DIVERGING, np.float64)
    at = np.linspace(0, len(anchors) - 1, n_colours)
    table = np.stack([np.interp(at, range(len(anchors)), anchors[:, c]) for c in range(3)], axis=1)
    return np.rint(table).astype(np.uint8)


def font(size: float, *, bold: bool = False, spaced: bool = False) -> QFont:
    """Return the display's font at a size of the type scale; ``spaced`` is for captions in capitals."""
    made = QFont()
    made.setFamilies(_FAMILIES)
    made.setPixelSize(max(1, round(size)))
    made.setBold(bold)
    # Unhinted outlines keep their widths at every scale of the canvas.
    made.setHintingPreference(QFont.HintingPreference.PreferNoHinting)
    if spaced:
        made.setLetterSpacing(QFont.SpacingType.AbsoluteSpacing, 1.4)
    return made


def text_width(text: str, size: float, *, bold: bool = False, spaced: bool = False) -> float:
    """Return the width of a line in design units."""
    return QFontMetricsF(font(size, bold=bold, spaced=spaced)).horizontalAdvance(text)


def put_text(
    painter: QPainter,
    box: QRectF,
    text: str,
    *,
    size: float = BODY,
    colour: QColor = TEXT,
    align: Align = LEFT,
    bold: bool = False,
    spaced: bool = False,
) -> float:
    """Paint one line, shortened with an ellipsis where it does not fit; return the painted width."""
    chosen = font(size, bold=bold, spaced=spaced)
    metrics = QFontMetricsF(chosen)
    line = metrics.elidedText(text, Qt.TextElideMode.ElideRight, box.width() + 0.5)
    painter.setFont(chosen)
    painter.setPen(QPen(colour))
    painter.drawText(box, int(align) | int(Qt.TextFlag.TextSingleLine), line)
    return metrics.horizontalAdvance(line)


def put_caption(painter: QPainter, box: QRectF, text: str, *, align: Align = LEFT) -> float:
    """Paint the caption of a panel."""
    return put_text(
        painter, box, text.upper(), size=SMALL, colour=TEXT_DIM, align=align, bold=True, spaced=True
    )


def put_badge(
    painter: QPainter,
    left: float,
    middle: float,
    text: str,
    *,
    colour: QColor,
    size: float = SMALL,
    filled: bool = False,
) -> float:
    """Paint a badge whose left edge and vertical middle are given; return its width."""
    width = badge_width(text, size=size)
    height = size * 1.75
    box = QRectF(left, middle - height / 2, width, height)
    painter.setPen(Qt.PenStyle.NoPen if filled else QPen(colour, 1.2))
    painter.setBrush(QBrush(colour) if filled else Qt.BrushStyle.NoBrush)
    painter.drawRoundedRect(box, height * 0.25, height * 0.25)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    ink = BACKGROUND if filled else colour
    put_text(painter, box, text, size=size, colour=ink, align=CENTRE, bold=True, spaced=True)
    return width


def badge_width(text: str, *, size: float = SMALL) -> float:
    """Return the width that ``put_badge`` takes."""
    return text_width(text, size, bold=True, spaced=True) + size * 1.3


def put_dot(painter: QPainter, centre: QPointF, radius: float, colour: QColor) -> None:
    """Paint a filled dot."""
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QBrush(colour))
    painter.drawEllipse(centre, radius, radius)
    painter.setBrush(Qt.BrushStyle.NoBrush)
