"""`b2g-offline fit`: from recordings, or from simulated ones, to a model bundle."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from b2g_rt.errors import ConfigError
from offline.commands.console import command_line, console, say, written
from offline.commands.fit_options import (
    DecoderMethod,
    DecoderOption,
    GeneratorOption,
    Groups,
    GroupsOption,
    Kind,
    KindOption,
    LiveStimuliOption,
    RoisOption,
    SmoothingMethod,
    SmoothingOption,
    SplitBy,
    SplitOption,
    WorkOption,
    refuse_choices,
    rois_of,
)
from offline.commands.options import (
    MEMORY,
    LatentsOption,
    MemoryOption,
    PatternOption,
    SchedulerOption,
)
from offline.commands.recording_options import (
    ChannelsOption,
    FormatOption,
    Gaps,
    MappingOption,
    MarkersOption,
    MonkeyOption,
    SegmentOption,
    StreamOption,
    ToleranceOption,
    reader_options,
)
from offline.stages import stages

if TYPE_CHECKING:
    from offline.decoding.decoder import DecoderKind
    from offline.export.fit_plan import FitPlan
    from offline.recordings.formats.reader import ReaderOptions
    from offline.scheduling.resources import Resources

MAKE_DEFAULT = "b2g-offline fit --default"


def fit(
    sessions: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="SESSION",
            help="Recordings of any format, in the order in which they were made; each is a day.",
        ),
    ] = None,
    default: Annotated[
        bool, typer.Option("--default", help="Make the shipped bundles from 4000 simulated trials.")
    ] = False,
    kind: KindOption = None,
    out: Annotated[Path | None, typer.Option(help="Directory of the bundle.")] = None,
    generator: GeneratorOption = None,
    decoder: DecoderOption = DecoderMethod.reduced_rank,
    smoothing: SmoothingOption = SmoothingMethod.none,
    rois: RoisOption = None,
    split: SplitOption = SplitBy.stimulus,
    latent_groups: GroupsOption = Groups.each,
    latents: LatentsOption = None,
    stimuli_from_session: Annotated[
        bool,
        typer.Option(
            "--stimuli-from-session/--no-stimuli",
            help="Whether the bundle knows the session's stimuli, so that live trials of them are scored.",
        ),
    ] = True,
    live_stimuli: LiveStimuliOption = None,
    marker_pattern: PatternOption = None,
    format_: FormatOption = None,
    channels: ChannelsOption = None,
    gaps: SegmentOption = Gaps.segment,
    tolerance_ms: ToleranceOption = 100.0,
    stream: StreamOption = None,
    markers: MarkersOption = None,
    mapping: MappingOption = None,
    monkey: MonkeyOption = None,
    work: WorkOption = None,
    scheduler: SchedulerOption = None,
    memory: MemoryOption = MEMORY,
) -> None:
    """Fit a decoder and write a model bundle.

    From a recording: b2g-offline fit recordings/monday.h5 --generator faces --out bundles/monday

    Latents in a file: b2g-offline fit monday.h5 --latents w.npz --generator faces --out bundles/monday

    On a cluster: b2g-offline fit monday.h5 --scheduler tcp://node1:8786 --memory 8GiB --out bundles/monday

    From two days: b2g-offline fit monday.nwb tuesday.nwb --split day --decoder ridge --smoothing best --out both

    The shipped bundles, resumable: b2g-offline fit --default --work .cache/fit
    """
    from offline.destinations import check_folder

    if default == bool(sessions):
        raise ConfigError(
            "fit: expected either a session or --default. See b2g-offline fit --help."
        )
    check_folder("--out", out)
    check_folder("--work", work)
    if not sessions:
        refuse_choices(
            {
                "--decoder": decoder is not DecoderMethod.reduced_rank,
                "--smoothing": smoothing is not SmoothingMethod.none,
                "--rois": rois is not None,
                "--split": split is not SplitBy.stimulus,
                "--latent-groups": latent_groups is not Groups.each,
                "--live-stimuli": live_stimuli is not None,
                "--scheduler": scheduler is not None,
            }
        )
        _fit_default(kind, out, work)
        return
    if out is None:
        raise ConfigError(
            "fit: no --out, expected the directory of the bundle. For example --out bundles/monday."
        )
    from offline.export.fit_plan import FitPlan
    from offline.recordings.known_latents import pickled
    from offline.scheduling.resources import open_resources

    plan = FitPlan(
        kind=decoder_kind_of(kind or Kind.per_window),
        method=decoder.value,
        smoothing=smoothing.value,
        rois=rois_of(rois),
        split=split.value,
        latent_groups=latent_groups.value,
    )
    options = reader_options(
        channels=channels,
        gaps=gaps,
        tolerance_ms=tolerance_ms,
        stream=stream,
        markers=markers,
        marker_pattern=marker_pattern,
        mapping=mapping,
        monkey=monkey,
        latents=pickled(latents),
    )
    files = Files(sessions, options, format_, latents, generator, live_stimuli, out, work)
    with open_resources(scheduler, memory, near=out) as resources:
        _fit_sessions(files, plan, stimuli_from_session, resources)


class Files(NamedTuple):
    """What a fit reads and writes."""

    sessions: list[Path]
    options: ReaderOptions
    format: str | None
    latents: Path | None
    generator: Path | None
    live_stimuli: Path | None
    out: Path
    work: Path | None


def _fit_sessions(files: Files, plan: FitPlan, with_stimuli: bool, resources: Resources) -> None:
    from offline.evaluation.table import print_scores
    from offline.export.default_bundle import windows_of
    from offline.export.session_bundle import make_session_bundle
    from offline.inputs import generator_for
    from offline.recordings.formats.opening import open_recording
    from offline.recordings.known_latents import known_latents

    with ExitStack() as opened, stages(console) as stage:
        recordings = [
            opened.enter_context(open_recording(path, files.options, files.format))
            for path in files.sessions
        ]
        known = known_latents(recordings, files.latents)
        live = known_latents([], files.live_stimuli) if files.live_stimuli else None
        n_latents = len(next(iter(known.values()), ()))
        outcome = make_session_bundle(
            recordings,
            known,
            plan,
            generator_for(recordings[0], files.generator, n_latents, stage),
            files.out,
            command=command_line(),
            stage=stage,
            work=files.work,
            with_stimuli=with_stimuli,
            live_stimuli=live,
            resources=resources,
        )
        ahead = [r.info.path.name for r in recordings if r.provenance().get("mua_looks_ahead")]
    print_scores(console, outcome.held_out, windows_of(plan.kind), "Held-out stimuli")
    if ahead:
        say(
            f"mua: {', '.join(ahead)} was filtered both ways, which looks ahead; live it is causal. For a live bundle "
            "convert with --mua causal."
        )
    chosen = outcome.fitted.smoothing
    if chosen:
        say(f"smoothing: {chosen['kind']} {chosen['value']:g}, chosen by held-out trials")
    written(files.out, outcome.hash)


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
