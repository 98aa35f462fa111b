"""A value per electrode, drawn where the electrode sits: one 8x8 grid per array, a row of arrays per ROI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ARRAY_COLS, ARRAY_ROWS, ChannelMap
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
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MISSING = "#eceef1"
ABSENT: dict[str, Any] = {"marker": "x", "color": "#b3b8bf", "ms": 3.5, "mew": 0.9}
"""How a position without an electrode is marked."""


def array_grids(
    values: Sequence[float | None] | NDArray[np.floating], channels: ChannelMap
) -> dict[str, dict[int, NDArray[np.float64]]]:
    """Return ROI to array number to values, float64, axes (row, col); NaN where no electrode is kept."""
    flat = np.array([np.nan if v is None else v for v in values], np.float64)
    grids: dict[str, dict[int, NDArray[np.float64]]] = {roi: {} for roi in channels.rois()}
    for channel, roi in enumerate(channels.roi):
        array = int(channels.array[channel])
        grid = grids[roi].setdefault(array, np.full((ARRAY_ROWS, ARRAY_COLS), np.nan))
        grid[channels.row[channel], channels.col[channel]] = flat[channel]
    return grids


def array_axes(figure: Figure, channels: ChannelMap) -> dict[int, Axes]:
    """Lay out a place for each array: a row per ROI, arrays by number, dead ones marked as such.

    Returns
    -------
    dict of array number to Axes
        Of arrays with electrodes that are kept, row 0 on top; nothing is drawn in them yet.
    """
    slots = {
        roi: sorted((s for s in channels.slots if s.roi == roi), key=lambda s: s.array)
        for roi in channels.rois()
    }
    n_across = max(len(own) for own in slots.values())
    places = figure.subplots(len(slots), n_across, squeeze=False)
    found = {}
    for row, (roi, own) in zip(places, slots.items(), strict=True):
        for axes in row:
            bare(axes)
        row[0].set_ylabel(roi, rotation=0, ha="right", va="center", color=INK)
        for axes, slot in zip(row, own, strict=False):
            axes.set(xlim=(-0.5, 7.5), ylim=(7.5, -0.5), aspect="equal")
            axes.set_title(f"array {slot.array}", fontsize=7.5, color=QUIET, pad=3)
            if slot.array in channels.array:
                found[slot.array] = axes
            else:
                _dead(axes)
        for axes in row[len(own) :]:
            axes.set(xlim=(-0.5, 7.5), ylim=(7.5, -0.5), aspect="equal")
    return found


def _dead(axes: Axes) -> None:
    for ends in ((-0.5, 7.5), (7.5, -0.5)):
        axes.plot((-0.5, 7.5), ends, color="#d9dce1", lw=1.2)
    axes.text(3.5, 3.5, "dead", ha="center", va="center", fontsize=7.5, color=QUIET)


def draw_cells(axes: Axes, rgba: NDArray[np.floating], kept: NDArray[np.bool_]) -> None:
    """Draw an array's electrodes in colours of their own, a cross where there is none.

    Parameters
    ----------
    axes : Axes
        Of ``array_axes``.
    rgba : float, axes (row, col, red green blue opacity), 0 to 1
    kept : bool, axes (row, col)
    """
    rows, cols = np.arange(ARRAY_ROWS + 1) - 0.5, np.arange(ARRAY_COLS + 1) - 0.5
    axes.pcolormesh(cols, rows, rgba, edgecolor="white", linewidth=0.6)
    at, across = np.nonzero(~kept)
    axes.plot(across, at, ls="", **ABSENT)


def map_legend(figure: Figure, title: str, entries: Sequence[tuple[Any, float, str]]) -> None:
    """Write what the colours of ``draw_cells`` mean, at the right: (colour, opacity, label) each."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [Patch(facecolor=c, alpha=opacity, label=label) for c, opacity, label in entries]
    figure.legend(
        handles=[*handles, Line2D([], [], ls="", label="no electrode", **ABSENT)],
        loc="outside right upper",
        fontsize=7.5,
        title=title,
        title_fontsize=8,
        alignment="left",
    )


def maps_size(channels: ChannelMap) -> tuple[float, float]:
    """Return width and height of a figure of all arrays with a legend at its right, inches."""
    per_roi = [sum(s.roi == roi for s in channels.slots) for roi in channels.rois()]
    # High enough for the colour bar's label, however few arrays there are.
    return 1.1 * max(per_roi) + 1.5, max(2.6, 1.3 * len(per_roi) + 0.2)


def array_maps(
    values: Sequence[float | None] | NDArray[np.floating], channels: ChannelMap, label: str
) -> bytes:
    """Draw a value per electrode.

    Parameters
    ----------
    values : float or None, axes (channel,)
    channels : ChannelMap
    label : str
        Of the colour bar, with the unit.
    """
    grids = array_grids(values, channels)
    there = np.array([v for v in values if v is not None and np.isfinite(v)], np.float64)
    low, high = (float(there.min()), float(there.max())) if len(there) else (0.0, 1.0)
    with figure_style():
        import matplotlib

        colours = matplotlib.colormaps[COLOUR_MAP].with_extremes(bad=MISSING)
        figure = new_figure(*maps_size(channels))
        places = array_axes(figure, channels)
        shown = None
        for arrays in grids.values():
            for array, grid in arrays.items():
                shown = places[array].imshow(grid, cmap=colours, vmin=low, vmax=high)
        if shown is not None:
            bar = figure.colorbar(shown, ax=figure.axes, shrink=0.8, aspect=30)
            bar.set_label(label)
            bar.outline.set_visible(False)
        return png(figure)
