"""`b2g-offline evaluate`: single trials that a bundle was not fitted on, scored."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from b2g_rt.errors import ConfigError
from offline.commands.console import console, say
from offline.commands.evaluation_report import (
    encoding_beside,
    evaluation_report,
    fixed_over_time,
)
from offline.commands.options import (
    MEMORY,
    LatentsOption,
    MemoryOption,
    PatternOption,
    SchedulerOption,
)
from offline.commands.recording_options import (
    ChannelsOption,
    FormatOption,
    Gaps,
    MappingOption,
    MarkersOption,
    MonkeyOption,
    SegmentOption,
    StreamOption,
    ToleranceOption,
    reader_options,
)
from offline.stages import stages


def evaluate(
    bundle: Annotated[str, typer.Argument(help="Bundle, or the name of a shipped one.")],
    session: Annotated[
        Path | None, typer.Argument(help="Held-out recording, of any format.")
    ] = None,
    simulate: Annotated[
        int | None,
        typer.Option(min=2, help="Simulate so many trials of new stimuli instead of a session."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the simulated stimuli and noise.")] = 9000,
    latents: LatentsOption = None,
    marker_pattern: PatternOption = None,
    format_: FormatOption = None,
    channels: ChannelsOption = None,
    gaps: SegmentOption = Gaps.segment,
    tolerance_ms: ToleranceOption = 100.0,
    stream: StreamOption = None,
    markers: MarkersOption = None,
    mapping: MappingOption = None,
    monkey: MonkeyOption = None,
    json_: Annotated[
        Path | None,
        typer.Option("--json", help="Write the scores to a file too ('-': print JSON only)."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Write a report with figures into this folder: report.html, report.json."
        ),
    ] = None,
    pictures: Annotated[
        int,
        typer.Option(min=1, help="At most so many trials of the report are drawn and compared."),
    ] = 64,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the published networks' weight files, for the report's picture metrics; torchvision's "
            "cache by default."
        ),
    ] = None,
    encoding: Annotated[
        Path | None,
        typer.Option(
            help="Folder that b2g-offline encode wrote: its figures become a section of the report."
        ),
    ] = None,
    scheduler: SchedulerOption = None,
    memory: MemoryOption = MEMORY,
) -> None:
    """Score single trials of a recording the bundle was not fitted on.

    Stimuli that were in training are scored apart, under a title that says so.

    A second session: b2g-offline evaluate bundles/monday recordings/tuesday.h5 --json scores.json

    New simulated stimuli: b2g-offline evaluate simulated-faces --simulate 300 --report report

    With what electrodes encode: b2g-offline evaluate bundles/monday tuesday.h5 --report report --encoding encoded

    On a cluster: b2g-offline evaluate bundles/monday tuesday.h5 --scheduler tcp://node1:8786 --memory 8GiB
    """
    from offline.destinations import check_file, check_folder
    from offline.evaluation.bundle_scores import (
        score_decoded,
        simulated_session,
        simulated_trials,
    )
    from offline.evaluation.decoded_session import decoded_session
    from offline.evaluation.table import print_session_scores
    from offline.inputs import find_bundle, latents_for
    from offline.recordings.formats.opening import open_recording
    from offline.recordings.known_latents import pickled
    from offline.recordings.mua_source import mua_of
    from offline.scheduling.resources import open_resources

    if (session is None) == (simulate is None):
        raise ConfigError(
            "evaluate: expected either a session or --simulate N. See b2g-offline evaluate --help."
        )
    if encoding and not report:
        raise ConfigError(
            "--encoding: no report to show it in, expected --report too. Add --report DIR."
        )
    to_stdout = str(json_) == "-"
    check_file("--json", None if to_stdout else json_)
    check_folder("--report", report)
    loaded = find_bundle(bundle)
    encoded = encoding_beside(encoding, loaded)
    slid = None
    written_to = report or (None if to_stdout else json_)
    with (
        open_resources(scheduler, memory, near=written_to or _here()) as resources,
        stages(console, quiet=to_stdout) as stage,
    ):
        if session is not None:
            options = reader_options(
                channels=channels,
                gaps=gaps,
                tolerance_ms=tolerance_ms,
                stream=stream,
                markers=markers,
                marker_pattern=marker_pattern,
                mapping=mapping,
                monkey=monkey,
                latents=pickled(latents),
            )
            with open_recording(session, options, format_) as recording:
                known = latents_for(loaded, recording, latents)
                decoded = decoded_session(
                    loaded, recording, known, stage, resources, reported=bool(report)
                )
                if report and recording.info.kind != "responses":
                    mua = mua_of(recording, decoded.onsets, loaded.windows.rate_hz)
                    slid = fixed_over_time(
                        loaded, replace(mua, onsets=decoded.onsets), stage, decoded.resources
                    )
            what = session.name
        else:
            decoded = simulated_session(
                loaded, simulate or 0, seed, stage, resources, reported=bool(report)
            )
            if report:
                mua = simulated_trials(loaded, simulate or 0, seed)[1]
                slid = fixed_over_time(loaded, mua, stage, decoded.resources)
            what = f"{simulate} new simulated stimuli"
        scores = score_decoded(loaded, decoded, stage)
        if simulate is not None:
            scores = replace(scores, named=True)  # new draws, whatever the bundle tells
        files = (
            evaluation_report(
                report,
                loaded,
                decoded,
                scores,
                what,
                stage,
                slid=slid,
                n_pictures=pictures,
                weights=weights,
                encoding=encoded,
            )
            if report
            else ()
        )
    text = json.dumps({"bundle": loaded.hash, **scores.to_dict()}, indent=1)
    if to_stdout:
        typer.echo(text)
        return
    title = f"{loaded.manifest.name} on {what}"
    print_session_scores(console, scores, loaded.windows, title)
    for file in files:
        say(f"written: {file}")
    if json_:
        try:
            json_.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"--json {json_}: {error.strerror}, expected a file that can be written."
            ) from None
        say(f"written: {json_}")


def _here() -> Path:
    """Return a place for what is too large to be held, where nothing else is written."""
    folder = Path.cwd()
    return (folder if os.access(folder, os.W_OK) else Path(tempfile.gettempdir())) / "evaluate"
