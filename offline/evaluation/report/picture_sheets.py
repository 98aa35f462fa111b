"""Sheets of pictures: the stimulus above its reconstruction, and trials over their windows.

Pictures lie on one canvas, pixel for pixel, so a sheet of a hundred takes no longer than one of ten.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from offline.evaluation.report.figure_style import (
    DPI,
    INK,
    QUIET,
    bare,
    figure_style,
    new_figure,
    png,
)
from offline.evaluation.report.pictures import DrawnStrip, DrawnTrials

if TYPE_CHECKING:
    from matplotlib.axes import Axes

N_ACROSS = 10
SIDE = 112  # pixels of a picture on the sheet
GAP = 6
_TEXT = 36
_MARGIN = 104


class _Canvas:
    """A white canvas of places for pictures, with lines of text beside and below them."""

    def __init__(self, width: int, height: int) -> None:
        self._pixels = np.full((height, width, 3), 255, np.uint8)
        self._texts: list[tuple[float, float, str, str, str]] = []

    def picture(self, x: int, y: int, picture: NDArray[np.uint8]) -> None:
        small = _at_side(picture)
        self._pixels[y : y + small.shape[0], x : x + small.shape[1]] = small

    def text(
        self, x: float, y: float, text: str, *, align: str = "center", colour: str = QUIET
    ) -> None:
        self._texts.append((x, y, text, align, colour))

    def png(self) -> bytes:
        height, width, _ = self._pixels.shape
        with figure_style():
            figure = new_figure(width / DPI, height / DPI)
            figure.set_layout_engine("none")
            axes: Axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
            bare(axes)
            axes.imshow(self._pixels, interpolation="none", aspect="auto")
            for x, y, text, align, colour in self._texts:
                axes.text(x, y, text, ha=align, va="center", fontsize=9.5, color=colour)
            return png(figure)


def sheet(drawn: DrawnTrials, n_across: int = N_ACROSS) -> bytes:
    """Draw stimulus above reconstruction, the centred cosine below; at the right the mean latent's picture."""
    n = len(drawn.names)
    across = min(n, n_across)
    step, block = SIDE + GAP, 2 * (SIDE + GAP) + _TEXT
    canvas = _Canvas(_MARGIN + across * step + 2 * GAP + step, -(-n // across) * block)
    for i in range(n):
        row, col = divmod(i, across)
        x, y = _MARGIN + col * step, row * block
        canvas.picture(x, y, drawn.stimuli[drawn.true_idx[i]])
        canvas.picture(x, y + step, drawn.reconstructed[i])
        canvas.text(x + SIDE / 2, y + 2 * step + _TEXT / 3, f"{drawn.centred_cosine[i]:z.2f}")
        if not col:
            canvas.text(_MARGIN - 14, y + SIDE / 2, "stimulus", align="right", colour=INK)
            canvas.text(_MARGIN - 14, y + step + SIDE / 2, "decoded", align="right", colour=INK)
    x = _MARGIN + across * step + 2 * GAP
    canvas.picture(x, step, drawn.mean_picture)
    canvas.text(x + SIDE / 2, 2 * step + _TEXT / 3, "mean latent")
    return canvas.png()


def strips(drawn: Sequence[DrawnStrip], stop_ms: Sequence[float]) -> bytes:
    """Draw trials over their windows, the stimulus at the left, the centred cosine below."""
    step, block = SIDE + GAP, SIDE + _TEXT
    canvas = _Canvas(_MARGIN + (len(stop_ms) + 1) * step + 2 * GAP, len(drawn) * block + _TEXT)
    first = _MARGIN + step + 2 * GAP
    canvas.text(_MARGIN + SIDE / 2, _TEXT / 2, "stimulus", colour=INK)
    for k, stop in enumerate(stop_ms):
        canvas.text(first + k * step + SIDE / 2, _TEXT / 2, f"{stop:+.0f} ms", colour=INK)
    for row, strip in enumerate(drawn):
        y = _TEXT + row * block
        canvas.text(_MARGIN - 14, y + SIDE / 2, strip.label, align="right", colour=INK)
        canvas.picture(_MARGIN, y, strip.stimulus)
        for k, picture in enumerate(strip.windows):
            canvas.picture(first + k * step, y, picture)
            text = f"{strip.cosine[k]:z.2f}"
            canvas.text(first + k * step + SIDE / 2, y + SIDE + _TEXT / 2.5, text)
    return canvas.png()


def _at_side(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the picture at the sheet's size, its longer side ``SIDE`` pixels."""
    from PIL import Image

    rows, cols, _ = picture.shape
    longer = max(rows, cols)
    size = max(1, round(SIDE * cols / longer)), max(1, round(SIDE * rows / longer))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))
