"""Writes what a headless demo leaves behind: summary.json, trials.gif, summary.html."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from b2g_rt.contracts.messages import Image, pixels_of
from b2g_rt.contracts.windows import WindowSpec
from b2g_rt.demo.collect import Collector, TrialRecord
from b2g_rt.demo.pictures import final_picture, png_bytes, trials_gif
from b2g_rt.demo.summary import chosen_trials
from b2g_rt.errors import ConfigError

TEMPLATE = Path(__file__).parent / "summary.html.j2"


FILES = ("summary.html", "trials.gif", "screenshot.png", "summary.json")


def clear_report(folder: Path) -> None:
    """Make the folder and remove the files of an earlier report: nothing old may pass for new.

    Raises
    ------
    ConfigError
        The folder cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(
            f"--out {folder}: {error.strerror}, expected a folder that can be written. Choose another."
        ) from None


def write_report(
    folder: Path,
    summary: dict[str, Any],
    collector: Collector,
    spec: WindowSpec,
    baseline: Image | None,
) -> list[str]:
    """Write all files into ``folder``; a screenshot that is there is embedded in the page.

    Returns
    -------
    list of str
        The files that are there now; no animation without a scored trial.
    """
    (folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    chosen = chosen_trials(collector)
    if chosen:
        trials_gif(folder / "trials.gif", chosen, spec)
    (folder / "summary.html").write_text(
        _page(folder, summary, chosen, collector.scored(), baseline), encoding="utf-8"
    )
    return [name for name in FILES if (folder / name).exists()]


def _page(
    folder: Path,
    summary: dict[str, Any],
    chosen: list[tuple[str, TrialRecord]],
    scored: list[TrialRecord],
    baseline: Image | None,
) -> str:
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        summary=summary,
        baseline=_data_uri(baseline),
        chosen=[
            {
                "label": label,
                "stimulus": trial.stimulus,
                "stimulus_picture": _data_uri(trial.stimulus_picture),
                "picture": _data_uri(final_picture(trial)),
                "score": trial.score,
            }
            for label, trial in chosen
        ],
        trials=[
            {
                "stimulus": trial.stimulus,
                "stimulus_picture": _data_uri(trial.stimulus_picture),
                "picture": _data_uri(final_picture(trial)),
                "cosine": trial.score.cosine if trial.score else 0.0,
            }
            for trial in sorted(scored, key=lambda t: t.trial)
        ],
        animation=_file_uri(folder / "trials.gif", "image/gif"),
        screenshot=_file_uri(folder / "screenshot.png", "image/png"),
    )


def _data_uri(image: Image | None) -> str:
    if image is None:
        return ""
    if image.format == "jpeg":
        return "data:image/jpeg;base64," + base64.b64encode(image.data).decode()
    return "data:image/png;base64," + base64.b64encode(png_bytes(pixels_of(image))).decode()


def _file_uri(path: Path, kind: str) -> str:
    if not path.exists():
        return ""
    return f"data:{kind};base64," + base64.b64encode(path.read_bytes()).decode()
