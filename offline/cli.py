"""The commands of b2g-offline. Thin: parse, call, print; the only place of this wing that prints."""

from __future__ import annotations

import json
import logging
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console

from b2g_rt.errors import B2GError, BundleError, ConfigError, SetupError
from offline.stages import stages

if TYPE_CHECKING:
    from offline.decoding.decoder import DecoderKind

MAKE_DEFAULT = "b2g-offline fit --default"
INTERRUPTED = 130

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Train what runs live: from a recorded session to the model bundle that b2g-rt loads.\n\n"
    "After a recording: [bold]b2g-offline fit recordings/monday.h5 --generator faces.onnx --out bundles/monday[/], "
    "then [bold]b2g-offline evaluate bundles/monday recordings/tuesday.h5[/], then "
    "[bold]b2g-rt serve --set bundle=bundles/monday[/]. Without a recording: the shipped bundle was made by "
    f"[bold]{MAKE_DEFAULT}[/].",
)
export_app = typer.Typer(
    no_args_is_help=True, help="Write ONNX files and bundles with another generator."
)
app.add_typer(export_app, name="export")
console = Console()
errors = Console(stderr=True, highlight=False, soft_wrap=True)


class Kind(StrEnum):
    """Decoder kinds."""

    per_window = "per_window"
    fixed = "fixed"


WorkOption = Annotated[
    Path | None,
    typer.Option(help="Folder for features on the way: an interrupted run goes on from there."),
]
LatentsOption = Annotated[
    Path | None,
    typer.Option(
        help="Latents of the stimuli: .npz with id (stimulus,) and latent (stimulus, latent)."
    ),
]
PatternOption = Annotated[
    str | None,
    typer.Option(
        help="Regular expression of onset markers with a group 'stimulus', as streams.marker_pattern."
    ),
]


@app.callback()
def _options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
) -> None:
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.WARNING,
        format="%(levelname)s %(name)s %(message)s",
        stream=sys.stderr,
    )


