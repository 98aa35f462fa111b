"""`b2g-offline import-checkpoint`: from an official .pkl to a generator's directory, executing nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from b2g_rt.errors import ConfigError
from offline.commands.console import command_line, console, say, written
from offline.stages import stages

if TYPE_CHECKING:
    from offline.stimuli.checkpoints.official import Checkpoint

_MOST_NAMES = 6


def import_checkpoint(
    file: Annotated[
        Path, typer.Argument(help="Official StyleGAN3 or StyleGAN-XL checkpoint (.pkl).")
    ],
    out: Annotated[Path, typer.Option(help="Directory of the generator.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a generator that is in the directory.")
    ] = False,
) -> None:
    """Import a checkpoint as plain numbers and tensors; nothing in the file is executed.

    Takes the averaged generator (G_ema) alone. What else the file holds is named and left alone.

    Example: b2g-offline import-checkpoint stylegan3-r-ffhq-1024x1024.pkl --out generators/ffhq
    """
    from offline.destinations import check_folder

    check_folder("--out", out)
    if (out / "generator.json").exists() and not overwrite:
        raise ConfigError(
            f"--out {out}: holds a generator, expected a directory without one. Add --overwrite, or name another."
        )
    from offline.stimuli.checkpoints.official import read_checkpoint
    from offline.stimuli.stylegan.directory import save_generator, weights_sha256

    with stages(console) as stage:
        checkpoint = read_checkpoint(file, stage)
        stage("generator.safetensors and generator.json", 1)
        save_generator(
            checkpoint.generator, out, {**checkpoint.provenance, "command": command_line()}
        )
    _tell(checkpoint)
    written(out, weights_sha256(out))


def _tell(checkpoint: Checkpoint) -> None:
    spec = checkpoint.spec
    class_name, version = checkpoint.class_names[""]
    n_parameters = sum(p.numel() for p in checkpoint.generator.parameters())
    say(f"file: SHA-256 {checkpoint.provenance['sha256']}")
    say(f"network: {class_name}" + (f" (class version {version})" if version is not None else ""))
    say(f"picture: {spec.resolution} x {spec.resolution}, rgb")
    classes = f"{spec.n_classes} ({spec.mapping.embedding})" if spec.n_classes else "none"
    say(f"z: {spec.z_dim}, classes: {classes}, w: {spec.num_ws} rows of {spec.w_dim}")
    say(f"parameters: {n_parameters / 1e6:.1f} million in {len(spec.layers)} layers")
    if checkpoint.published:
        say(f"same numbers as: {_some(checkpoint.published)}")
    if checkpoint.left:
        say(f"left alone: {_some(checkpoint.left)}")
    if checkpoint.foreign_names:
        say(f"named there, never looked up: {_some(checkpoint.foreign_names)}")
    for remark in checkpoint.remarks:
        say(f"note: {remark}; the file's own numbers are used")


def _some(names: tuple[str, ...]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
