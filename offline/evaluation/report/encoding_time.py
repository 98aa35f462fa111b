"""When electrodes begin to be predicted: r over windows per ROI, and latencies on the arrays.

Drawn from the plain data of ``offline.encoding.contents`` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from b2g_rt.contracts.channels import ChannelMap
from offline.evaluation.report.array_maps import (
    MISSING,
    array_axes,
    array_grids,
    draw_cells,
    map_legend,
    maps_size,
)
from offline.evaluation.report.encoding_style import legend_columns, space_colours
from offline.evaluation.report.figure_style import (
    BASELINE,
    INK,
    PAGE_INCH,
    QUIET,
    ROI_COLOURS,
    figure_style,
    new_figure,
    svg,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def time_curves(contents: Mapping[str, Any]) -> bytes:
    """Draw mean r of every space over windows, a panel per ROI; below, when half of the electrodes are significant."""
    time, spaces = contents["time"], contents["spaces"]
    colours = space_colours(spaces)
    with figure_style():
        figure = new_figure(PAGE_INCH, 3.3)
        rois = time["curves"]["rois"]
        places = figure.subplots(1, len(rois), sharey=True, squeeze=False)[0]
        for axes, (roi, found) in zip(places, rois.items(), strict=True):
            for space, curve in found["spaces"].items():
                axes.fill_between(
                    time["stop_ms"],
                    curve["low"],
                    curve["high"],
                    color=colours[space],
                    alpha=0.16,
                    lw=0,
                )
                axes.plot(
                    time["stop_ms"], curve["mean"], "o-", color=colours[space], ms=3, label=space
                )
            axes.axhline(0.0, color=BASELINE, ls="--", lw=1.2)
            axes.axvline(0.0, color=QUIET, lw=0.8)
            axes.set_title(f"{roi}, {found['n_channels']} electrodes", color=INK)
            axes.set_xlabel("window closes, ms after stimulus onset", fontsize=8)
            axes.set_xticks(time["stop_ms"][::2])
            _median_latency(axes, time["latency"]["rois"][roi])
        low, high = places[0].get_ylim()
        places[0].set_ylim(low - 0.1 * (high - low), high)
        places[0].set_ylabel("Pearson's r, mean over electrodes")
        handles, labels = places[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside upper right", ncols=legend_columns(labels), fontsize=8
        )
        return svg(figure)


def _median_latency(axes: Axes, roi: Mapping[str, Any]) -> None:
    found = roi["stop_ms"]
    if not found["n"]:
        return
    # Times are data, the height is the panel's: below all curves, whatever their range.
    place = axes.get_xaxis_transform()
    axes.plot([found["low"], found["high"]], [0.035, 0.035], color=INK, lw=2.0, transform=place)
    axes.plot(found["median"], 0.035, "^", color=INK, ms=6, transform=place)


def latency_maps(contents: Mapping[str, Any]) -> bytes:
    """Draw the latency of each electrode on its array; grey: it has none."""
    latency = contents["time"]["latency"]
    return _latency_map(contents, latency["stop_ms"], contents["time"]["stop_ms"])


def _latency_map(
    contents: Mapping[str, Any], values: list[float | None], steps: list[float]
) -> bytes:
    channels = ChannelMap.from_dict(dict(contents["channels"]))
    after = [stop for stop in steps if stop > 0] or steps
    kept = array_grids(np.ones(channels.n_channels), channels)
    with figure_style():
        from matplotlib import colormaps
        from matplotlib.colors import to_rgba

        figure = new_figure(*maps_size(channels))
        places = array_axes(figure, channels)
        ramp = [colormaps["plasma"](0.9 * i / max(len(after) - 1, 1)) for i in range(len(after))]
        for roi, arrays in array_grids(values, channels).items():
            for array, grid in arrays.items():
                there = np.isfinite(kept[roi][array])
                rgba = np.zeros((*grid.shape, 4))
                rgba[there] = to_rgba(MISSING)
                found = np.isfinite(grid)
                which = np.searchsorted(after, grid[found]).clip(max=len(after) - 1)
                rgba[found] = np.array(ramp)[which]
                draw_cells(places[array], rgba, there)
        legend = [(colour, 1.0, f"{at:.0f} ms") for colour, at in zip(ramp, after, strict=True)]
        map_legend(figure, "window closes", [*legend, (MISSING, 1.0, "no latency")])
        return svg(figure)


def latency_curves(contents: Mapping[str, Any]) -> bytes:
    """Draw, per ROI, the share of its electrodes with a latency that have begun by each window."""
    time = contents["time"]
    of_channel = np.array(contents["electrodes"]["roi"])
    stop = np.array([np.nan if v is None else v for v in time["latency"]["stop_ms"]], np.float64)
    with figure_style():
        figure = new_figure(5.6, 2.9)
        axes = figure.subplots()
        for i, (roi, found) in enumerate(time["latency"]["rois"].items()):
            own = stop[of_channel == roi]
            own = own[np.isfinite(own)]
            if not len(own):
                continue
            share = [(own <= at).mean() for at in time["stop_ms"]]
            colour = ROI_COLOURS.get(roi, INK)
            axes.step(
                time["stop_ms"], share, where="post", color=colour, label=f"{roi}, n = {len(own)}"
            )
            first = found["stop_ms"]
            at = -0.07 - 0.07 * i
            axes.plot([first["low"], first["high"]], [at, at], color=colour, lw=2.0)
            axes.plot(first["median"], at, "o", color=colour, ms=5)
        axes.axvline(0.0, color=QUIET, lw=0.8)
        axes.set_yticks((0.0, 0.5, 1.0), ("0", "50 %", "100 %"))
        axes.set_xticks(time["stop_ms"])
        axes.set_xlabel("window closes, ms after stimulus onset")
        axes.set_ylabel("electrodes that have begun")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        return svg(figure)
