"""Electrodes on their arrays, coloured by the space that predicts them best; the paler, the less certain.

Drawn from the plain data of ``offline.encoding.contents`` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ChannelMap
from offline.evaluation.report.array_maps import (
    array_axes,
    array_grids,
    draw_cells,
    map_legend,
    maps_size,
)
from offline.evaluation.report.encoding_style import space_colours
from offline.evaluation.report.figure_style import INK, figure_style, new_figure, svg

OPACITY = {"significant": 1.0, "uncorrected": 0.45, "not": 0.13}
"""By what an electrode's best space reaches: corrected significance, uncorrected, none."""


def layer_maps(contents: Mapping[str, Any]) -> bytes:
    """Draw every array, each electrode in the colour of its best space."""
    channels = ChannelMap.from_dict(dict(contents["channels"]))
    spaces = contents["spaces"]
    colours = space_colours(spaces)
    opacity = electrode_opacity(contents)
    shown = array_grids(np.array(contents["assignment"]["best"], np.float64), channels)
    alphas = array_grids(opacity, channels)
    with figure_style():
        width, height = maps_size(channels)
        figure = new_figure(width, max(height, 0.21 * (len(spaces) + 6)))
        places = array_axes(figure, channels)
        for roi, arrays in shown.items():
            for array, grid in arrays.items():
                rgba = _rgba(grid, alphas[roi][array], [colours[space] for space in spaces])
                draw_cells(places[array], rgba, np.isfinite(grid))
        alpha, correction = (contents["significance"][key] for key in ("alpha", "correction"))
        labels = {
            "significant": f"p < {alpha:g}, {NAMES[correction]}",
            "uncorrected": f"p < {alpha:g}, uncorrected",
            "not": "not significant",
        }
        if correction == "none":
            del labels["uncorrected"]
        legend = [(colours[space], 1.0, space) for space in spaces] + [("none", 1.0, " ")]
        legend += [(INK, OPACITY[key], label) for key, label in labels.items()]
        map_legend(figure, "best space", legend)
        return svg(figure)


NAMES = {"bonferroni": "Bonferroni", "fdr": "FDR", "none": "uncorrected"}


def electrode_opacity(contents: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return how opaque each electrode is drawn, float64, axes (channel,)."""
    alpha = contents["significance"]["alpha"]
    best = np.array(contents["assignment"]["best"])
    p, r = (np.array(contents[key], np.float64) for key in ("p", "r"))
    of_best = np.arange(len(best))
    uncorrected = (p[best, of_best] < alpha) & (r[best, of_best] > 0)
    found = np.where(uncorrected, OPACITY["uncorrected"], OPACITY["not"])
    significant = np.array(contents["assignment"]["significant"], np.bool_)
    return np.where(significant, OPACITY["significant"], found)


def _rgba(
    best: NDArray[np.float64], opacity: NDArray[np.float64], colours: list[str]
) -> NDArray[np.float64]:
    """Return colours of a grid, axes (row, col, red green blue opacity)."""
    from matplotlib.colors import to_rgba_array

    kept = np.isfinite(best)
    found = np.zeros((*best.shape, 4))
    found[kept] = to_rgba_array(colours)[best[kept].astype(np.intp)]
    found[kept, 3] = opacity[kept]
    return found
