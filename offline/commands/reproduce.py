"""`b2g-offline reproduce`: the paper's experiments on the simulated macaque, decoding and encoding."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from offline.commands.console import command_line, console, say
from offline.commands.options import MEMORY, MemoryOption, SchedulerOption
from offline.stages import stages

if TYPE_CHECKING:
    from offline.reproduction.plan import Stimuli

OUTSIDE = 1
"""Exit code where a figure is outside what is wanted; a user's mistake is 2."""


class Experiment(StrEnum):
    """The paper's two decoding experiments, and encoding."""

    faces = "faces"
    images = "images"
    encoding = "encoding"


def reproduce(
    experiment: Annotated[
        Experiment,
        typer.Argument(help="Decoding of faces or images, or encoding: which features drive what."),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="Directory of reproduction.json, .html and .png, or of encoding reports; made if needed."
        ),
    ],
    seed: Annotated[
        int, typer.Option(min=0, help="Of stimuli, order, noise and folds; the animal has its own.")
    ] = 1,
    work: Annotated[
        Path | None,
        typer.Option(
            help="Keep simulated sessions here (of encoding pictures and features too), so that an interrupted run "
            "goes on (images: 280 MB)."
        ),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            min=50,
            help="Training trials; with other than 4000 (encoding: 1500) nothing is judged.",
        ),
    ] = None,
    scheduler: SchedulerOption = None,
    memory: MemoryOption = MEMORY,
) -> None:
    """Run one of the paper's experiments on the simulated macaque, and compare.

    Decoding (faces, images) simulates, fits and evaluates OLS and ridge on averaged and on single trials, all
    electrodes and each ROI. Encoding draws pictures, lets networks' levels drive the animal, and asks layer
    assignment which level drives which electrode; it is no comparison with the paper's figures.

    Exit code 1 where a figure is outside its tolerance. Needs 1.4 GB of memory (faces: 0.9, encoding: 2.3).

    About four minutes of processor time: b2g-offline reproduce faces --out reproduction --work .cache/reproduce

    Features and encoding: b2g-offline reproduce encoding --out reproduction-encoding --work .cache/reproduce
    """
    from offline.destinations import check_folder

    check_folder("--out", out)
    check_folder("--work", work)
    if experiment is Experiment.encoding:
        _encoding(out, seed, work, trials, scheduler, memory)
    else:
        _decoding(experiment, out, seed, work, trials, scheduler, memory)


def _decoding(
    experiment: Experiment,
    out: Path,
    seed: int,
    work: Path | None,
    trials: int | None,
    scheduler: str | None,
    memory: str,
) -> None:
    import time

    from b2g_rt.simulation.from_record import preset_macaque
    from offline.reproduction.experiment import reproduce as run_experiment
    from offline.reproduction.page import write_reproduction
    from offline.reproduction.plan import ReproductionPlan
    from offline.reproduction.tables import print_reproduction
    from offline.reproduction.wording import verdict
    from offline.scheduling.resources import open_resources

    plan = ReproductionPlan.of(_stimuli(experiment), trials or 4000, seed)
    began = time.monotonic()
    with stages(console) as stage, open_resources(scheduler, memory, near=out) as resources:
        found = run_experiment(preset_macaque(experiment.value), plan, work, stage, resources)
    files = write_reproduction(out, found, _run_of(time.monotonic() - began))
    print_reproduction(console, found)
    _conclude(files, verdict(found.claims, plan.is_the_papers), plan.is_the_papers, found.inside)


def _encoding(
    out: Path,
    seed: int,
    work: Path | None,
    trials: int | None,
    scheduler: str | None,
    memory: str,
) -> None:
    import time

    from offline.reproduction.encoding_experiment import reproduce_encoding
    from offline.reproduction.encoding_page import (
        claims_table,
        encoding_verdict,
        write_encoding_reproduction,
    )
    from offline.reproduction.encoding_plan import N_TRAINING, EncodingPlan
    from offline.scheduling.resources import open_resources

    plan = EncodingPlan.sized(trials or N_TRAINING, seed)
    began = time.monotonic()
    with stages(console) as stage, open_resources(scheduler, memory, near=out) as resources:
        found = reproduce_encoding(plan, work, stage, resources)
        files = write_encoding_reproduction(out, found, _run_of(time.monotonic() - began))
    console.print(claims_table(found))
    for one in found.networks:
        for roi, recovered in one.recovered.items():
            say(
                f"{one.network.name}, {roi}: {recovered.n_recovered} of {recovered.n_informative} informative "
                f"electrodes recovered ({recovered.share:.1%})"
            )
    _conclude(files, encoding_verdict(found), plan.is_judged, found.inside)


def _conclude(files: list[Path], verdict: str, judged: bool, inside: bool) -> None:
    for file in files:
        say(f"written: {file} ({file.stat().st_size / 1e6:.1f} MB)")
    say(verdict)
    if judged and not inside:
        raise typer.Exit(OUTSIDE)


def _stimuli(experiment: Experiment) -> Stimuli:
    return "faces" if experiment is Experiment.faces else "images"


def _run_of(seconds: float) -> dict[str, object]:
    import resource
    import time

    return {
        "command": command_line(),
        "seconds": round(seconds, 1),
        "processor_seconds": round(time.process_time(), 1),
        # Linux counts in KiB.
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }
