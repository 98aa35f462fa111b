"""`b2g-offline export-bundle`: a copy of a bundle that draws with another generator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from offline.commands.console import written


def export_bundle(
    bundle: Annotated[
        str, typer.Argument(help="Bundle to copy: a directory, or the name of a shipped one.")
    ],
    generator: Annotated[
        Path,
        typer.Option(
            help="ONNX file that draws from w (1, 1, latent), or directory of export-generator."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Directory of the new bundle.")],
) -> None:
    """Copy a bundle with another generator.

    Example: b2g-offline export-bundle bundles/monday --generator exported/ffhq --out bundles/monday-stylegan
    """
    from offline.destinations import check_folder
    from offline.export.generator_onnx import fixed_shapes
    from offline.export.new_generator import with_generator
    from offline.inputs import find_bundle, read_model

    check_folder("--out", out)
    source = find_bundle(bundle)
    model = fixed_shapes(read_model(generator), source.manifest.n_latents)
    written(out, with_generator(source, model, out))
