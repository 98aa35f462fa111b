"""What feature spaces explain together and apart, per ROI; and how alike ROIs and spaces represent stimuli.

Drawn from the plain data of ``offline.encoding.contents`` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from offline.evaluation.report.encoding_style import space_colours
from offline.evaluation.report.figure_style import (
    BASELINE,
    COLOUR_MAP,
    INK,
    PAGE_INCH,
    QUIET,
    figure_style,
    new_figure,
    svg,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COMPARISONS = {"spearman": "Spearman's rho", "kendall": "Kendall's tau-b", "cosine": "cosine"}


def rsa_matrix(contents: Mapping[str, Any]) -> bytes:
    """Draw how alike each ROI and each space represent stimuli; with repetitions, beside the noise ceiling."""
    rsa = contents["rsa"]
    with figure_style():
        has_parts = bool(rsa["n_parts"])
        width = PAGE_INCH if has_parts else 5.6
        figure = new_figure(width, 1.5 + 0.45 * len(rsa["rois"]) if not has_parts else 3.2)
        ratios = (1.15, 1.0) if has_parts else (1.0,)
        places = figure.subplots(1, len(ratios), width_ratios=ratios, squeeze=False)[0]
        _matrix(figure, places[0], rsa)
        if has_parts:
            _beside_ceiling(places[1], rsa, _colours(contents, rsa["spaces"]))
        return svg(figure)


def _matrix(figure: Figure, axes: Axes, rsa: Mapping[str, Any]) -> None:
    spaces, rois = rsa["spaces"], rsa["rois"]
    values = np.array([[found["similarity"][space] for space in spaces] for found in rois.values()])
    reach = max(float(values.max()), 1e-6)
    axes.grid(visible=False)
    shown = axes.imshow(values, cmap=COLOUR_MAP, aspect="auto", vmin=0.0, vmax=reach)
    for i, found in enumerate(rois.values()):
        for j, space in enumerate(spaces):
            star = "*" if found["p_corrected"][space] < rsa["alpha"] else ""
            axes.text(
                j,
                i,
                f"{values[i, j]:z.2f}{star}",
                ha="center",
                va="center",
                fontsize=7.5,
                color="black" if values[i, j] > 0.55 * reach else "white",
            )
    axes.set_xticks(range(len(spaces)), spaces, color=INK, fontsize=8)
    axes.set_yticks(range(len(rois)), list(rois), color=INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
    bar = figure.colorbar(shown, ax=axes, shrink=0.9)
    bar.set_label(COMPARISONS[rsa["comparison"]])
    bar.outline.set_visible(False)


def _colours(contents: Mapping[str, Any], spaces: list[str]) -> dict[str, str]:
    """Return colours of spaces as all other figures have them, and of those that only stand here."""
    return space_colours(list(dict.fromkeys([*contents["spaces"], *spaces])))


def _beside_ceiling(axes: Axes, rsa: Mapping[str, Any], colours: Mapping[str, str]) -> None:
    spaces, rois = rsa["spaces"], rsa["rois"]
    width = 0.84 / len(spaces)
    axes.grid(visible=False, axis="x")
    for i, found in enumerate(rois.values()):
        axes.fill_between(
            [i - 0.46, i + 0.46],
            found["lower"],
            found["upper"],
            color="#e4d9b8",
            lw=0,
            label=None if i else "noise ceiling",
        )
        for j, space in enumerate(spaces):
            at = i + (j - (len(spaces) - 1) / 2) * width
            axes.bar(at, found["similarity_of_parts"][space], 0.9 * width, color=colours[space])
    axes.axhline(0.0, color=BASELINE, lw=1.0)
    axes.set_xticks(range(len(rois)), list(rois), color=INK)
    axes.set_ylabel(f"{COMPARISONS[rsa['comparison']]}, single part")
    axes.legend(loc="upper right", fontsize=8, bbox_to_anchor=(1.0, 1.12))


def variance_bars(contents: Mapping[str, Any]) -> bytes:
    """Draw what all spaces explain, what only each does, and what more than one could; a panel per ROI."""
    joint = contents["joint"]
    spaces = joint["spaces"]
    colours = _colours(contents, spaces) | {"all": INK, "shared": QUIET}
    rois = {roi: found for roi, found in joint["rois"].items() if found}
    labels = ["all", *(f"only\n{space}" for space in spaces), "shared"]
    with figure_style():
        figure = new_figure(PAGE_INCH, 3.3)
        places = figure.subplots(1, len(rois), sharey=True, squeeze=False)[0]
        for axes, (roi, found) in zip(places, rois.items(), strict=True):
            axes.grid(visible=False, axis="x")
            bars = {"all": found["joint"], **found["unique"], "shared": found["shared"]}
            for i, (name, bar) in enumerate(bars.items()):
                axes.bar(i, bar["mean"], 0.74, color=colours[name])
                axes.plot([i, i], [bar["low"], bar["high"]], color=BASELINE, lw=1.4)
            if found["explainable"] is not None:
                axes.axhline(
                    found["explainable"], color="#b7a36a", lw=1.2, label="noise ceiling squared"
                )
            axes.axhline(0.0, color=BASELINE, lw=1.0)
            axes.set_title(f"{roi}, {found['n_channels']} electrodes", color=INK)
            axes.set_xticks(range(len(labels)), labels, color=INK, fontsize=8)
            axes.set_xlim(-0.6, len(labels) - 0.4)
        places[0].set_ylabel("explained variance,\nmean over electrodes")
        if handles := places[0].get_legend_handles_labels()[0]:
            figure.legend(handles=handles, loc="outside upper right", fontsize=8)
        return svg(figure)
