"""The figure of a reproduction: cosine over windows, and by ROI, ours beside the paper's. Needs matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from offline.evaluation.report.figure_style import BASELINE, INK, figure_style, new_figure, png
from offline.reproduction.decoding import ALL, METHODS, Condition, Method
from offline.reproduction.experiment import Reproduction
from offline.reproduction.wording import NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PAPER = INK
OURS: dict[Method, str] = {"ols": "#0072B2", "ridge": "#D55E00"}
_HOW: dict[Condition, str] = {
    "averaged": "averaged over repetitions, as the paper",
    "single_trial": "single trials, as live",
}


def reproduction_figure(found: Reproduction) -> bytes:
    """Draw windows above and ROIs below, one column per condition; a PNG file."""
    with figure_style():
        figure = new_figure(10.0, 6.4)
        axes = figure.subplots(2, len(_HOW), sharey="row", squeeze=False)
        for column, (condition, title) in enumerate(_HOW.items()):
            _windows(axes[0, column], found, condition)
            _rois(axes[1, column], found, condition)
            axes[0, column].set_title(title)
        axes[0, 0].set_ylabel("w cosine, all electrodes")
        axes[1, 0].set_ylabel("w cosine, ROI windows")
        return png(figure)


def _windows(axes: Axes, found: Reproduction, condition: Condition) -> None:
    decoders = found.scores[condition].decoders
    stop_ms = decoders[METHODS[0]][ALL].curve.stop_ms
    for method in METHODS:
        curve = decoders[method][ALL].curve
        axes.fill_between(stop_ms, curve.low, curve.high, color=OURS[method], alpha=0.15, lw=0)
        axes.plot(stop_ms, curve.value, color=OURS[method], marker="o", label=NAMES[method])
    if condition == "averaged":
        axes.plot(
            stop_ms, found.paper.windows, color=PAPER, ls="--", marker="s", label="paper, OLS"
        )
    axes.axhline(found.mean_latent(condition).mean, color=BASELINE, ls=":", label="mean latent")
    axes.set_xticks(stop_ms)
    axes.set_xlabel("window ends, ms after the onset")
    axes.legend(loc="best")


def _rois(axes: Axes, found: Reproduction, condition: Condition) -> None:
    """Bars stand on what the mean latent scores: their height is the gain."""
    decoders = found.scores[condition].decoders
    rois = list(decoders[METHODS[0]])
    mean = found.mean_latent(condition).mean
    n_bars = len(METHODS) + (condition == "averaged")
    width = 0.8 / n_bars

    def at(position: int) -> np.ndarray:
        return np.arange(len(rois)) + (position - (n_bars - 1) / 2) * width

    for position, method in enumerate(METHODS):
        cosines = [decoders[method][roi].roi_windows.cosine for roi in rois]
        value = np.array([i.mean for i in cosines])
        reach = np.abs([[i.low for i in cosines], [i.high for i in cosines]] - value)
        axes.bar(
            at(position),
            value - mean,
            0.92 * width,
            bottom=mean,
            color=OURS[method],
            yerr=reach,
            ecolor=BASELINE,
            label=NAMES[method],
        )
    if condition == "averaged":
        value = np.array([found.paper.rois[roi] for roi in rois])
        axes.bar(
            at(n_bars - 1), value - mean, 0.92 * width, bottom=mean, color=PAPER, label="paper, OLS"
        )
    axes.axhline(mean, color=BASELINE, ls=":", label="mean latent")
    axes.set_xticks(range(len(rois)), rois)
    axes.legend(loc="best", ncols=2)
