"""Draws and writes the encoding section: a page of its own, or a section of a decoder's report.

Everything is drawn from the plain data of ``offline.encoding.contents``; nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offline.encoding.contents import CONTENTS_FILE
from offline.evaluation.report.encoding_bars import layer_bars
from offline.evaluation.report.encoding_distributions import r_distributions
from offline.evaluation.report.encoding_joint import rsa_matrix, variance_bars
from offline.evaluation.report.encoding_maps import layer_maps
from offline.evaluation.report.encoding_published import published_beside
from offline.evaluation.report.encoding_time import latency_curves, latency_maps, time_curves
from offline.evaluation.report.page import Drawing, write_report

TEMPLATE = "encoding_report.html.j2"


@dataclass(frozen=True, slots=True)
class AboutEncoding:
    """What stands on top of an encoding page.

    Attributes
    ----------
    recording : str
        What was encoded, for the title.
    version : str
        Of b2g_rt.
    title : str
    lines : tuple of str
        Sentences below the title: features and their provenance, say.
    notes : tuple of str
        Lines that must not be overlooked: simulated data, say.
    wanted : tuple of (str, str, str, str)
        What a reproduction must show: the figure, ours, what is wanted, whether it is.
    """

    recording: str
    version: str
    title: str = "Encoding"
    lines: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    wanted: tuple[tuple[str, str, str, str], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "recording": self.recording,
            "version": self.version,
            "title": self.title,
            "lines": list(self.lines),
            "notes": list(self.notes),
            "wanted": [list(row) for row in self.wanted],
        }


def encoding_section(contents: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page's section says: the contents, where features come from, and the published figures."""
    published = published_beside(contents["spaces"], list(contents["rois"]))
    return {**contents, "published": published, "origins": _origins(contents)}


def _origins(contents: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return networks with their spaces, in the order of the spaces; none where nothing is told of them."""
    network = (contents["fitted"] or {}).get("network", {})
    found: dict[str, list[str]] = {}
    for space in contents["spaces"]:
        if space in network:
            found.setdefault(network[space], []).append(space)
    return [{"network": name, "spaces": own} for name, own in found.items()]


def encoding_figures(contents: Mapping[str, Any]) -> dict[str, Drawing]:
    """Draw what can be drawn of ``encoding_contents``; names are the page's."""
    figures = {
        "layer_bars": Drawing(
            layer_bars(contents), "best space and share of significant electrodes, by ROI"
        ),
        "layer_maps": Drawing(layer_maps(contents), "best space of each electrode on the arrays"),
        "r_distributions": Drawing(
            r_distributions(contents), "distribution of r by ROI and space, with noise ceilings"
        ),
    }
    if contents["rsa"]:
        figures["rsa_matrix"] = Drawing(
            rsa_matrix(contents), "similarity of representations, ROIs by spaces"
        )
    if contents["joint"] and any(contents["joint"]["rois"].values()):
        figures["variance_bars"] = Drawing(
            variance_bars(contents), "variance that spaces explain together and apart, by ROI"
        )
    if contents["time"]:
        figures |= {
            "time_curves": Drawing(time_curves(contents), "r over windows by ROI and space"),
            "latency_curves": Drawing(
                latency_curves(contents), "share of electrodes that have begun, over windows"
            ),
            "latency_maps": Drawing(latency_maps(contents), "latency of electrodes on the arrays"),
        }
    return figures


def write_encoding_report(
    folder: Path, about: AboutEncoding, contents: Mapping[str, Any]
) -> tuple[Path, Path]:
    """Write report.html and encoding.json; each appears whole or not at all.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    about : AboutEncoding
    contents : mapping
        See ``encoding_contents``.

    Returns
    -------
    Path, Path
        The page and the JSON, which ``read_contents`` reads back.

    Raises
    ------
    ConfigError
        They cannot be written.
    """
    told = {**encoding_section(contents), "about": about.to_dict()}
    return write_report(folder, told, encoding_figures(contents), TEMPLATE, CONTENTS_FILE)
