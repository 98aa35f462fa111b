"""`b2g-offline encode`: which feature space predicts each electrode of a recording."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from b2g_rt.errors import ConfigError
from offline.commands.console import command_line, console, say
from offline.commands.options import MEMORY, MemoryOption, PatternOption, SchedulerOption
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
    from offline.encoding.every_space import EncodedSpaces
    from offline.encoding.joint_encoding import JointScores
    from offline.encoding.kernels import Kernels
    from offline.encoding.layer_assignment import LayerAssignment
    from offline.encoding.responses import EncodingResponses
    from offline.encoding.rsa import RsaScores
    from offline.features.store import StoredFeatures


class RuleName(StrEnum):
    """How the regularisation is chosen."""

    cross_validation = "cross-validation"
    degrees_of_freedom = "degrees-of-freedom"


class CorrectionName(StrEnum):
    """Corrections over electrodes."""

    bonferroni = "bonferroni"
    fdr = "fdr"
    none = "none"


class DeviceName(StrEnum):
    """Where kernels are multiplied and solved."""

    cpu = "cpu"
    cuda = "cuda"
    auto = "auto"


def encode(
    recordings: Annotated[
        list[Path],
        typer.Argument(help="Recordings of any format, of the same electrodes; one a day."),
    ],
    features: Annotated[
        list[Path],
        typer.Option(
            help="Feature file of b2g-offline features; may be repeated. Spaces are compared in this order, lowest of "
            "the hierarchy first."
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Directory of encoding.json, report.html and encoder/.")
    ],
    space: Annotated[
        list[str] | None,
        typer.Option(help="Only this feature space of the files; may be repeated."),
    ] = None,
    rule: Annotated[
        RuleName,
        typer.Option(
            help="How each electrode's regularisation is chosen: by held-out error, or the paper's grid of degrees of "
            "freedom."
        ),
    ] = RuleName.cross_validation,
    correction: Annotated[
        CorrectionName, typer.Option(help="Over electrodes, of what is called significant.")
    ] = CorrectionName.bonferroni,
    time: Annotated[bool, typer.Option("--time", help="The nine windows, too.")] = False,
    joint: Annotated[
        bool,
        typer.Option("--joint", help="All spaces together, and what each adds (banded ridge)."),
    ] = False,
    rsa: Annotated[
        bool, typer.Option("--rsa", help="Similarity of dissimilarities, ROIs by spaces.")
    ] = False,
    device: Annotated[DeviceName, typer.Option(help="Of kernels and solutions.")] = DeviceName.cpu,
    marker_pattern: PatternOption = None,
    format_: FormatOption = None,
    channels: ChannelsOption = None,
    gaps: SegmentOption = Gaps.segment,
    tolerance_ms: ToleranceOption = 100.0,
    stream: StreamOption = None,
    markers: MarkersOption = None,
    mapping: MappingOption = None,
    monkey: MonkeyOption = None,
    scheduler: SchedulerOption = None,
    memory: MemoryOption = MEMORY,
) -> None:
    """Fit feature spaces to the responses of electrodes, and say which predicts each one best.

    Fits single training trials, scores means over repeats of test stimuli. Stimuli are matched by their ids: those of
    pictures' files without the ending, as markers name them.

    A recording and two files: b2g-offline encode monday.h5 --features vgg.zarr --features w.zarr --out encoded --time

    Live, predicted beside observed: b2g-rt serve --set encoder=encoded/encoder

    In a decoder's report: b2g-offline evaluate bundles/monday tuesday.h5 --report report --encoding encoded
    """
    from contextlib import ExitStack

    from offline.destinations import check_folder
    from offline.encoding.every_space import Fitting, encode_spaces, joint_scores, rsa_scores
    from offline.encoding.layer_assignment import assign_layers
    from offline.encoding.recorded_responses import encoding_responses
    from offline.recordings.formats.opening import open_recording
    from offline.scheduling.resources import open_resources

    check_folder("--out", out)
    spaces, attributes = _spaces(features, space)
    options = reader_options(
        channels=channels,
        gaps=gaps,
        tolerance_ms=tolerance_ms,
        stream=stream,
        markers=markers,
        marker_pattern=marker_pattern,
        mapping=mapping,
        monkey=monkey,
        latents=None,
    )
    with (
        stages(console) as stage,
        open_resources(scheduler, memory, near=out) as resources,
        ExitStack() as opened,
    ):
        readers = [
            opened.enter_context(open_recording(path, options, format_)) for path in recordings
        ]
        n_samples = sum(reader.n_samples for reader in readers)
        responses = encoding_responses(
            readers, over_time=time, progress=stage("responses", n_samples)
        )
        if responses.n_left_out:
            say(
                f"{responses.n_left_out} training trials without a response of every electrode are left out"
            )
        fitting = Fitting(
            rule="cross_validation" if rule is RuleName.cross_validation else "degrees_of_freedom",
            device=device.value,
            workers=resources.workers,
            memory=resources.memory,
        )
        kernels: dict[str, Kernels] = {}
        encoded = encode_spaces(
            spaces, responses, fitting, stage, kernels.__setitem__ if joint else None
        )
        assignment = assign_layers(encoded.scores, correction=correction.value)
        contents = _contents(
            encoded,
            assignment,
            responses,
            spaces,
            attributes,
            rule=fitting.rule,
            rsa=rsa_scores(spaces, responses, fitting, stage) if rsa else None,
            joint=joint_scores(spaces, responses, fitting, stage, kernels) if joint else None,
        )
        simulated = any(reader.info.simulated for reader in readers)
        files = _written(
            out,
            recordings,
            encoded,
            assignment,
            responses,
            spaces,
            attributes,
            contents,
            simulated,
        )
    for roi in responses.channels.rois():
        shares = ", ".join(
            f"{name} {share:.0%}"
            for name, share in zip(assignment.spaces, assignment.shares(roi), strict=True)
            if share > 0
        )
        n = len(responses.channels.channels_of(roi))
        say(f"{roi}: {assignment.n_significant(roi)} of {n} electrodes significant; {shares}")
    for file in files:
        say(f"written: {file}")


def _spaces(
    files: list[Path], wanted: list[str] | None
) -> tuple[list[StoredFeatures], dict[Path, dict[str, Any]]]:
    """Return the spaces of feature files in their order, and the attributes of the files that these are in.

    Raises
    ------
    ConfigError
        A space that is asked for is in none of them.
    FeatureError
        A file is none.
    """
    from offline.features.store import open_features

    opened = [open_features(path) for path in files]
    spaces = [file.space(name) for file in opened for name in file.spaces]
    known = [space.name for space in spaces]
    for name in wanted or []:
        if name not in known:
            raise ConfigError(
                f"--space {name}: in none of the files, expected some of {', '.join(known)}."
            )
    chosen = [space for space in spaces if not wanted or space.name in wanted]
    of_file = {path: file.attributes for path, file in zip(files, opened, strict=True)}
    return chosen, {space.path: of_file[space.path] for space in chosen}


def _contents(
    encoded: EncodedSpaces,
    assignment: LayerAssignment,
    responses: EncodingResponses,
    spaces: list[StoredFeatures],
    attributes: dict[Path, dict[str, Any]],
    *,
    rule: str,
    rsa: RsaScores | None,
    joint: JointScores | None,
) -> dict[str, Any]:
    from b2g_rt.contracts.encoder import static_windows_ms
    from offline.encoding.contents import Fitted, encoding_contents
    from offline.encoding.statistics import mean_r_interval, permutation_p

    own = tuple(responses.channels.channels_of(roi) for roi in responses.channels.rois())
    known = static_windows_ms()
    fewest, most = responses.repeats
    return encoding_contents(
        encoded.scores,
        assignment,
        fitted=Fitted(
            rule=rule,
            n_train=len(responses.train_ids),
            n_features={space.name: space.n_features for space in spaces},
            network={s.name: _described(s.path, attributes[s.path]) for s in spaces},
            window_ms={roi: known[roi] for roi in responses.channels.rois() if roi in known},
            fewest=fewest,
            most=most,
        ),
        mean_r=mean_r_interval(encoded.predicted, responses.test, own),
        permutation_p=permutation_p(encoded.predicted, responses.test),
        time=encoded.time,
        rsa=rsa,
        joint=joint,
    )


def _described(path: Path, attributes: dict[str, Any]) -> str:
    """Return where the spaces of a feature file come from, in words."""
    told = attributes.get("provenance", {})
    name = str(told.get("network", path.name))
    seed = told.get("random_seed")
    return name if seed is None else f"{name}, random weights of seed {seed}"


def _written(
    out: Path,
    recordings: list[Path],
    encoded: EncodedSpaces,
    assignment: LayerAssignment,
    responses: EncodingResponses,
    spaces: list[StoredFeatures],
    attributes: dict[Path, dict[str, Any]],
    contents: dict[str, Any],
    simulated: bool,
) -> list[Path]:
    """Write report, JSON and encoder."""
    from dataclasses import replace

    import numpy as np

    from b2g_rt.contracts.bundle import Normalisation
    from offline.evaluation.report.encoding_report import AboutEncoding, write_encoding_report
    from offline.export.bundle_writing import versions
    from offline.export.encoder_onnx import NO_SPACE, fitted_space, write_encoder

    names = ", ".join(path.name for path in recordings)
    notes = ("Simulated: no animal was recorded.",) if simulated else ()
    about = AboutEncoding(
        recording=names,
        version=versions()["b2g_rt"],
        lines=(
            f"{names}: {len(responses.train_ids)} training trials, {len(responses.test_ids)} test stimuli.",
            f"Normalisation {responses.note}.",
            "Features: " + "; ".join(f"{s.name} of {s.path}" for s in spaces) + ".",
        ),
        notes=notes,
    )
    files = list(write_encoding_report(out, about, contents))
    stimuli = list(dict.fromkeys((*responses.train_ids, *responses.test_ids)))
    fitted = [
        fitted_space(fit, space, stimuli, _provenance(attributes[space.path]), encoded.targets)
        for fit, space in zip(encoded.fits, spaces, strict=True)
    ]
    if responses.live is not None:
        # Responses were fitted in the paper's z units; live they come in a normaliser's.
        scale, offset = responses.live.scale, responses.live.offset
        fitted = [
            replace(
                one,
                weights=(one.weights * scale).astype(np.float32),
                intercept=one.intercept * scale + offset,
            )
            for one in fitted
        ]
    space_of = np.where(assignment.significant, assignment.best, NO_SPACE)
    write_encoder(
        out / "encoder",
        fitted,
        space_of,
        name=out.resolve().name,
        channels=responses.channels,
        stimulus_ids=stimuli,
        training_ids=frozenset(responses.train_ids),
        normalisation=Normalisation(kind="frozen"),
        held_out_r=assignment.r,
        noise_ceiling=responses.ceiling,
        training={
            "command": command_line(),
            "recordings": [path.name for path in recordings],
            "n_train": len(responses.train_ids),
            "n_test": len(responses.test_ids),
            "note": responses.note,
            "versions": versions(),
        },
        simulated=simulated,
        sources={str(path): str(told["content_hash"]) for path, told in attributes.items()},
    )
    return [*files, out / "encoder"]


def _provenance(attributes: dict[str, Any]) -> dict[str, Any]:
    found = attributes.get("provenance", {})
    return dict(found) if isinstance(found, dict) else {}