@app.command()
def fit(
    session: Annotated[Path | None, typer.Argument(help="Recorded session (HDF5).")] = None,
    default: Annotated[
        bool, typer.Option("--default", help="Make the shipped bundles from 4000 simulated trials.")
    ] = False,
    kind: Annotated[
        Kind | None,
        typer.Option(
            help="per_window: one decoder per window after the onset marker. fixed: one decoder for the ROI windows, "
            "slid freely, no marker needed live. Default: per_window; with --default both."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Directory of the bundle.")] = None,
    generator: Annotated[
        Path | None, typer.Option(help="ONNX file that draws pictures from w (1, 1, latent).")
    ] = None,
    latents: LatentsOption = None,
    stimuli_from_session: Annotated[
        bool,
        typer.Option(
            "--stimuli-from-session/--no-stimuli",
            help="Whether the bundle knows the session's stimuli, so that live trials of them are scored.",
        ),
    ] = True,
    marker_pattern: PatternOption = None,
    work: WorkOption = None,
) -> None:
    """Fit a decoder and write a model bundle.

    From a recording: b2g-offline fit recordings/monday.h5 --generator faces.onnx --out bundles/monday

    Latents in a file: b2g-offline fit monday.h5 --latents w.npz --generator faces.onnx --out bundles/monday

    The shipped bundles, resumable: b2g-offline fit --default --work .cache/fit
    """
    from offline.destinations import check_folder

    if default == (session is not None):
        raise ConfigError(
            "fit: expected either a session or --default. See b2g-offline fit --help."
        )
    check_folder("--out", out)
    check_folder("--work", work)
    if session is None:
        _fit_default(kind, out, work)
        return
    if out is None:
        raise ConfigError(
            "fit: no --out, expected the directory of the bundle. For example --out bundles/monday."
        )
    from b2g_rt.contracts.session import SessionFile
    from offline.evaluation.table import print_scores
    from offline.export.default_bundle import windows_of
    from offline.export.session_bundle import known_latents, make_session_bundle
    from offline.inputs import generator_for

    decoder_kind = _kind(kind or Kind.per_window)
    with SessionFile(session) as file, stages(console) as stage:
        known = known_latents(file, latents)
        n_latents = len(next(iter(known.values()), ()))
        outcome = make_session_bundle(
            file,
            known,
            decoder_kind,
            generator_for(file, generator, n_latents, stage),
            out,
            command=_command(),
            stage=stage,
            work=work,
            marker_pattern=marker_pattern,
            with_stimuli=stimuli_from_session,
        )
    print_scores(console, outcome.held_out, windows_of(decoder_kind), "Held-out stimuli")
    _written(out, outcome.hash)


def _fit_default(kind: Kind | None, out: Path | None, work: Path | None) -> None:
    from b2g_rt.contracts.shipped_bundles import BUNDLES
    from b2g_rt.simulation.from_record import faces_macaque
    from offline.destinations import check_folder
    from offline.evaluation.table import print_scores
    from offline.export.default_bundle import NAMES, TrainingPlan, make_default_bundle, windows_of
    from offline.inputs import drawn_faces

    kinds = [_kind(kind)] if kind else list(NAMES)
    if out and len(kinds) > 1:
        raise ConfigError(
            "fit --default: --out with two bundles, expected one. Add --kind per_window or --kind fixed."
        )
    folders = {one: out or BUNDLES / NAMES[one] for one in kinds}
    for folder in folders.values():
        check_folder("fit --default:", folder)
    macaque = faces_macaque()
    with stages(console) as stage:
        generator = drawn_faces(macaque, stage)
        for one, folder in folders.items():
            outcome = make_default_bundle(
                macaque,
                one,
                generator,
                folder,
                plan=TrainingPlan(),
                work=work,
                command=MAKE_DEFAULT,
                stage=stage,
            )
            spec = windows_of(one)
            print_scores(console, outcome.held_out, spec, f"{one}: held-out stimuli")
            print_scores(console, outcome.demo, spec, f"{one}: the demo's stimuli")
            _written(folder, outcome.hash)


@export_app.command("generator")
def export_generator(
    out: Annotated[Path, typer.Option(help="ONNX file to write.")],
) -> None:
    """Write the face renderer of the simulated macaque as ONNX.

    Example: b2g-offline export generator --out faces.onnx
    """
    from b2g_rt.simulation.from_record import faces_macaque
    from offline.destinations import check_file
    from offline.inputs import drawn_faces

    check_file("--out", out, make_folder=True)
    with stages(console) as stage:
        model = drawn_faces(faces_macaque(), stage)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(model)
    except OSError as error:
        raise BundleError(
            f"{out}: {error.strerror}, expected a file that can be written."
        ) from None
    _say(f"written: {out} ({len(model) / 1e6:.1f} MB)")


@export_app.command("bundle")
def export_bundle(
    bundle: Annotated[
        str, typer.Argument(help="Bundle to copy: a directory, or the name of a shipped one.")
    ],
    generator: Annotated[Path, typer.Option(help="ONNX file that draws from w (1, 1, latent).")],
    out: Annotated[Path, typer.Option(help="Directory of the new bundle.")],
) -> None:
    """Copy a bundle with another generator.

    Example: b2g-offline export bundle bundles/monday --generator stylegan.onnx --out bundles/monday-stylegan
    """
    from offline.destinations import check_folder
    from offline.export.generator_onnx import fixed_shapes
    from offline.export.new_generator import with_generator
    from offline.inputs import find_bundle, read_model

    check_folder("--out", out)
    source = find_bundle(bundle)
    model = fixed_shapes(read_model(generator), source.manifest.n_latents)
    _written(out, with_generator(source, model, out))


@app.command()
def evaluate(
    bundle: Annotated[str, typer.Argument(help="Bundle, or the name of a shipped one.")],
    session: Annotated[
        Path | None, typer.Argument(help="Held-out recorded session (HDF5).")
    ] = None,
    simulate: Annotated[
        int | None,
        typer.Option(min=2, help="Simulate so many trials of new stimuli instead of a session."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the simulated stimuli and noise.")] = 9000,
    latents: LatentsOption = None,
    marker_pattern: PatternOption = None,
    json_: Annotated[
        Path | None,
        typer.Option("--json", help="Write the scores to a file too ('-': print JSON only)."),
    ] = None,
) -> None:
    """Score single trials of a recording the bundle was not fitted on.

    Stimuli that were in training are scored apart, under a title that says so.

    A second session: b2g-offline evaluate bundles/monday recordings/tuesday.h5 --json scores.json

    New simulated stimuli: b2g-offline evaluate simulated-faces --simulate 300
    """
    from b2g_rt.contracts.session import SessionFile
    from offline.destinations import check_file
    from offline.evaluation.bundle_scores import SessionScores, score_session, score_simulated
    from offline.evaluation.table import print_session_scores
    from offline.inputs import find_bundle, latents_for

    if (session is None) == (simulate is None):
        raise ConfigError(
            "evaluate: expected either a session or --simulate N. See b2g-offline evaluate --help."
        )
    to_stdout = str(json_) == "-"
    check_file("--json", None if to_stdout else json_)
    loaded = find_bundle(bundle)
    with stages(console, quiet=to_stdout) as stage:
        if session is not None:
            with SessionFile(session) as file:
                known = latents_for(loaded, file, latents)
                scores = score_session(loaded, file, known, stage, marker_pattern)
            title = f"{loaded.manifest.name} on {session.name}"
        else:
            new = score_simulated(loaded, simulate or 0, seed, stage)
            scores = SessionScores(new, None, named=True)
            title = f"{loaded.manifest.name} on {simulate} new simulated stimuli"
    text = json.dumps({"bundle": loaded.hash, **scores.to_dict()}, indent=1)
    if to_stdout:
        typer.echo(text)
        return
    print_session_scores(console, scores, loaded.windows, title)
    if json_:
        try:
            json_.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise ConfigError(
                f"--json {json_}: {error.strerror}, expected a file that can be written."
            ) from None
        _say(f"written: {json_}")


def _kind(kind: Kind) -> DecoderKind:
    return "fixed" if kind is Kind.fixed else "per_window"


def _command() -> str:
    return shlex.join(["b2g-offline", *sys.argv[1:]])


def _written(folder: Path, digest: str) -> None:
    size = sum(f.stat().st_size for f in folder.iterdir()) / 1e6
    _say(f"written: {folder} ({size:.1f} MB, {digest[:12]})")


def _say(line: str) -> None:
    """Print a line as it is: brackets in a path are no markup, and no figure is broken in two."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _fail(error: B2GError) -> NoReturn:
    errors.print(f"error: {error}", markup=False)
    raise SystemExit(error.exit_code)


def _not_installed(error: ModuleNotFoundError) -> SetupError:
    package = (error.name or str(error)).partition(".")[0]
    if package in ("b2g_rt", "offline"):
        raise error
    return SetupError(
        f"b2g-offline: {package} is not installed, expected the packages for training. Install them with make "
        "setup-dev, or pip install -c constraints.txt -e '.[offline]'."
    )


def main() -> None:
    """Run a command; a user's mistake is one line and exit code 2."""
    try:
        app()
    except B2GError as error:
        _fail(error)
    except ModuleNotFoundError as error:
        _fail(_not_installed(error))
    except SystemExit as leaving:
        # typer turns Ctrl-C into this code without a word.
        if leaving.code == INTERRUPTED:
            errors.print("interrupted (fit --work DIR goes on from there)", markup=False)
        raise


if __name__ == "__main__":
    main()
