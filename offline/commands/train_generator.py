"""``b2g-offline train-generator``: train the small generator that ships with the project."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from b2g_rt.errors import ConfigError
from offline.commands.console import console, say
from offline.destinations import check_folder

if TYPE_CHECKING:
    from offline.stimuli.distilled.evaluation import Likeness
    from offline.stimuli.distilled.training import Training

SHEETS_OF = "distilled-faces"
ROUND = 1000


def train_generator(
    out: Annotated[
        Path | None, typer.Option(help="Directory of the generator: generator.json, .safetensors.")
    ] = None,
    minutes: Annotated[
        float, typer.Option(help="How long to train, active minutes in all.", min=0.01)
    ] = 85.0,
    work: Annotated[
        Path | None,
        typer.Option(help="Folder of the checkpoint. Default: the --out directory's name + -work."),
    ] = None,
    sheets: Annotated[
        Path | None,
        typer.Option(help="Draw contact sheets of a generator into this folder (see --of)."),
    ] = None,
    of: Annotated[
        str, typer.Option("--of", help="Without --out: the generator on the sheets.")
    ] = SHEETS_OF,
) -> None:
    """Train a small StyleGAN3 network to draw what the procedural face renderer draws.

    It takes --minutes on two cores; Ctrl-C keeps the checkpoint, and the same command goes on from there. The result
    is an ordinary generator: export-generator, synthesize and project take its directory.

    Example: b2g-offline train-generator --out generators/faces --minutes 85
    """
    if out is None and sheets is None:
        raise ConfigError("train-generator: neither --out nor --sheets, expected one of them.")
    check_folder("--out", out)
    check_folder("--work", work)
    check_folder("--sheets", sheets)
    # Before torch is loaded: OpenMP's idle threads would spin on the cores that other threads of ours work on.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if out is not None:
        _train(out, minutes, work or out.with_name(f"{out.name}-work"))
    if sheets is not None:
        _sheets(str(out or of), sheets)


def _train(out: Path, minutes: float, work: Path) -> None:
    from offline.commands.pace import pace
    from offline.stimuli.distilled.pictures import OnnxRenderer
    from offline.stimuli.distilled.plan import Plan
    from offline.stimuli.distilled.result import ship
    from offline.stimuli.distilled.training import Budget, Training
    from offline.stimuli.stylegan.filtered_activation import fused_activations_exist

    work.mkdir(parents=True, exist_ok=True)
    say("renderer: exported for the targets, half a minute the first time")
    renderer = OnnxRenderer(work / "renderer.onnx")
    training = Training(Plan(), renderer, work, Budget(minutes=minutes))
    if training.step:
        say(f"goes on after step {training.step}, {training.seconds / 60:.1f} active minutes")
    if not fused_activations_exist():
        say("numba is not installed: training is about five times slower. pip install numba")
    shown = round(training.progress * ROUND)
    with pace(console, f"of {ROUND} parts", ROUND) as step:
        step(shown)

        def done(progress: float) -> None:
            nonlocal shown
            now = round(progress * ROUND)
            step(now - shown)
            shown = now

        finished = training.run(done, _say_state)
    if not finished:
        say(f"stopped after step {training.step}; what is learnt is kept in {work}")
        raise KeyboardInterrupt
    found = ship(training, out)
    say(f"{training.step} steps, {training.images} pictures, {training.seconds / 60:.1f} minutes")
    for one in found:
        say(_line(one))
    say(f"written: {out}")


def _say_state(training: Training) -> None:
    if training.history and not console.is_terminal:
        step, progress, phase, loss = training.history[-1]
        size = training.plan.phases[phase].rate
        say(f"  step {step}, {progress:.1%}, {size} px, loss {loss:.4f}")


def _line(one: Likeness) -> str:
    return (
        f"psi {one.psi:g}: PSNR {one.psnr_db:.1f} dB (worst {one.psnr_worst_db:.1f}), sharpness {one.sharpness:.2f} "
        f"and variety {one.variety:.2f} of the renderer's"
    )


def _sheets(generator: str, folder: Path) -> None:
    from offline.stimuli.distilled.result import draw_sheets
    from offline.stimuli.generators import open_generator

    for file in draw_sheets(open_generator(generator), folder):
        say(f"written: {file}")
