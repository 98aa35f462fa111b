"""Figures of numbers: curves over windows, temporal generalisation, ROI ablation, latent dimensions.

Each takes the plain data of ``contents.py`` and gives a PNG file. Axes are labelled with units, baselines are grey.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from offline.evaluation.report.figure_style import (
    AVERAGED,
    BASELINE,
    COLOUR_MAP,
    DECODED,
    INK,
    PAGE_INCH,
    QUIET,
    ROI_COLOURS,
    figure_style,
    new_figure,
    png,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STOP = "window closes, ms after stimulus onset"


def curves(single: dict[str, Any], averaged: dict[str, Any] | None) -> bytes:
    """Draw raw cosine, centred cosine and two-way identification over windows.

    Parameters
    ----------
    single, averaged : dict
        ``time`` of single trials, and of responses averaged over repetitions.
    """
    panels = {
        "cosine": "w cosine",
        "centred_cosine": "w cosine, centred",
        "two_way": f"two-way identification among {single['two_way']['pool']}",
    }
    with figure_style():
        figure = new_figure(PAGE_INCH, 3.1)
        for axes, (name, title) in zip(figure.subplots(1, 3), panels.items(), strict=True):
            if averaged:
                _curve(axes, averaged["stop_ms"], averaged[name], AVERAGED, "averaged")
            _curve(axes, single["stop_ms"], single[name], DECODED, "single trials")
            baseline = single[name]["baseline"]
            axes.plot(
                single["stop_ms"], baseline, "--", color=BASELINE, label="mean latent, chance"
            )
            axes.axvline(0.0, color=QUIET, lw=0.8)
            axes.set_title(title)
            axes.set_xlabel(_STOP)
            axes.set_xticks(_spaced(single["stop_ms"], 5))
        first, centred, _ = figure.axes
        figure.legend(*first.get_legend_handles_labels(), loc="outside upper right", ncols=3)
        _mark_significant(centred, single)
        return png(figure)


def roi_curves(time: dict[str, Any]) -> bytes:
    """Draw the centred cosine of each ROI alone over windows."""
    with figure_style():
        figure = new_figure(5.6, 3.0)
        axes = figure.subplots()
        _curve(axes, time["stop_ms"], time["centred_cosine"], INK, "all electrodes")
        for roi, curve in time["rois"].items():
            _curve(axes, time["stop_ms"], curve, ROI_COLOURS.get(roi, DECODED), f"{roi} alone")
        axes.axhline(0.0, color=BASELINE, ls="--", label="mean latent, chance")
        axes.axvline(0.0, color=QUIET, lw=0.8)
        axes.set_xlabel(_STOP)
        axes.set_ylabel("w cosine, centred")
        axes.set_xticks(_spaced(time["stop_ms"], 9))
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        return png(figure)


def _curve(
    axes: Axes, stop_ms: list[float], curve: dict[str, Any], colour: str, label: str
) -> None:
    axes.fill_between(stop_ms, curve["low"], curve["high"], color=colour, alpha=0.15, lw=0)
    axes.plot(stop_ms, curve["value"], "o-", color=colour, ms=3.5, label=label)


def _mark_significant(axes: Axes, time: dict[str, Any]) -> None:
    found = np.array(time["p_centred_cosine_false_discovery"]) < 0.05
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.12 * (high - low), high)
    stops = np.array(time["stop_ms"])[found]
    axes.plot(stops, np.full(len(stops), low - 0.04 * (high - low)), "s", color=INK, ms=3)


def generalisation(matrix: dict[str, Any]) -> bytes:
    """Draw the temporal generalisation matrix, centred cosine."""
    values = np.array(matrix["centred_cosine"], np.float64)
    stops = [f"{s:.0f}" for s in matrix["stop_ms"]]
    n = len(stops)
    with figure_style():
        figure = new_figure(5.6, 4.6)
        axes = figure.subplots()
        axes.grid(visible=False)
        shown = axes.imshow(values, origin="lower", cmap=COLOUR_MAP, aspect="equal")
        middle = (np.nanmin(values) + np.nanmax(values)) / 2.0
        for fit in range(n):
            for k in range(n):
                colour = "black" if values[fit, k] > middle else "white"
                axes.text(
                    k,
                    fit,
                    _short(values[fit, k]),
                    ha="center",
                    va="center",
                    fontsize=6.5,
                    color=colour,
                )
        axes.set_xticks(range(n), stops)
        axes.set_yticks(range(n), stops)
        axes.set_xlabel(f"decoded: {_STOP}")
        axes.set_ylabel("map fitted: window closes, ms")
        for spine in axes.spines.values():
            spine.set_visible(False)
        bar = figure.colorbar(shown, ax=axes, shrink=0.85)
        bar.set_label("w cosine, centred; mean latent: 0")
        bar.outline.set_visible(False)
        return png(figure)


def ablation(found: dict[str, Any]) -> bytes:
    """Draw the score without each ROI, and with each ROI alone."""
    with figure_style():
        figure = new_figure(PAGE_INCH, 3.0)
        raw, centred = figure.subplots(1, 2)
        for axes, name, title in (
            (raw, "cosine", "w cosine"),
            (centred, "centred_cosine", "w cosine, centred"),
        ):
            scores = found[name]
            axes.grid(visible=False, axis="x")
            for i, roi in enumerate(scores["rois"]):
                colour = ROI_COLOURS.get(roi["roi"], DECODED)
                for key, at, alpha in (("only", i - 0.2, 1.0), ("without", i + 0.2, 0.4)):
                    mean, low, high = (roi[key][part] for part in ("mean", "low", "high"))
                    if name == "cosine":  # its zero is no baseline, so no bar stands on it
                        axes.plot(at, mean, "o", color=colour, alpha=alpha, ms=9)
                    else:
                        axes.bar(at, mean, 0.36, color=colour, alpha=alpha)
                    axes.plot([at, at], [low, high], color=INK, lw=1.2)
            axes.axhline(scores["whole"]["mean"], color=INK, lw=1.2, label="all electrodes")
            axes.axhline(
                scores["nothing"]["mean"], color=BASELINE, ls="--", lw=1.2, label="no electrode"
            )
            axes.set_xticks(
                range(len(scores["rois"])),
                [
                    f"only   without\n{r['roi']}, {r['n_channels']} electrodes"
                    for r in scores["rois"]
                ],
                color=INK,
            )
            axes.set_xlim(-0.6, len(scores["rois"]) - 0.4)
            axes.set_title(title)
        figure.legend(*raw.get_legend_handles_labels(), loc="outside upper right", ncols=2)
        return png(figure)


def parameters(r: dict[str, float]) -> bytes:
    """Draw Pearson's r of each picture parameter, as read from decoded and from true latents."""
    names = sorted(r, key=lambda name: -r[name])
    with figure_style():
        figure = new_figure(PAGE_INCH, 3.0)
        axes = figure.subplots()
        axes.grid(visible=False, axis="x")
        axes.bar(range(len(names)), [r[name] for name in names], 0.7, color=DECODED)
        axes.set_xticks(
            range(len(names)), [n.replace("_", " ") for n in names], rotation=90, fontsize=7
        )
        axes.set_xlim(-0.7, len(names) - 0.3)
        axes.set_ylabel("Pearson's r; chance 0")
        return png(figure)


