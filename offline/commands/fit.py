"""`b2g-offline fit`: from a recorded session, or from simulated ones, to a model bundle."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from b2g_rt.errors import ConfigError
from offline.commands.console import command_line, console, written
from offline.commands.options import LatentsOption, PatternOption
from offline.stages import stages

if TYPE_CHECKING:
    from offline.decoding.decoder import DecoderKind

MAKE_DEFAULT = "b2g-offline fit --default"


class Kind(StrEnum):
    """Decoder kinds."""

    per_window = "per_window"
    fixed = "fixed"


WorkOption = Annotated[
    Path | None,
    typer.Option(help="Folder for features on the way: an interrupted run goes on from there."),
]


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
        Path | None,
        typer.Option(
            help="ONNX file that draws pictures from w (1, 1, latent), or directory of export-generator."
        ),
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

    From a recording: b2g-offline fit recordings/monday.h5 --generator faces --out bundles/monday

    Latents in a file: b2g-offline fit monday.h5 --latents w.npz --generator faces --out bundles/monday

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

    decoder_kind = decoder_kind_of(kind or Kind.per_window)
    with SessionFile(session) as file, stages(console) as stage:
        known = known_latents(file, latents)
        n_latents = len(next(iter(known.values()), ()))
        outcome = make_session_bundle(
            file,
            known,
            decoder_kind,
            generator_for(file, generator, n_latents, stage),
            out,
            command=command_line(),
            stage=stage,
            work=work,
            marker_pattern=marker_pattern,
            with_stimuli=stimuli_from_session,
        )
    print_scores(console, outcome.held_out, windows_of(decoder_kind), "Held-out stimuli")
    written(out, outcome.hash)


def _fit_default(kind: Kind | None, out: Path | None, work: Path | None) -> None:
    from b2g_rt.contracts.shipped_bundles import BUNDLES
    from b2g_rt.simulation.from_record import faces_macaque
    from offline.destinations import check_folder
    from offline.evaluation.table import print_scores
    from offline.export.default_bundle import NAMES, TrainingPlan, make_default_bundle, windows_of
    from offline.export.distilled_bundle import NAME as DISTILLED_BUNDLE
    from offline.export.distilled_bundle import make_distilled_bundle
    from offline.inputs import drawn_faces

    kinds = [decoder_kind_of(kind)] if kind else list(NAMES)
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
            written(folder, outcome.hash)
        if out is None and "per_window" in folders:
            distilled = BUNDLES / DISTILLED_BUNDLE
            written(distilled, make_distilled_bundle(folders["per_window"], distilled, stage))


def decoder_kind_of(kind: Kind) -> DecoderKind:
    """Return the decoder kind of an option."""
    return "fixed" if kind is Kind.fixed else "per_window"
