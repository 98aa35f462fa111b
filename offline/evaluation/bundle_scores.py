"""Scores of a bundle on a recorded session, or on new stimuli of the macaque it was fitted on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.bundle import ModelBundle
from b2g_rt.contracts.session import SessionFile
from b2g_rt.errors import BundleError, SessionError
from b2g_rt.simulation.from_record import recorded_macaque
from b2g_rt.simulation.macaque import parameter_reading
from offline.evaluation.held_out import FeatureChain, decode_windows, known_trials
from offline.evaluation.scores import KnownTrials, Scores, score
from offline.export.decoder_onnx import OnnxDecoder
from offline.recordings.recording import SessionRecording
from offline.recordings.simulated_sessions import simulated_recording
from offline.recordings.trials import session_trials
from offline.stimuli.face_parameters import PARAMETERS

Stage = Callable[[str, int], Callable[[int], None]]
NAMES = tuple(p.name for p in PARAMETERS)


def score_session(
    bundle: ModelBundle,
    session: SessionFile,
    known: dict[str, NDArray[np.float32]],
    stage: Stage,
    marker_pattern: str | None = None,
) -> Scores:
    """Score every trial whose stimulus is known.

    Parameters
    ----------
    bundle : ModelBundle
    session : SessionFile
        Not the one the bundle was fitted on.
    known : dict of stimulus id to latent
    stage : callable
        Progress.
    marker_pattern : str, optional
        See ``session_trials``.

    Raises
    ------
    SessionError
        Other electrodes, no onset markers, no known stimulus, or latents of another length.
    """
    n_latents = bundle.manifest.n_latents
    if other := sorted({len(w) for w in known.values()} - {n_latents}):
        raise SessionError(
            f"{session.path}: latents of {other[0]} dimensions, the bundle decodes {n_latents}. Give those of this "
            "bundle's generator with --latents."
        )
    trials = session_trials(session, marker_pattern)
    kept, truth = known_trials([t.stimulus for t in trials], known, bundle.latent_mean)
    onsets = np.array([trials[i].onset_idx for i in kept], np.int64)
    recording = SessionRecording(session)
    done = stage("features", recording.n_samples)
    features = FeatureChain.of_bundle(bundle).features(recording, onsets, done)
    return _scored(bundle, features, truth)


def score_simulated(bundle: ModelBundle, n_trials: int, seed: int, stage: Stage) -> Scores:
    """Score new stimuli, one trial each, of the macaque the bundle was fitted on.

    Raises
    ------
    BundleError
        The bundle was not fitted on this release's simulator.
    """
    macaque = recorded_macaque(bundle.manifest.training, bundle.channels, f"bundle {bundle.path}")
    w = macaque.latents.draw(np.random.default_rng([macaque.latents.seed, seed]), n_trials)
    recording, onsets = simulated_recording(macaque, w, seed)
    done = stage("features", recording.n_samples)
    features = FeatureChain.of_bundle(bundle).features(recording, onsets, done)
    return _scored(bundle, features, KnownTrials(w, np.arange(n_trials), bundle.latent_mean))


def _scored(bundle: ModelBundle, features: NDArray[np.float32], truth: KnownTrials) -> Scores:
    decoder = OnnxDecoder(bundle.file("decoder.onnx").read_bytes())
    return score(decode_windows(decoder, features), truth, _reading(bundle), NAMES)


def _reading(bundle: ModelBundle) -> NDArray[np.float32] | None:
    """Return how face parameters are read from latents, where the bundle says which macaque it is."""
    try:
        macaque = recorded_macaque(bundle.manifest.training, bundle.channels, "bundle")
    except BundleError:
        return None
    return parameter_reading(macaque, [(p.name, p.roi) for p in PARAMETERS])
