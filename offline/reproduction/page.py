"""Writes reproduction.json, reproduction.png and reproduction.html: one page that asks the network for nothing."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from b2g_rt.errors import ConfigError
from offline.evaluation.report.page import plain_json
from offline.reproduction.curves import reproduction_figure
from offline.reproduction.decoding import ALL, METHODS
from offline.reproduction.experiment import CONDITIONS, Reproduction
from offline.reproduction.published import SOURCE
from offline.reproduction.responses import WINDOWS
from offline.reproduction.wording import NAMES, TITLES, bounds, number, verdict
from offline.whole_files import write_whole

TEMPLATE = Path(__file__).parent / "reproduction.html.j2"
JSON_FILE, HTML_FILE, PNG_FILE = "reproduction.json", "reproduction.html", "reproduction.png"


def write_reproduction(folder: Path, found: Reproduction, run: Mapping[str, Any]) -> list[Path]:
    """Write all three files; each appears whole or not at all.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    found : Reproduction
    run : mapping
        Of this one run, plain data: command, seconds, memory. All else is the same for the same plan.

    Returns
    -------
    list of Path

    Raises
    ------
    ConfigError
        They cannot be written.
    """
    figure = reproduction_figure(found)
    record = plain_json({**found.to_dict(), "run": run})
    files = {
        JSON_FILE: (json.dumps(record, indent=1, allow_nan=False) + "\n").encode(),
        PNG_FILE: figure,
        HTML_FILE: page(found, run, figure).encode(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            write_whole(folder / name, data)
    except OSError as error:
        raise ConfigError(
            f"--out {folder}: {error.strerror}, expected a folder that can be written. Choose another."
        ) from None
    return [folder / name for name in files]


def page(found: Reproduction, run: Mapping[str, Any], figure: bytes) -> str:
    """Return the page; ``figure``: a PNG file."""
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        found=found,
        run=run,
        figure="data:image/png;base64," + base64.b64encode(figure).decode(),
        verdict=verdict(found.claims, found.plan.is_the_papers),
        source=SOURCE,
        columns=[(condition, method) for condition in CONDITIONS for method in METHODS],
        all_electrodes=ALL,
        windows=range(WINDOWS.n_windows),
        titles=TITLES,
        names=NAMES,
        bounds=bounds,
        number=number,
    )
