"""What the ``synthesize`` commands share: options, and drawing with progress."""

from __future__ import annotations

from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from offline.commands.console import command_line, console, say
from offline.commands.pace import pace

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from offline.stimuli.generators import PictureGenerator
    from offline.stimuli.synthesis.plans import StimulusPlan
    from offline.stimuli.synthesis.render import Drawing

FACES = "procedural-faces"


class DeviceName(StrEnum):
    """Where pictures are drawn."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


OutOption = Annotated[
    Path, typer.Option(help="Directory of the set; an unfinished one is gone on with.")
]
DeviceOption = Annotated[
    DeviceName, typer.Option(help="Where to draw; auto: CUDA where torch finds it.")
]
BatchOption = Annotated[
    int | None,
    typer.Option(help="Pictures at a time. Default: 1 on the CPU, 8 on CUDA.", min=1),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        help="Threads that write PNG files, and on the CPU draw small pictures. Default: one per core, at most 8.",
        min=1,
    ),
]


def make(
    plan: StimulusPlan,
    w: NDArray[np.float32] | None,
    generator: PictureGenerator,
    out: Path,
    drawing: Drawing,
    *,
    settings: dict[str, Any],
    provenance: dict[str, Any],
    limit: int | None = None,
    columns: dict[str, NDArray[Any]] | None = None,
) -> None:
    """Draw and write a set; without ``w``, from the plan's own z. See ``make_set``."""
    from importlib.metadata import version

    from offline.export.bundle_writing import versions
    from offline.stimuli.synthesis.render import latents_of
    from offline.stimuli.synthesis.stimulus_set import digest_of_plan, make_set

    if w is None:
        w = latents_of(plan, generator)
    else:
        settings = {**settings, "stimuli": digest_of_plan(plan, w)}
    made_by = {
        **provenance,
        "command": command_line(),
        "versions": {**versions(), "pillow": version("pillow")},
    }
    with ExitStack() as shown:

        def begun(n_to_draw: int, n_there: int) -> Any:
            there = f", {n_there} are there" if n_there else ""
            say(f"{generator.name}: {n_to_draw} pictures to draw{there}")
            return shown.enter_context(pace(console, "pictures", n_to_draw))

        try:
            make_set(
                plan, w, generator, out, drawing, settings=settings, provenance=made_by,
                limit=limit, columns=columns, begun=begun,
            )  # fmt: skip
        except KeyboardInterrupt:
            shown.close()
            say(f"what is drawn is kept in {out}: the same command goes on")
            raise


def told(out: Path, plan: StimulusPlan, more: str = "") -> None:
    """Say what was written."""
    from offline.stimuli.synthesis.stimulus_file import LATENTS, STIMULI

    files = ", ".join(name for name in (STIMULI, LATENTS, more) if name)
    say(f"written: {out} ({len(plan)} pictures, {files})")
