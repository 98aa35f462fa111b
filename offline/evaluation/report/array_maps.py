"""A value per electrode, drawn where the electrode sits: one 8x8 grid per array, a row of arrays per ROI."""

from __future__ import annotations

from collections.abc import Sequence

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
    n_across = max(len(arrays) for arrays in grids.values())
    with figure_style():
        import matplotlib

        colours = matplotlib.colormaps[COLOUR_MAP].with_extremes(bad="#eceef1")
        # High enough for the colour bar's label, however few arrays there are.
        figure = new_figure(1.1 * n_across + 1.5, max(2.6, 1.3 * len(grids) + 0.2))
        places = figure.subplots(len(grids), n_across, squeeze=False)
        shown = None
        for row, (roi, arrays) in zip(places, grids.items(), strict=True):
            for axes in row:
                bare(axes)
            for axes, (array, grid) in zip(row, sorted(arrays.items()), strict=False):
                shown = axes.imshow(grid, cmap=colours, vmin=low, vmax=high)
                axes.set_title(f"array {array}", fontsize=7.5, color=QUIET, pad=3)
            row[0].set_ylabel(roi, rotation=0, ha="right", va="center", color=INK)
        if shown is not None:
            bar = figure.colorbar(shown, ax=places, shrink=0.8, aspect=30)
            bar.set_label(label)
            bar.outline.set_visible(False)
        return png(figure)
