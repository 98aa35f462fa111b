"""`b2g-offline reproduce`: the paper's decoding experiment on the simulated macaque, its table beside ours."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from offline.commands.console import command_line, console, say
from offline.commands.options import MEMORY, MemoryOption, SchedulerOption
from offline.stages import stages

OUTSIDE = 1
"""Exit code where a figure is outside what is wanted; a user's mistake is 2."""


class StimuliName(StrEnum):
    """The paper's two experiments."""

    faces = "faces"
    images = "images"


def reproduce(
    stimuli: Annotated[StimuliName, typer.Argument(help="Which of the paper's two experiments.")],
    out: Annotated[
        Path, typer.Option(help="Directory of reproduction.json, .html and .png; made if needed.")
    ],
    seed: Annotated[
        int, typer.Option(min=0, help="Of stimuli, order, noise and folds; the animal has its own.")
    ] = 1,
    work: Annotated[
        Path | None,
        typer.Option(
            help="Keep simulated sessions here, so that an interrupted run goes on (images: 280 MB)."
        ),
    ] = None,
    trials: Annotated[
        int,
        typer.Option(min=50, help="Training trials; with other than 4000 nothing is judged."),
    ] = 4000,
    scheduler: SchedulerOption = None,
    memory: MemoryOption = MEMORY,
) -> None:
    """Run the paper's decoding experiment on the simulated macaque, and compare.

    Simulates, fits and evaluates OLS and ridge on averaged and on single trials, all electrodes and each ROI.

    Exit code 1 where a figure is outside its tolerance. Needs 1.4 GB of memory (faces: 0.9).

    About four minutes of processor time: b2g-offline reproduce faces --out reproduction --work .cache/reproduce
    """
    import resource
    import time

    from b2g_rt.simulation.from_record import preset_macaque
    from offline.destinations import check_folder
    from offline.reproduction.experiment import reproduce as run_experiment
    from offline.reproduction.page import write_reproduction
    from offline.reproduction.plan import ReproductionPlan
    from offline.reproduction.tables import print_reproduction
    from offline.reproduction.wording import verdict
    from offline.scheduling.resources import open_resources

    check_folder("--out", out)
    check_folder("--work", work)
    plan = ReproductionPlan.of(stimuli.value, trials, seed)
    began = time.monotonic()
    with stages(console) as stage, open_resources(scheduler, memory, near=out) as resources:
        found = run_experiment(preset_macaque(stimuli.value), plan, work, stage, resources)
    run = {
        "command": command_line(),
        "seconds": round(time.monotonic() - began, 1),
        "processor_seconds": round(time.process_time(), 1),
        # Linux counts in KiB.
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }
    files = write_reproduction(out, found, run)
    print_reproduction(console, found)
    for file in files:
        say(f"written: {file} ({file.stat().st_size / 1e6:.1f} MB)")
    say(verdict(found.claims, plan.is_the_papers))
    if plan.is_the_papers and not found.inside:
        raise typer.Exit(OUTSIDE)
