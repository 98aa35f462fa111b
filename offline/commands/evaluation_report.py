"""The report of ``b2g-offline evaluate``: a decoded recording and its bundle, handed to those who draw it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from b2g_rt import __version__
from b2g_rt.errors import EncodingError, SessionError
from offline.stages import Stage

if TYPE_CHECKING:
    from b2g_rt.contracts.bundle import ModelBundle
    from offline.evaluation.bundle_scores import SessionScores
    from offline.evaluation.decoded_session import DecodedSession
    from offline.evaluation.slid_windows import SlidWindows
    from offline.recordings.mua_source import MuaTrials
    from offline.scheduling.resources import Resources


def fixed_over_time(
    bundle: ModelBundle, mua: MuaTrials, stage: Stage, resources: Resources | None
) -> SlidWindows | None:
    """Decode the trials of a fixed decoder at windows all over the trial; None for any other decoder."""
    from offline.evaluation.held_out import FeatureChain
    from offline.evaluation.slid_windows import slid_windows
    from offline.export.decoder_onnx import OnnxDecoder

    if bundle.manifest.decoder_kind != "fixed":
        return None
    decoder = OnnxDecoder(bundle.file("decoder.onnx").read_bytes())
    done = stage("report: the decoder slid over the trials", mua.recording.n_samples)
    return slid_windows(decoder, FeatureChain.of_bundle(bundle), mua, done, resources)


def evaluation_report(
    folder: Path,
    bundle: ModelBundle,
    session: DecodedSession,
    scores: SessionScores,
    recording: str,
    stage: Stage,
    *,
    slid: SlidWindows | None,
    n_pictures: int,
    weights: Path | None,
    encoding: Mapping[str, Any] | None = None,
) -> tuple[Path, Path]:
    """Write the report of a recording's held-out trials.

    Parameters
    ----------
    folder : Path
    bundle : ModelBundle
    session : DecodedSession
    scores : SessionScores
        Of the same session: what the command prints.
    recording : str
        What was decoded, for the title.
    stage : Stage
        Progress.
    slid : SlidWindows or None
        The session's trials all over time, see ``fixed_over_time``.
    n_pictures : int
    weights : Path or None
        See ``make_report``.
    encoding : mapping, optional
        Contents of an encoding.json, see ``encoding_beside``.

    Returns
    -------
    Path, Path
        The page and the JSON.

    Raises
    ------
    SessionError
        No trial but of training stimuli, or none that was decoded.
    BundleError
        The generator cannot be run.
    ConfigError
        The files cannot be written.
    """
    import numpy as np

    from offline.evaluation.report.held_out_trials import (
        HeldOutTrials,
        ReportedDecoder,
        SlidTrials,
    )
    from offline.evaluation.report.making import make_report
    from offline.evaluation.trained_stimuli import TrainedStimuli
    from offline.export.decoder_onnx import OnnxDecoder
    from offline.export.generator_onnx import OnnxGenerator
    from offline.scheduling.local_workers import LocalWorkers

    trained = TrainedStimuli.of_bundle(bundle)
    if session.seen.all():
        trained.refuse(session.stimuli, session.known.latents)
    if scores.unseen is None:
        raise SessionError(
            f"{recording}: no trial of stimuli that were not in training can be decoded, expected at least one. "
            "Give another recording."
        )
    manifest = bundle.manifest
    decoder = OnnxDecoder(bundle.file("decoder.onnx").read_bytes())
    generator = OnnxGenerator(bundle.file("generator.onnx").read_bytes(), manifest.n_latents)
    new = np.flatnonzero(~session.seen)
    trials = HeldOutTrials(session.stimuli, session.features, session.decoded, session.known)
    over_time = None
    if slid is not None:
        all_windows = replace(trials, features=slid.features, decoded=slid.decoded)
        over_time = SlidTrials(all_windows.chosen(new), slid.windows)
    return make_report(
        folder,
        {
            "version": __version__,
            "recording": recording,
            "bundle": {
                "name": manifest.name,
                "hash": bundle.hash,
                "decoder_kind": manifest.decoder_kind,
                "n_channels": bundle.channels.n_channels,
                "n_latents": manifest.n_latents,
            },
            "notes": _notes(bundle, session, scores),
        },
        trials.chosen(new),
        ReportedDecoder(
            decoder,
            manifest.decoder_kind == "fixed",
            bundle.channels,
            bundle.windows,
            trained,
            session.resources.workers if session.resources else LocalWorkers(1),
        ),
        scores.unseen,
        generator.render,
        stage,
        slid=over_time,
        n_pictures=n_pictures,
        weights=weights,
        encoding=encoding,
    )


def encoding_beside(path: Path | None, bundle: ModelBundle) -> dict[str, Any] | None:
    """Read the encoding to report beside a bundle's decoding; None where none is asked for.

    Raises
    ------
    EncodingError
        There is none, or it is of other electrodes than the bundle's.
    """
    from offline.encoding.contents_file import channels_of, read_contents

    if path is None:
        return None
    found = read_contents(path)
    encoded = channels_of(found)
    if not encoded.same_electrodes(bundle.channels):
        raise EncodingError(
            f"--encoding {path}: {encoded.n_channels} electrodes, not the {bundle.channels.n_channels} that the bundle "
            "decodes, expected the same ones. Encode with the bundle's channel map."
        )
    return found


def _notes(bundle: ModelBundle, session: DecodedSession, scores: SessionScores) -> list[str]:
    notes = []
    if bundle.manifest.simulated:
        notes.append("The bundle was trained on a simulated macaque: no animal was recorded.")
    if n := int(session.seen.sum()):
        notes.append(
            f"{n} of {session.n_trials} trials show stimuli that were in training. They are left out: no figure here "
            "is of a training trial."
        )
    if not scores.named:
        notes.append(
            "The bundle does not tell which stimuli it was trained on: they may be among these."
        )
    return notes
