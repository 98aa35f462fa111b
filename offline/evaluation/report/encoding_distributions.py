"""How r is distributed over the electrodes of each ROI, space by space, beside what noise leaves room for.

Drawn from the plain data of ``offline.encoding.contents`` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from offline.evaluation.report.encoding_style import space_colours
from offline.evaluation.report.figure_style import (
    BASELINE,
    INK,
    PAGE_INCH,
    QUIET,
    figure_style,
    new_figure,
    svg,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def r_distributions(contents: Mapping[str, Any]) -> bytes:
    """Draw a violin per space, a panel per ROI; with quartiles, noise ceiling, chance and the least significant r."""
    spaces = contents["spaces"]
    colours = space_colours(spaces)
    r = np.array(contents["r"], np.float64)
    of_channel = np.array(contents["electrodes"]["roi"])
    least = contents["significance"]["least_r"]
    with figure_style():
        figure = new_figure(PAGE_INCH, 3.4)
        places = figure.subplots(1, len(contents["rois"]), sharey=True, squeeze=False)[0]
        for axes, (roi, found) in zip(places, contents["rois"].items(), strict=True):
            axes.grid(visible=False, axis="x")
            _ceiling(axes, found)
            axes.axhline(0.0, color=BASELINE, ls="--", lw=1.2, label="chance")
            if least is not None:
                axes.axhline(
                    least, color=QUIET, ls=":", lw=1.0, label="lowest r that is significant"
                )
            for i, space in enumerate(spaces):
                _violin(axes, i, r[i, of_channel == roi], colours[space])
            axes.set_title(f"{roi}, {found['n_channels']} electrodes", color=INK)
            tilted = sum(map(len, spaces)) > 34
            axes.set_xticks(
                range(len(spaces)),
                spaces,
                color=INK,
                fontsize=8,
                rotation=45 if tilted else 0,
                ha="right" if tilted else "center",
            )
            axes.set_xlim(-0.6, len(spaces) - 0.4)
        places[0].set_ylabel("Pearson's r over test stimuli")
        figure.legend(
            *places[0].get_legend_handles_labels(), loc="outside upper right", ncols=4, fontsize=8
        )
        return svg(figure)


def _ceiling(axes: Axes, roi: Mapping[str, Any]) -> None:
    if roi["median_ceiling"] is None:
        return
    axes.axhspan(*roi["quartiles_ceiling"], color="#f0ead9", lw=0, label="noise ceiling, quartiles")
    axes.axhline(roi["median_ceiling"], color="#b7a36a", lw=1.2, label="noise ceiling, median")


def _violin(axes: Axes, at: int, values: NDArray[np.float64], colour: str) -> None:
    if len(values) > 1 and np.ptp(values) > 0:
        parts = axes.violinplot([values], [at], widths=0.86, showextrema=False, points=120)
        bodies: Any = parts["bodies"]  # matplotlib's types say less than it gives
        for body in bodies:
            body.set(facecolor=colour, alpha=0.8, edgecolor="none")
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    axes.plot([at, at], [low, high], color="white", lw=4.2, solid_capstyle="round")
    axes.plot([at, at], [low, high], color=INK, lw=2.2, solid_capstyle="round")
    axes.plot(at, middle, "o", color="white", mec=INK, mew=1.0, ms=5.0)
