"""Writes the encoding reproduction: reproduction.json, and for each network a folder with the encoding report."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from b2g_rt.errors import ConfigError
from offline.evaluation.report.encoding_report import AboutEncoding, write_encoding_report
from offline.evaluation.report.page import plain_json
from offline.export.bundle_writing import versions
from offline.reproduction.claims import Claim
from offline.reproduction.encoding_experiment import EncodingReproduction, NetworkEncoding
from offline.reproduction.wording import number
from offline.whole_files import write_whole

if TYPE_CHECKING:
    from rich.table import Table

JSON_FILE = "reproduction.json"
SIMULATED = "Simulated: no animal was recorded. Which space drives each electrode is known."


def write_encoding_reproduction(
    folder: Path, found: EncodingReproduction, run: Mapping[str, Any]
) -> list[Path]:
    """Write all files; each appears whole or not at all.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    found : EncodingReproduction
    run : mapping
        Of this one run, plain data: command, seconds, memory.

    Raises
    ------
    ConfigError
        They cannot be written.
    """
    record = plain_json({**found.to_dict(), "run": run})
    files = [folder / JSON_FILE]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(files[0], (json.dumps(record, indent=1, allow_nan=False) + "\n").encode())
    except OSError as error:
        raise ConfigError(
            f"--out {folder}: {error.strerror}, expected a folder that can be written. Choose another."
        ) from None
    for one in found.networks:
        about = _about(found, one)
        files += write_encoding_report(folder / one.network.name, about, one.contents)
    return files


def claims_table(found: EncodingReproduction) -> Table:
    """Return the claims as a table for a terminal."""
    from rich import box
    from rich.table import Table

    table = Table(
        title="Encoding on the simulated macaque", title_justify="left", box=box.SIMPLE_HEAD
    )
    table.add_column("")
    for heading in ("ours", "wanted", ""):
        table.add_column(heading, justify="right", no_wrap=True)
    for claim in found.claims:
        table.add_row(claim.what, number(claim.value), _wanted(claim), _mark(claim))
    return table


def encoding_verdict(found: EncodingReproduction) -> str:
    """Say in one line whether all is as wanted."""
    n, outside = len(found.claims), sum(not claim.inside for claim in found.claims)
    if not found.plan.is_judged:
        return f"{n - outside} of {n} figures are as wanted of the full size; this run has another: not judged."
    if outside:
        return f"{outside} of {n} figures are OUTSIDE what is wanted."
    return f"All {n} figures are as wanted."


def _about(found: EncodingReproduction, one: NetworkEncoding) -> AboutEncoding:
    plan = found.plan
    tuned = ", ".join(f"{roi} to {' and '.join(s)}" for roi, s in one.network.tuning.items())
    lines = (
        f"{one.network.about}, at {plan.side} px. Electrodes are tuned: {tuned}.",
        f"{plan.n_training} training pictures shown once, {plan.n_test} test pictures shown {plan.n_repeats} times.",
    )
    return AboutEncoding(
        recording=f"driven by {one.network.name}",
        version=versions()["b2g_rt"],
        title="Encoding, reproduced on the simulated macaque",
        lines=lines,
        notes=(SIMULATED,),
        wanted=tuple(
            (claim.what, number(claim.value), _wanted(claim), _mark(claim)) for claim in one.claims
        ),
    )


def _mark(claim: Claim) -> str:
    return "inside" if claim.inside else "OUTSIDE"


def _wanted(claim: Claim) -> str:
    """Write both bounds, or the one that there is; both count as inside."""
    if math.isinf(claim.low):
        return f"at most {number(claim.high)}"
    if math.isinf(claim.high):
        return f"at least {number(claim.low)}"
    return f"{number(claim.low)} to {number(claim.high)}"
