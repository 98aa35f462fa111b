"""``b2g-offline project``: photographs into the w of a generator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from b2g_rt.errors import ConfigError
from offline.commands.console import command_line, console, say
from offline.commands.pace import pace
from offline.destinations import check_folder

if TYPE_CHECKING:
    from offline.stimuli.projection.result_file import ProjectedPictures
    from offline.stimuli.projection.targets import Photograph

FUSED_FROM_PX = 64
"""Resolution from which the compilation of fused activations, some seconds, is worth its time."""


def project(
    images: Annotated[
        list[Path], typer.Argument(help="Picture files, and folders with pictures (also below).")
    ],
    generator: Annotated[
        str, typer.Option(help="Directory of a generator, or a shipped one's name.")
    ],
    out: Annotated[
        Path, typer.Option(help="Directory of the result; an unfinished one is gone on with.")
    ],
    per_layer: Annotated[
        bool,
        typer.Option("--per-layer", help="One w per layer: closer pictures, less meaningful w."),
    ] = False,
    steps: Annotated[int | None, typer.Option(help="Steps of the descent.", min=20)] = None,
    starts: Annotated[
        int | None,
        typer.Option(help="Starts per picture: w_avg, and the most alike of drawn ones.", min=1),
    ] = None,
    polish: Annotated[
        int | None,
        typer.Option(help="Gauss-Newton steps at the end, each as long as many others.", min=0),
    ] = None,
    anchor: Annotated[
        float | None,
        typer.Option(
            help="Weight that holds w to w_avg, per squared SD; larger for pictures unlike the generator's.",
            min=1e-9,
        ),
    ] = None,
    class_id: Annotated[
        int | None,
        typer.Option(help="Class of all pictures: w is held to its mean. Default: mean of all."),
    ] = None,
    classes: Annotated[
        Path | None, typer.Option(help="CSV file (id,class_id): the class of each picture.")
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            help="Pictures at a time, which memory grows with. Default: 1 (1024 px) to 4, CUDA: to 8.",
            min=1,
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    seed: Annotated[int, typer.Option(help="Of the drawn starts.", min=0)] = 0,
) -> None:
    """Find the latents whose pictures come closest to given photographs.

    b2g-offline project photographs --generator procedural-faces --out projected

    Then, after recording with them: b2g-offline fit monday.h5 --latents projected/latents.npz ...

    The ids of the latents are the names of the files without suffix, in a folder their paths there. The same command
    goes on after Ctrl-C.
    """
    check_folder("--out", out)
    if class_id is not None and classes is not None:
        raise ConfigError("project: --class-id and --classes, expected one of them. Leave one out.")
    from offline.stimuli.projection.targets import find_photographs

    photographs = find_photographs(images)
    from offline.stimuli.devices import device_named
    from offline.stimuli.generators import open_generator
    from offline.stimuli.projection.batches import Projection, project_all
    from offline.stimuli.projection.memory import default_batch
    from offline.stimuli.projection.optimise import projection_settings
    from offline.stimuli.stylegan.filtered_activation import use_fused_activations

    settings = projection_settings(
        per_layer=per_layer,
        n_steps=steps,
        n_starts=starts,
        n_polish=polish,
        anchor=anchor,
        seed=seed,
    )
    used = device_named(device)
    opened = open_generator(generator).to(used)
    if used.type == "cpu" and opened.resolution >= FUSED_FROM_PX:
        use_fused_activations(opened.synthesis)
    projection = Projection(
        opened,
        photographs,
        _classes(photographs, class_id, classes),
        settings,
        batch or default_batch(opened.resolution, used),
    )
    found = _run(projection, project_all, out, str(used))
    _tell(found, len(photographs), out)


def _run(projection: Any, project_all: Any, out: Path, device: str) -> ProjectedPictures:
    from contextlib import ExitStack

    from offline.export.bundle_writing import versions

    provenance = {"command": command_line(), "device": device, "versions": versions()}
    with ExitStack() as shown:

        def begun(n_to_do: int, n_there: int, n_steps: int) -> Any:
            there = f", {n_there} are there" if n_there else ""
            say(f"{projection.generator.name}: {n_to_do} pictures to project{there}")
            return shown.enter_context(pace(console, "steps (all pictures)", n_steps))

        try:
            found: ProjectedPictures = project_all(projection, out, begun, provenance)
        except KeyboardInterrupt:
            shown.close()
            say(f"finished pictures are kept in {out}: the same command goes on")
            raise
    return found


def _classes(
    photographs: list[Photograph], class_id: int | None, table: Path | None
) -> dict[str, int]:
    if class_id is not None:
        return {p.id: class_id for p in photographs}
    if table is None:
        return {}
    from offline.stimuli.projection.targets import read_classes

    known = read_classes(table)
    missing = [p.id for p in photographs if p.id not in known]
    if missing:
        raise ConfigError(
            f"{table}: no class for {len(missing)} pictures ({missing[0]}, ...), expected one of each. Add them."
        )
    return {p.id: known[p.id] for p in photographs}


def _tell(found: ProjectedPictures, n: int, out: Path) -> None:
    import numpy as np

    psnr = np.sort(found.psnr_db[:n])
    say(f"PSNR: median {np.median(psnr):.1f} dB, {psnr[0]:.1f} to {psnr[-1]:.1f} dB ({n} pictures)")
    far = found.distance[:n]
    say(
        f"distance from the anchor: median {np.median(far):.2f}, at most {far.max():.2f} SD per direction "
        "(1: as a drawn latent)"
    )
    say(f"written: {out} (projection.h5, latents.npz, pictures/)")
