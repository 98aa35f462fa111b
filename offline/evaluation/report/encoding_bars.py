"""Bars per ROI: which space predicts its electrodes best, and how many each space predicts at all.

Drawn from the plain data of ``offline.encoding.contents`` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

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


def layer_bars(contents: Mapping[str, Any]) -> bytes:
    """Draw the layer assignment above, the share of significant electrodes below; a column per ROI."""
    spaces, rois = contents["spaces"], contents["assignment"]["rois"]
    colours = space_colours(spaces)
    alpha = contents["significance"]["alpha"]
    with figure_style():
        figure = new_figure(PAGE_INCH, 4.9)
        places = figure.subplots(2, len(rois), sharey="row", squeeze=False)
        for column, (roi, found) in enumerate(rois.items()):
            above, below = places[:, column]
            counts, n = found["counts"], found["n_significant"]
            above.set_title(f"{roi}: {n} of {found['n_channels']} electrodes", color=INK)
            shares = found["shares"] if n else [0.0] * len(spaces)
            _bars(above, spaces, shares, colours, [str(c) if c else "" for c in counts])
            if not n:
                above.text(
                    0.5,
                    0.5,
                    "none is significant",
                    transform=above.transAxes,
                    ha="center",
                    color=QUIET,
                )
            per_space = contents["rois"][roi]["spaces"]
            correction = contents["significance"]["correction"]
            shares = [per_space[space]["significant"][correction] for space in spaces]
            _bars(below, spaces, shares, colours, [_percent(share) for share in shares])
            if correction == "none":
                below.axhline(alpha / 2.0, color=BASELINE, ls="--", lw=1.2)
        places[0, 0].set_ylabel("best predicted by:\nshare of significant electrodes")
        places[1, 0].set_ylabel("significant:\nshare of all electrodes")
        for axes in places[:, 0]:
            axes.set_ylim(0.0, 1.08)
            axes.set_yticks((0.0, 0.5, 1.0), ("0", "50 %", "100 %"))
        return svg(figure)


def _bars(
    axes: Axes,
    spaces: list[str],
    shares: list[float],
    colours: Mapping[str, str],
    labels: list[str],
) -> None:
    axes.grid(visible=False, axis="x")
    axes.bar(range(len(spaces)), shares, 0.78, color=[colours[space] for space in spaces])
    for i, (share, label) in enumerate(zip(shares, labels, strict=True)):
        size = 7.5 if len(spaces) <= 9 else 5.5
        axes.text(i, share + 0.02, label, ha="center", fontsize=size, color=INK)
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


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share else ""
