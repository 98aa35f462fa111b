"""`b2g-offline evaluate`: single trials that a bundle was not fitted on, scored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from b2g_rt.errors import ConfigError
from offline.commands.console import console, say
from offline.commands.options import LatentsOption, PatternOption
from offline.stages import stages


def evaluate(
    bundle: Annotated[str, typer.Argument(help="Bundle, or the name of a shipped one.")],
    session: Annotated[
        Path | None, typer.Argument(help="Held-out recorded session (HDF5).")
    ] = None,
    simulate: Annotated[
        int | None,
        typer.Option(min=2, help="Simulate so many trials of new stimuli instead of a session."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the simulated stimuli and noise.")] = 9000,
    latents: LatentsOption = None,
    marker_pattern: PatternOption = None,
    json_: Annotated[
        Path | None,
        typer.Option("--json", help="Write the scores to a file too ('-': print JSON only)."),
    ] = None,
) -> None:
    """Score single trials of a recording the bundle was not fitted on.

    Stimuli that were in training are scored apart, under a title that says so.

    A second session: b2g-offline evaluate bundles/monday recordings/tuesday.h5 --json scores.json

    New simulated stimuli: b2g-offline evaluate simulated-faces --simulate 300
    """
    from b2g_rt.contracts.session import SessionFile
    from offline.destinations import check_file
    from offline.evaluation.bundle_scores import SessionScores, score_session, score_simulated
    from offline.evaluation.table import print_session_scores
    from offline.inputs import find_bundle, latents_for

    if (session is None) == (simulate is None):
        raise ConfigError(
            "evaluate: expected either a session or --simulate N. See b2g-offline evaluate --help."
        )
    to_stdout = str(json_) == "-"
    check_file("--json", None if to_stdout else json_)
    loaded = find_bundle(bundle)
    with stages(console, quiet=to_stdout) as stage:
        if session is not None:
            with SessionFile(session) as file:
                known = latents_for(loaded, file, latents)
                scores = score_session(loaded, file, known, stage, marker_pattern)
            title = f"{loaded.manifest.name} on {session.name}"
        else:
            new = score_simulated(loaded, simulate or 0, seed, stage)
            scores = SessionScores(new, None, named=True)
            title = f"{loaded.manifest.name} on {simulate} new simulated stimuli"
    text = json.dumps({"bundle": loaded.hash, **scores.to_dict()}, indent=1)
    if to_stdout:
        typer.echo(text)
        return
    print_session_scores(console, scores, loaded.windows, title)
    if json_:
        try:
            json_.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"--json {json_}: {error.strerror}, expected a file that can be written."
            ) from None
        say(f"written: {json_}")
