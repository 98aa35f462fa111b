"""A sheet of feature maps: pictures, and beside each what every level of a network makes of it.

A map is the mean over channels, on a scale of its own from its 1st to its 99th percentile; features without rows and
columns are laid out as a square, number by number. For who looks at a feature file. Must not know networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from offline.evaluation.report.figure_style import (
    COLOUR_MAP,
    INK,
    QUIET,
    bare,
    figure_style,
    new_figure,
    png,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_SPACES = 8

_CELL = 1.3  # inches, with the gap
_GAP = 0.08
_HEAD, _FOOT, _SIDE = 0.5, 0.3, 0.15


@dataclass(frozen=True, slots=True)
class SheetLevel:
    """One feature space of the pictures on a sheet.

    Attributes
    ----------
    name : str
    shape : tuple of int
        (channel, row, col), or (feature,).
    values : float32, axes (picture, feature)
    """

    name: str
    shape: tuple[int, ...]
    values: NDArray[np.float32] = field(repr=False)

    def maps(self) -> NDArray[np.float32]:
        """Return one map of each picture, axes (picture, row, col); NaN fills a square up."""
        n = len(self.values)
        if len(self.shape) == 3:
            mean: NDArray[np.float32] = self.values.reshape(n, *self.shape).mean(axis=1)
            return mean
        side = int(np.ceil(np.sqrt(self.values.shape[1])))
        square = np.full((n, side * side), np.nan, np.float32)
        square[:, : self.values.shape[1]] = self.values
        return square.reshape(n, side, side)


def feature_sheet(
    title: str,
    ids: Sequence[str],
    pictures: Sequence[NDArray[np.uint8]] | None,
    levels: Sequence[SheetLevel],
    n_more: int = 0,
) -> bytes:
    """Return a PNG file.

    Parameters
    ----------
    title : str
    ids : sequence of str, axes (picture,)
    pictures : sequence of uint8 (row, col, rgb), optional
        None: only features are known.
    levels : sequence of SheetLevel
        In the order of processing, at most ``MAX_SPACES``.
    n_more : int
        Spaces that are not drawn.
    """
    first = 0 if pictures is None else 1
    n_cols, n_rows = len(levels) + first, len(ids)
    width = 2 * _SIDE + max(n_cols, 3) * _CELL
    height = _HEAD + 0.35 + n_rows * (_CELL + 0.18) + _FOOT
    with figure_style():
        figure = new_figure(width, height)
        figure.set_layout_engine("none")
        figure.text(_SIDE / width, 1 - 0.28 / height, title, fontsize=10.5, color=INK)

        def place(row: int, col: int) -> tuple[float, float, float, float]:
            x = _SIDE + col * _CELL
            y = height - _HEAD - 0.35 - (row + 1) * _CELL - row * 0.18 + _GAP
            side = _CELL - _GAP
            return x / width, y / height, side / width, side / height

        for k, level in enumerate(levels):
            _heading(figure, place(0, k + first), level, height)
            for row, plane in enumerate(level.maps()):
                axes = figure.add_axes(place(row, k + first))
                bare(axes)
                low, high = np.nanpercentile(plane, [1, 99])
                axes.imshow(
                    plane, cmap=COLOUR_MAP, vmin=low, vmax=max(high, low + 1e-12),
                    interpolation="nearest",
                )  # fmt: skip
        for row, name in enumerate(ids):
            x, y, side_x, side_y = place(row, 0)
            if pictures is not None:
                axes = figure.add_axes((x, y, side_x, side_y))
                bare(axes)
                axes.imshow(pictures[row])
            figure.text(x, y - 0.13 / height, name, fontsize=7.5, color=QUIET)
        more = f"; {n_more} more spaces in the file" if n_more else ""
        text = f"maps: mean over channels, each from its 1st to its 99th percentile{more}"
        figure.text(_SIDE / width, 0.1 / height, text, fontsize=7.5, color=QUIET)
        return png(figure)


def _heading(
    figure: Figure, at: tuple[float, float, float, float], level: SheetLevel, height: float
) -> None:
    x, top = at[0], at[1] + at[3]
    figure.text(x, top + 0.22 / height, level.name, fontsize=9.5, color=INK)
    shape = " x ".join(map(str, level.shape))
    figure.text(x, top + 0.07 / height, shape, fontsize=7.5, color=QUIET)
