"""`b2g-offline profile-generator`: what each layer of a synthesis costs, takes and could take at best."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from b2g_rt.errors import ConfigError, GeneratorError
from offline.commands.console import console, say
from offline.stages import stages

if TYPE_CHECKING:
    from offline.stimuli.stylegan.synthesis import Synthesis


def profile_generator(
    generator: Annotated[
        str,
        typer.Argument(
            help="A generator's directory, the name of a shipped one, or of a published network, which is built with "
            "random weights."
        ),
    ],
    threads: Annotated[int, typer.Option(min=1, help="Of ONNX Runtime.")] = 2,
    batch: Annotated[int, typer.Option(min=1, help="Pictures drawn together.")] = 1,
    seconds: Annotated[float, typer.Option(min=0.0, help="Measure for so long, twice.")] = 3.0,
    measure: Annotated[
        bool, typer.Option("--measure/--no-measure", help="Whether to run it, or to count only.")
    ] = True,
    gpu: Annotated[
        list[str] | None,
        typer.Option(
            help="Also give the floor on a GPU, an estimate from its data sheet: H100, A100, L40S, 'RTX 4090', "
            "'RTX 3090', T4, or TFLOPS,GB/s. May be repeated."
        ),
    ] = None,
    json_: Annotated[
        Path | None,
        typer.Option("--json", help="Write the figures to a file too ('-': print JSON only)."),
    ] = None,
) -> None:
    """Show per layer: operations, memory traffic, measured time and the floor that this machine or a GPU allows.

    The shipped network: b2g-offline profile-generator distilled-faces

    A published one on a GPU that is not here: b2g-offline profile-generator stylegan3-r-ffhq-1024x1024 --no-measure
    --gpu H100
    """
    from offline.destinations import check_file
    from offline.export.stylegan.device_peaks import gpu_named, machine_peaks
    from offline.export.stylegan.profile_table import as_dict, print_profile, profiled

    to_stdout = str(json_) == "-"
    check_file("--json", None if to_stdout else json_)
    gpus = [gpu_named(text) for text in gpu or []]
    with stages(console, quiet=to_stdout) as stage:
        stage(f"building {generator}", 1)
        synthesis = _synthesis(generator)
        figures = profiled(
            synthesis,
            gpus,
            threads=threads,
            batch=batch,
            seconds=seconds if measure else None,
            peaks=machine_peaks(threads),
            stage=stage,
        )
    text = json.dumps(as_dict(figures), indent=1)
    if to_stdout:
        typer.echo(text)
        return
    print_profile(console, figures)
    if inferred := _unverified(generator):
        say(f"{generator}: inferred, not compared with a file: {inferred}")
    if json_:
        try:
            json_.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"--json {json_}: {error.strerror}, expected a file that can be written."
            ) from None
        say(f"written: {json_}")


def _unverified(name: str) -> str:
    from offline.stimuli.stylegan.published import NETWORKS

    return "" if name not in NETWORKS or Path(name).is_dir() else NETWORKS[name].unverified


def _synthesis(name: str) -> Synthesis:
    """Return a generator's synthesis; a published network is built from its numbers.

    Raises
    ------
    GeneratorError
        Nothing of that name, or it is no StyleGAN.
    """
    from offline.stimuli.stylegan.published import NETWORKS, published
    from offline.stimuli.stylegan.synthesis import Synthesis

    if name in NETWORKS and not Path(name).is_dir():
        return Synthesis(published(name)).eval()
    from offline.stimuli.generators import open_generator

    synthesis = open_generator(name).synthesis
    if not isinstance(synthesis, Synthesis):
        raise GeneratorError(
            f"generator {name}: it has no layers, expected a StyleGAN: a directory, distilled-faces, or a published "
            "network by name."
        )
    return synthesis
