"""MUA of all electrodes: each array an 8x8 map, arrays grouped by ROI, one uint8 mosaic for all of them.

The mosaic is made at the resolution of the screen (electrodes are whole pixels with a hairline between), so
it is painted one to one. Electrodes that are not kept stay dark holes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QWidget

from b2g_rt.contracts.channels import ARRAY_COLS, ARRAY_ROWS, ROIS
from b2g_rt.contracts.messages import ChannelLayout
from b2g_rt.display import theme
from b2g_rt.display.picture_view import image_of

Z_RANGE = 2.0
ARRAYS_PER_ROW = 8
_CAPTION_HEIGHT = 40.0
_TITLE_HEIGHT = 26.0
_N_COLOURS = 256
_BACKGROUND, _HOLE, _FIRST_CHANNEL = 0, 1, 2


@dataclass(frozen=True, slots=True)
class ArrayPlace:
    """Where an array stands: grid position among the arrays."""

    array: int
    roi: str
    row: int
    col: int


def place_arrays(layout: ChannelLayout) -> tuple[ArrayPlace, ...]:
    """Place arrays in rows of eight, ROI by ROI; an ROI that does not fit beside the last starts a row."""
    places: list[ArrayPlace] = []
    row = col = 0
    known = [roi for roi in ROIS if roi in layout.roi]
    for roi in known + sorted(set(layout.roi) - set(known)):
        arrays = sorted({a for a, r in zip(layout.array, layout.roi, strict=True) if r == roi})
        if col and col + len(arrays) > ARRAYS_PER_ROW:
            row, col = row + 1, 0
        for array in arrays:
            if col == ARRAYS_PER_ROW:
                row, col = row + 1, 0
            places.append(ArrayPlace(array, roi, row, col))
            col += 1
    return tuple(places)


def colours_of(values: NDArray[np.float32], table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the mosaic's palette: background, hole, then one colour per channel.

    Parameters
    ----------
    values : float32, axes (channel,), z units; NaN counts as a hole
    table : uint8, axes (colour, rgb), from -2 to +2 z

    Returns
    -------
    uint8, axes (2 + channel, rgb)
    """
    palette = np.empty((_FIRST_CHANNEL + len(values), 3), np.uint8)
    palette[_BACKGROUND] = _rgb(theme.BACKGROUND)
    palette[_HOLE] = _rgb(theme.PLATE)
    known = np.isfinite(values)
    unit = np.clip((np.where(known, values, 0) + Z_RANGE) / (2 * Z_RANGE), 0, 1)
    palette[_FIRST_CHANNEL:] = table[np.rint(unit * (len(table) - 1)).astype(np.intp)]
    palette[_FIRST_CHANNEL:][~known] = palette[_HOLE]
    return palette


def _rgb(colour: QColor) -> tuple[int, int, int]:
    return colour.red(), colour.green(), colour.blue()


