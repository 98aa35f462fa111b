"""Makes a report of held-out trials: computes, draws and writes it. The one function that commands call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from b2g_rt.contracts.channels import ChannelMap
from offline.evaluation.report.array_maps import array_maps
from offline.evaluation.report.contents import report_contents
from offline.evaluation.report.encoding_report import encoding_figures, encoding_section
from offline.evaluation.report.figures import (
    ablation,
    curves,
    dimensions,
    generalisation,
    parameters,
    roi_curves,
)
from offline.evaluation.report.held_out_trials import HeldOutTrials, ReportedDecoder, SlidTrials
from offline.evaluation.report.page import Figure, write_report
from offline.evaluation.report.picture_sheets import sheet, strips
from offline.evaluation.report.pictures import (
    DrawnTrials,
    Render,
    draw_strips,
    draw_trials,
    open_networks,
    picture_scores,
)
from offline.evaluation.scores import Scores
from offline.stages import Stage

_CHOSEN = "Trials in the recording's order, the first presentation of each stimulus before any second: not selected."


def make_report(
    folder: Path,
    about: Mapping[str, Any],
    trials: HeldOutTrials,
    decoder: ReportedDecoder,
    scores: Scores,
    render: Render,
    stage: Stage,
    *,
    slid: SlidTrials | None = None,
    n_pictures: int = 64,
    weights: Path | None = None,
    encoding: Mapping[str, Any] | None = None,
) -> tuple[Path, Path]:
    """Write report.html and report.json.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    about : mapping
        ``bundle`` (name, hash, decoder_kind, n_channels, n_latents), ``recording`` (what was decoded), ``notes``
        (lines that stand on top), ``version``.
    trials : HeldOutTrials
    decoder : ReportedDecoder
    scores : Scores
        Of the same trials, single.
    render : callable
        The bundle's generator.
    stage : Stage
        Progress.
    slid : SlidTrials, optional
        Of a fixed decoder: what its figures over time are drawn from.
    n_pictures : int
        At most so many trials are drawn and compared as pictures.
    weights : Path, optional
        Folder of published networks' weights, see ``feature_networks``.
    encoding : mapping, optional
        Contents of an encoding.json: a section of its own at the end.

    Returns
    -------
    Path, Path
        The page and the JSON.

    Raises
    ------
    SessionError
        Training trials among these, or none that was decoded.
    ConfigError
        The files cannot be written.
    """
    repeated = trials.repeated()
    averaged = repeated.averaged(decoder.decode) if repeated else None
    contents = report_contents(trials, averaged, decoder, scores, stage, slid)
    figures = number_figures(contents, decoder.channels)
    networks, distances, missing = open_networks(weights)
    parts = []
    for key, title, chosen in (
        ("single", "single trials", trials),
        ("averaged", "averaged over repetitions", averaged),
    ):
        if chosen is None:
            continue
        drawn = draw_trials(chosen, render, n_pictures, stage)
        figures[f"sheet_{key}"] = _sheet(drawn, title)
        scored = picture_scores(drawn, stage, networks, distances)
        parts.append({"key": key, "title": title} | scored)
    over_time = slid.trials if slid else trials
    if contents["time"] and (drawn_strips := draw_strips(over_time, render, stage)):
        png = strips(drawn_strips, contents["time"]["stop_ms"])
        figures["strips"] = Figure(png, "decoded pictures over windows, three trials")
    report = {
        **about,
        **contents,
        "pictures": {"chosen": _CHOSEN, "parts": parts, "missing": missing},
    }
    if encoding is not None:
        stage("report: encoding", 1)(1)
        report["encoding"] = encoding_section(encoding)
        return write_report(folder, report, {**figures, **encoding_figures(encoding)})
    return write_report(folder, report, figures)


def number_figures(contents: Mapping[str, Any], channels: ChannelMap) -> dict[str, Figure]:
    """Draw what can be drawn of ``report_contents``."""
    single, averaged = contents["single_trial"], contents["averaged"]
    figures = {
        "dimensions": Figure(
            dimensions(single["last_window"], averaged and averaged["last_window"]),
            "distribution of Pearson's r and R2 over latent dimensions",
        )
    }
    if r := single["scores"]["parameters"]:
        figures["parameters"] = Figure(parameters(r), "Pearson's r of picture parameters")
    if time := contents["time"]:
        png = curves(time, averaged and averaged["time"])
        figures["curves"] = Figure(png, "scores over windows, with intervals and baselines")
        if time["rois"]:
            png = roi_curves(time)
            figures["roi_curves"] = Figure(png, "centred cosine of each ROI alone over windows")
    if matrix := contents["temporal_generalisation"]:
        png = generalisation(matrix)
        figures["generalisation"] = Figure(png, "temporal generalisation matrix")
    if found := contents["roi_ablation"]:
        png = ablation(found)
        figures["ablation"] = Figure(png, "scores without each ROI and with each ROI alone")
    if electrodes := contents["electrodes"]:
        png = array_maps(electrodes["effect"], channels, "change of the latent per SD of MUA")
        figures["effects"] = Figure(png, "electrode weights on the arrays")
    if repetitions := contents["repetitions"]:
        png = array_maps(repetitions["electrode_reliability"], channels, "reliability, Pearson's r")
        figures["reliability"] = Figure(png, "reliability of electrodes on the arrays")
    return figures


def _sheet(drawn: DrawnTrials, title: str) -> Figure:
    return Figure(sheet(drawn), f"stimuli over reconstructions, {title}")
