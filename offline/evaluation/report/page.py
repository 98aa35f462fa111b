"""Writes report.json and report.html: one page that holds its figures and asks the network for nothing."""

from __future__ import annotations

import base64
import io
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from b2g_rt.errors import ConfigError
from offline.evaluation.report.figure_style import DPI, PAGE_INCH
from offline.whole_files import write_whole

PAGE_WIDTH = 1000
TEMPLATES = Path(__file__).parent
TEMPLATE = "report.html.j2"
JSON_FILE, HTML_FILE = "report.json", "report.html"
POINTS_PER_INCH = 72.0


@dataclass(frozen=True, slots=True)
class Figure:
    """A PNG file, and what it shows in words."""

    png: bytes
    alt: str

    @property
    def width(self) -> int:
        """How wide the page shows it, pixels: as if drawn for 1000 pixels per 9.2 inches, and no wider than these."""
        from PIL import Image

        drawn = Image.open(io.BytesIO(self.png)).width
        return min(PAGE_WIDTH, round(drawn / DPI * PAGE_WIDTH / PAGE_INCH))

    @property
    def uri(self) -> str:
        """The file itself as an address, so that a page needs no other."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


@dataclass(frozen=True, slots=True)
class Drawing:
    """An SVG file of matplotlib's, and what it shows in words."""

    svg: bytes
    alt: str

    @property
    def width(self) -> int:
        """See ``Figure``."""
        found = re.search(rb'<svg [^>]*width="([0-9.]+)pt"', self.svg)
        if found is None:
            raise ValueError("an SVG file without a width in points.")
        return min(PAGE_WIDTH, round(float(found[1]) / POINTS_PER_INCH * PAGE_WIDTH / PAGE_INCH))

    @property
    def uri(self) -> str:
        """See ``Figure``."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg).decode()


def page(
    report: Mapping[str, Any], figures: Mapping[str, Figure | Drawing], template: str = TEMPLATE
) -> str:
    """Return the page.

    Parameters
    ----------
    report : mapping
        What report.json holds.
    figures : mapping of name to Figure or Drawing
        Those that there are; the page knows the names.
    template : str
        File name, of those beside this module.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES, encoding="utf-8"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["number"] = number
    return environment.get_template(template).render(
        report=report,
        figures={
            name: {"uri": figure.uri, "alt": figure.alt, "width": figure.width}
            for name, figure in figures.items()
        },
    )


def number(value: float | None, digits: int = 3) -> str:
    """Write a figure with so many decimals, nothing as 0 and never as -0; None as 'unknown'."""
    return "unknown" if value is None else f"{value:z.{digits}f}"


def write_report(
    folder: Path,
    report: Mapping[str, Any],
    figures: Mapping[str, Figure | Drawing],
    template: str = TEMPLATE,
    json_file: str = JSON_FILE,
) -> tuple[Path, Path]:
    """Write both files; each appears whole or not at all.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    report, figures, template
        See ``page``.
    json_file : str
        Name of the file that holds ``report``.

    Returns
    -------
    Path, Path
        Of the page, and of the JSON.

    Raises
    ------
    ConfigError
        They cannot be written.
    """
    plain = plain_json(report)
    text = json.dumps(plain, indent=1, allow_nan=False) + "\n"
    html = page(plain, figures, template)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / json_file, text.encode())
        write_whole(folder / HTML_FILE, html.encode())
    except OSError as error:
        raise ConfigError(
            f"--report {folder}: {error.strerror}, expected a folder that can be written. Choose another."
        ) from None
    return folder / HTML_FILE, folder / json_file


def plain_json(value: Any) -> Any:
    """Return data for JSON: what is not finite, which JSON cannot say, becomes None; tuples become lists."""
    if isinstance(value, Mapping):
        return {str(key): plain_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
