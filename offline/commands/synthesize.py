"""``b2g-offline synthesize``: draw stimulus sets, and pictures between and beyond their stimuli."""

from __future__ import annotations

import typer

from offline.commands.synthesize_between import arithmetic, interpolate
from offline.commands.synthesize_sets import faces, images

app = typer.Typer(
    no_args_is_help=True,
    help="Draw stimulus sets: PNG files, and one HDF5 file with latents, classes, seeds and hashes.",
)
for command in (faces, images, interpolate, arithmetic):
    app.command()(command)