class ArrayMaps(pg.GraphicsView):  # type: ignore[misc]
    """Maps of all arrays with titles and a colour bar."""

    def __init__(
        self, parent: QWidget | None = None, *, caption: str = "Multi-unit activity"
    ) -> None:
        super().__init__(parent, background=theme.BACKGROUND)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._caption = caption
        self._item = pg.ImageItem(axisOrder="row-major", autoDownsample=False)
        self.addItem(self._item)
        self._table = theme.diverging_table(_N_COLOURS)
        self._bar = image_of(self._table[None])
        self._scale = 1.0
        self._layout: ChannelLayout | None = None
        self._places: tuple[ArrayPlace, ...] = ()
        self._values: NDArray[np.float32] | None = None
        self._index: NDArray[np.intp] | None = None
        self._pixels = np.empty((0, 0, 3), np.uint8)
        self._live = True
        self._ratio = 1.0
        self._pitch = 1
        self._row_height = 1
        self._array_pitch = 1

    def set_scale(self, scale: float) -> None:
        """Set device-independent pixels per design unit, after the geometry."""
        self._scale = scale
        self._index = None
        self._render()
        self.viewport().update()

    def show_activity(
        self, layout: ChannelLayout | None, values: NDArray[np.float32] | None, *, live: bool
    ) -> None:
        """Show values, float32, axes (channel,), z units; not live: all electrodes dark."""
        same_layout = layout is self._layout
        if same_layout and values is self._values and live == self._live:
            return
        self._values, self._live = values, live
        if not same_layout:
            self._layout = layout
            self._places = () if layout is None else place_arrays(layout)
            self._index = None
            self.viewport().update()
        self._render()

    def _render(self) -> None:
        layout = self._layout
        if layout is None or not self._places:
            return
        if self._index is None:
            self._index = self._mosaic(layout)
            self._pixels = np.empty((*self._index.shape, 3), np.uint8)
        values = self._values
        if values is None or len(values) != len(layout.roi) or not self._live:
            values = np.full(len(layout.roi), np.nan, np.float32)
        palette = colours_of(values, self._table)
        # Into one buffer, and "clip" because checking bounds makes numpy three times slower here.
        np.take(palette, self._index, axis=0, out=self._pixels, mode="clip")
        self._item.setImage(self._pixels, autoLevels=False, levels=None)
        n_rows, n_cols = self._index.shape
        top = round((_CAPTION_HEIGHT + _TITLE_HEIGHT) * self._scale)
        self._item.setRect(QRectF(0, top, n_cols / self._ratio, n_rows / self._ratio))

    def _mosaic(self, layout: ChannelLayout) -> NDArray[np.intp]:
        """Return which palette entry each screen pixel takes, axes (row, col)."""
        self._ratio = ratio = float(self.devicePixelRatioF())
        n_array_rows = max(p.row for p in self._places) + 1
        title = round(_TITLE_HEIGHT * self._scale * ratio)
        gap = max(2, round(10 * self._scale * ratio))
        room = (self.height() - _CAPTION_HEIGHT * self._scale) * ratio
        wide = (self.width() * ratio - (ARRAYS_PER_ROW - 1) * gap) / ARRAYS_PER_ROW / ARRAY_COLS
        high = (room / n_array_rows - title) / ARRAY_ROWS
        self._pitch = pitch = max(1, int(min(wide, high)))
        self._array_pitch = int(
            (self.width() * ratio - ARRAY_COLS * pitch) / (ARRAYS_PER_ROW - 1)
            if pitch == int(wide)
            else ARRAY_COLS * pitch + gap
        )
        self._row_height = ARRAY_ROWS * pitch + title + max(0, round(4 * self._scale * ratio))
        height = (n_array_rows - 1) * self._row_height + ARRAY_ROWS * pitch
        width = (ARRAYS_PER_ROW - 1) * self._array_pitch + ARRAY_COLS * pitch
        index = np.full((height, width), _BACKGROUND, np.intp)
        line = 1 if pitch >= 5 else 0
        for place in self._places:
            top, left = place.row * self._row_height, place.col * self._array_pitch
            for row in range(ARRAY_ROWS):
                for col in range(ARRAY_COLS):
                    y, x = top + row * pitch, left + col * pitch
                    index[y : y + pitch - line, x : x + pitch - line] = _HOLE
        at = {p.array: p for p in self._places}
        for channel, (array, row, col) in enumerate(
            zip(layout.array, layout.row, layout.col, strict=True)
        ):
            place = at[array]
            y = place.row * self._row_height + row * pitch
            x = place.col * self._array_pitch + col * pitch
            index[y : y + pitch - line, x : x + pitch - line] = _FIRST_CHANNEL + channel
        return index

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802 (Qt's name)
        """Paint the maps, then titles and colour bar where the dirty region touches them."""
        super().paintEvent(event)
        with QPainter(self.viewport()) as painter:
            painter.setRenderHints(
                QPainter.RenderHint.Antialiasing | QPainter.RenderHint.TextAntialiasing
            )
            painter.scale(self._scale, self._scale)
            self._paint_caption(painter, self.width() / self._scale)
            self._paint_titles(painter)

    def _paint_caption(self, painter: QPainter, width: float) -> None:
        line = QRectF(0, _CAPTION_HEIGHT - 26, width, 20)
        theme.put_caption(painter, line, self._caption)
        right = width
        middle = line.center().y()
        legend = 120.0
        for label, share in (("+2 z", 1.0), ("−2", 0.0)):
            text_width = theme.text_width(label, theme.SMALL)
            if share:
                right -= text_width
                box = QRectF(right, line.top(), text_width + 1, 20)
            else:
                box = QRectF(right - legend - 16 - text_width, line.top(), text_width + 1, 20)
            theme.put_text(painter, box, label, size=theme.SMALL, colour=theme.TEXT_DIM)
        painter.drawImage(QRectF(right - 8 - legend, middle - 5, legend, 10), self._bar)

    def _paint_titles(self, painter: QPainter) -> None:
        if self._layout is None:
            box = QRectF(0, _CAPTION_HEIGHT, self.width() / self._scale, _TITLE_HEIGHT)
            theme.put_text(
                painter, box, "no electrodes yet", size=theme.SMALL, colour=theme.TEXT_FAINT
            )
            return
        unit = self._scale * self._ratio
        seen: set[str] = set()
        for place in self._places:
            if place.roi in seen:
                continue
            seen.add(place.roi)
            left = place.col * self._array_pitch / unit
            top = _CAPTION_HEIGHT + place.row * self._row_height / unit
            box = QRectF(left, top, 300, _TITLE_HEIGHT - 4)
            width = theme.put_text(painter, box, place.roi, bold=True)
            n_electrodes = self._layout.roi.count(place.roi)
            rest = box.adjusted(width + 8, 0, 0, 0)
            theme.put_text(
                painter, rest, f"{n_electrodes} electrodes", size=theme.SMALL, colour=theme.TEXT_DIM
            )
