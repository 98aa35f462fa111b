"""The commands of b2g-offline. Thin: parse, call, print; the only place of this wing that prints."""

from __future__ import annotations

import json
import logging
import shlex
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console

from b2g_rt import __file__ as package_file
from b2g_rt.errors import B2GError, BundleError, ConfigError

if TYPE_CHECKING:
    from b2g_rt.contracts.bundle import ModelBundle
    from b2g_rt.contracts.session import SessionFile
    from b2g_rt.simulation.macaque import Macaque
    from offline.decoding.decoder import DecoderKind

SHIPPED = Path(package_file).parent / "bundles"
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
    if default == (session is not None):
        raise ConfigError(
            "fit: expected either a session or --default. See b2g-offline fit --help."
        )
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

    decoder_kind = _kind(kind or Kind.per_window)
    with SessionFile(session) as file, _stages() as stage:
        known = known_latents(file, latents)
        n_latents = len(next(iter(known.values()), ()))
        outcome = make_session_bundle(
            file,
            known,
            decoder_kind,
            _generator(generator, file, n_latents),
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
    from b2g_rt.simulation.from_record import faces_macaque
    from offline.evaluation.table import print_scores
    from offline.export.default_bundle import NAMES, TrainingPlan, make_default_bundle, windows_of

    kinds = [_kind(kind)] if kind else list(NAMES)
    if out and len(kinds) > 1:
        raise ConfigError(
            "fit --default: --out with two bundles, expected one. Add --kind per_window or --kind fixed."
        )
    macaque = faces_macaque()
    with _stages() as stage:
        stage("generator", 1)(0)
        generator = _face_generator_of(macaque)
        for one in kinds:
            folder = out or SHIPPED / NAMES[one]
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

    model = _face_generator_of(faces_macaque())
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(model)
    except OSError as error:
        raise BundleError(
            f"{out}: {error.strerror}, expected a file that can be written."
        ) from None
    console.print(f"written: {out} ({len(model) / 1e6:.1f} MB)")


@export_app.command("bundle")
def export_bundle(
    bundle: Annotated[Path, typer.Argument(help="Bundle to copy.")],
    generator: Annotated[Path, typer.Option(help="ONNX file that draws from w (1, 1, latent).")],
    out: Annotated[Path, typer.Option(help="Directory of the new bundle.")],
) -> None:
    """Copy a bundle with another generator.

    Example: b2g-offline export bundle bundles/monday --generator stylegan.onnx --out bundles/monday-stylegan
    """
    from b2g_rt.contracts.bundle import ModelBundle
    from offline.export.generator_onnx import fixed_shapes
    from offline.export.new_generator import with_generator

    source = ModelBundle(bundle)
    model = fixed_shapes(_read(generator), source.manifest.n_latents)
    _written(out, with_generator(source, model, out))


@app.command()
def evaluate(
    bundle: Annotated[Path, typer.Argument(help="Bundle, or the name of a shipped one.")],
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

    A second session: b2g-offline evaluate bundles/monday recordings/tuesday.h5 --json scores.json

    New simulated stimuli: b2g-offline evaluate simulated-faces --simulate 300
    """
    from b2g_rt.contracts.session import SessionFile
    from offline.evaluation.bundle_scores import score_session, score_simulated
    from offline.evaluation.table import print_scores

    if (session is None) == (simulate is None):
        raise ConfigError(
            "evaluate: expected either a session or --simulate N. See b2g-offline evaluate --help."
        )
    loaded = _bundle(bundle)
    with _stages(quiet=str(json_) == "-") as stage:
        if session is not None:
            from offline.export.session_bundle import known_latents

            with SessionFile(session) as file:
                known = _known(loaded, file, latents, known_latents)
                scores = score_session(loaded, file, known, stage, marker_pattern)
            title = f"{loaded.manifest.name} on {session.name}"
        else:
            scores = score_simulated(loaded, simulate or 0, seed, stage)
            title = f"{loaded.manifest.name} on {simulate} new simulated stimuli"
    text = json.dumps({"bundle": loaded.hash, "scores": scores.to_dict()}, indent=1)
    if str(json_) == "-":
        typer.echo(text)
        return
    print_scores(console, scores, loaded.windows, title)
    if json_:
        json_.write_text(text + "\n", encoding="utf-8")
        console.print(f"written: {json_}")


def _kind(kind: Kind) -> DecoderKind:
    return "fixed" if kind is Kind.fixed else "per_window"


def _known(loaded: ModelBundle, file: SessionFile, latents: Path | None, read: Callable) -> dict:
    """Return the bundle's latents, and over them those of the session or of ``--latents``."""
    known = dict(zip(loaded.stimuli.ids, loaded.stimuli.latent, strict=True))
    if latents is not None or file.stimuli() is not None:
        known.update(read(file, latents))
    return known


def _bundle(name: Path) -> ModelBundle:
    from b2g_rt.contracts.bundle import ModelBundle

    shipped = SHIPPED / name
    return ModelBundle(shipped if not name.exists() and shipped.exists() else name)


def _generator(path: Path | None, session: SessionFile, n_latents: int) -> bytes:
    """Return the generator that was given, or the face renderer for a session of the simulated macaque."""
    from b2g_rt.simulation.from_record import recorded_macaque
    from offline.export.generator_onnx import fixed_shapes

    if path is not None:
        return fixed_shapes(_read(path), n_latents)
    if not session.info.simulated:
        raise ConfigError(
            "fit: no --generator, expected an ONNX file that draws from w (1, 1, latent). For example "
            "--generator faces.onnx."
        )
    where = f"session {session.path}"
    return _face_generator_of(
        recorded_macaque(session.info.provenance, session.info.channel_map, where)
    )


def _face_generator_of(macaque: Macaque) -> bytes:
    import torch.onnx  # noqa: F401 (its loggers take their levels when it is loaded)

    from offline.export.generator_onnx import face_generator

    # torch tells of parts that are not installed and of its own deprecations: nothing a user could mend.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return face_generator(macaque)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{path}: {error.strerror}, expected an ONNX file. Check the path."
        ) from None


def _command() -> str:
    return shlex.join(["b2g-offline", *sys.argv[1:]])


def _written(folder: Path, digest: str) -> None:
    size = sum(f.stat().st_size for f in folder.iterdir()) / 1e6
    console.print(f"written: {folder} ({size:.1f} MB, {digest[:12]})")


@contextmanager
def _stages(quiet: bool = False) -> Iterator[Callable[[str, int], Callable[[int], None]]]:
    """Yield a stage: bars on a terminal, elsewhere one line per stage."""
    began = time.monotonic()
    if quiet or not console.is_terminal:

        def plain(what: str, total: int) -> Callable[[int], None]:
            if not quiet:
                console.print(f"{time.monotonic() - began:6.1f} s  {what}", highlight=False)
            return lambda done: None

        yield plain
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:

        def shown(what: str, total: int) -> Callable[[int], None]:
            task = progress.add_task(what, total=total)
            return lambda done: progress.advance(task, done)

        yield shown


def _fail(error: B2GError) -> NoReturn:
    errors.print(f"error: {error}", markup=False)
    raise SystemExit(error.exit_code)


def main() -> None:
    """Run a command; a user's mistake is one line and exit code 2."""
    try:
        app()
    except B2GError as error:
        _fail(error)
    except SystemExit as leaving:
        # typer turns Ctrl-C into this code without a word.
        if leaving.code == INTERRUPTED:
            errors.print("interrupted (fit --work DIR goes on from there)", markup=False)
        raise


if __name__ == "__main__":
    main()