def dimensions(single: dict[str, Any], averaged: dict[str, Any] | None) -> bytes:
    """Draw the distribution of Pearson's r and of R2 over latent dimensions."""
    panels = {"pearson": ("Pearson's r", "chance"), "r2": ("R2", "mean of these trials")}
    with figure_style():
        figure = new_figure(PAGE_INCH, 2.8)
        for axes, (name, (label, zero)) in zip(figure.subplots(1, 2), panels.items(), strict=True):
            shown = {"single trials": (np.array(single["dimensions"][name]), DECODED)}
            if averaged:
                shown["averaged"] = (np.array(averaged["dimensions"][name]), AVERAGED)
            bins = _bins(np.concatenate([values for values, _ in shown.values()]))
            for title, (values, colour) in shown.items():
                inside = np.clip(values, bins[0], bins[-1])
                axes.hist(inside, bins, color=colour, alpha=0.25)
                axes.hist(inside, bins, color=colour, histtype="step", lw=1.4)
                mean = float(values.mean())
                axes.axvline(mean, color=colour, lw=1.4, label=f"{title}, mean {mean:.3f}")
            axes.axvline(0.0, color=BASELINE, ls="--", lw=1.2, label=zero)
            axes.set_xlabel(f"{label} of a latent dimension")
            axes.set_ylabel("latent dimensions")
            top = axes.get_ylim()[1]
            axes.set_ylim(0.0, top * (1.1 + 0.1 * len(axes.get_legend_handles_labels()[1])))
            axes.legend(fontsize=8, loc="upper left")
        return png(figure)


def _bins(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return borders of 40 bins; the outermost take what is further out than 99 % of the values."""
    low, high = np.quantile(values, (0.005, 0.995))
    return np.linspace(low, max(high, low + 1e-6), 41)


def _short(value: float) -> str:
    """Write a figure below 1 without its zero, and nothing as .00, never as -.00."""
    return f"{value:z.2f}".replace("0.", ".", 1)


def _spaced(values: list[float], at_most: int) -> list[float]:
    """Return every value, or every second, ...: so many that their labels do not touch."""
    return values[:: -(-len(values) // at_most)]
