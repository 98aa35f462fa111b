"""`b2g-offline export-generator`: a generator as ONNX files that run anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offline.commands.console import command_line, console, say, written
from offline.destinations import check_folder
from offline.stages import stages


def export_generator(
    generator: Annotated[
        str,
        typer.Argument(
            help="Directory of a generator (import-checkpoint, train-generator), or a shipped one's name."
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Directory to write; an earlier export in it is replaced.")
    ],
    half: Annotated[
        bool, typer.Option("--half", help="Compute pictures in float16: for GPUs.")
    ] = False,
    uint8: Annotated[
        bool,
        typer.Option(
            "--uint8", help="Pictures as bytes (N, row, col, rgb), so that a GPU returns bytes."
        ),
    ] = False,
    name: Annotated[
        str | None, typer.Option(help="For the manifest. Default: the generator's.")
    ] = None,
) -> None:
    """Write a generator as ONNX: mapping.onnx (z to w), synthesis.onnx (w to pictures) and manifest.json.

    For a CPU: b2g-offline export-generator generators/ffhq --out exported/ffhq

    For a GPU: b2g-offline export-generator generators/ffhq --half --uint8 --out exported/ffhq-half

    Both files are compared with torch, element by element, before the directory appears.
    """
    check_folder("--out", out)
    with stages(console) as stage:
        done = stage("generator: torch and weights", 1)
        from offline.export.stylegan.directory import SYNTHESIS, export_network
        from offline.stimuli.generators import open_generator

        opened = open_generator(generator)
        done(1)
        manifest = export_network(
            opened, out, half=half, uint8=uint8, stage=stage, name=name, command=command_line()
        )
    for worst in manifest["parity"]["worst"]:
        unit = "SD" if worst["share"] is None else "grey levels"
        say(
            f"{worst['what']:5s} {worst['of']:11s} worst element {worst['error']:.2g} {unit} off torch's, "
            f"{worst['tolerance']:g} allowed"
        )
    written(out, manifest["files"][SYNTHESIS]["sha256"])
