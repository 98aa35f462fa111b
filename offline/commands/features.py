"""``b2g-offline features``: what networks make of pictures, and latents, as feature files."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from b2g_rt.errors import ConfigError
from offline.commands.console import command_line, console, say
from offline.commands.feature_sheet import write_sheet
from offline.commands.latent_features import Latents, latent_features
from offline.commands.network_features import (
    BATCH_CPU,
    BATCH_CUDA,
    NetworkChoice,
    network_features,
)
from offline.commands.options import MEMORY, MemoryOption, SchedulerOption
from offline.destinations import check_file, check_folder
from offline.stages import stages

if TYPE_CHECKING:
    from offline.features.store import FeatureFile


class DeviceName(StrEnum):
    """Where networks are run."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


def features(
    pictures: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Directory of a stimulus set, folders of PNG or JPEG files, or files. With --latents: a stimulus "
            "set, latents.npz, or Brain2GAN's *_w.pickle."
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            help="vgg16, vgg-face, clip, open_clip:MODEL/TAG, torchvision:NAME, timm:NAME, efficientnet-lite0."
        ),
    ] = None,
    latents: Annotated[
        list[Latents] | None,
        typer.Option(help="Instead of a network: the latents of the stimuli. Twice for both."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Feature file (a Zarr directory); an unfinished one is gone on with."),
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(
            help="Layers by name, with commas between them; the network's own by default."
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="Weights from this file; by default those that the library keeps."),
    ] = None,
    paper: Annotated[
        bool,
        typer.Option("--paper", help="vgg-face: red first, as the published notebook did."),
    ] = False,
    device: Annotated[
        DeviceName, typer.Option(help="Where to compute; auto: CUDA where torch finds it.")
    ] = DeviceName.auto,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=f"Pictures at a time. Default: {BATCH_CPU} on the CPU, {BATCH_CUDA} on CUDA.",
        ),
    ] = None,
    random_weights: Annotated[
        int | None,
        typer.Option(min=0, metavar="SEED", help="Random weights of this seed: no file is needed."),
    ] = None,
    side: Annotated[
        int | None,
        typer.Option(min=8, help="Rows and columns of the input; the published number by default."),
    ] = None,
    counted: Annotated[
        bool,
        typer.Option(
            "--counted",
            help="Ids as Brain2GAN's responses count: the first training picture is training/0001, though its file be "
            "training/0201, as of the natural images.",
        ),
    ] = False,
    sheet: Annotated[
        int, typer.Option(min=0, help="So many pictures on the sheet beside the file; 0: none.")
    ] = 6,
    save_weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="vgg-face: write the weights of the Torch7 file as safetensors."
        ),
    ] = None,
    scheduler: SchedulerOption = None,
    memory: MemoryOption = MEMORY,
) -> None:
    """Compute the features of stimuli, for b2g-offline encode.

    The paper's, of faces: b2g-offline features stimuli/faces --network vgg-face --weights VGG_FACE.t7 --out faces-vgg.zarr

    Of natural images: b2g-offline features stimuli/images --network vgg16 --out images-vgg16.zarr

    Their latents: b2g-offline features stimuli/faces --latents w --out faces-w.zarr

    The same command goes on after Ctrl-C or a kill.
    """  # noqa: E501 (a command that can be copied)
    check_file("--save-weights", save_weights, make_folder=True)
    if save_weights is not None:
        _save_weights(network, weights, save_weights)
        if not pictures and out is None:
            return
    if (network is None) == (not latents):
        raise ConfigError(
            "features: expected --network NAME, or --latents w. See b2g-offline features --help."
        )
    if out is None or not pictures:
        raise ConfigError(
            "features: expected PICTURES and --out FILE. See b2g-offline features --help."
        )
    check_folder("--out", out)
    if network is None:
        _check_no_network(layers, weights, random_weights, side)
        with stages(console) as stage:
            command = command_line()
            told(latent_features(pictures, latents or [], out, counted, command, stage))
        return
    names = None if layers is None else tuple(name.strip() for name in layers.split(","))
    choice = NetworkChoice(network, names, weights, paper, device.value, random_weights, side)
    with stages(console) as stage:
        made, found = network_features(
            pictures, choice, out,
            batch=batch, counted=counted, scheduler=scheduler, memory=memory, stage=stage,
        )  # fmt: skip
    told(made)
    if sheet:
        say(f"written: {write_sheet(made, found[:sheet])}")


def told(made: FeatureFile) -> None:
    """Say what is in a feature file."""
    for name in made.spaces:
        space = made.space(name)
        shape = " x ".join(map(str, space.shape))
        equals = f" = {space.n_features}" if len(space.shape) > 1 else ""
        gigabytes = 4e-9 * space.n_features * len(made.ids)
        say(f"{name}: {shape}{equals} features of {len(made.ids)} stimuli, {gigabytes:.3g} GB")
    size = sum(file.stat().st_size for file in made.path.rglob("*") if file.is_file()) / 1e6
    digest = made.attributes["content_hash"]
    say(f"written: {made.path} ({size:.1f} MB on the disk, content {digest[:12]})")


def _check_no_network(*options: object) -> None:
    if any(option is not None for option in options):
        raise ConfigError(
            "--latents: with an option of networks (--layers, --weights, --random-weights, --side), expected none. "
            "Latents are read, not computed."
        )


def _save_weights(network: str | None, weights: Path | None, out: Path) -> None:
    if network != "vgg-face" or weights is None:
        raise ConfigError(
            "--save-weights: expected --network vgg-face and --weights FILE, its Torch7 file. See b2g-offline features "
            "--help."
        )
    from offline.features.vgg_face import write_safetensors

    write_safetensors(weights, out)
    say(f"written: {out} ({out.stat().st_size / 1e6:.1f} MB)")
