"""Scores of a bundle on a recorded session, or on new stimuli of the macaque it was fitted on.

Stimuli that were in training are scored apart: no figure mixes them with new ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.bundle import ModelBundle
from b2g_rt.contracts.session import SessionFile
from b2g_rt.errors import BundleError, ConfigError, SessionError
from b2g_rt.simulation.from_record import recorded_macaque
from b2g_rt.simulation.macaque import parameter_reading
from offline.evaluation.held_out import FeatureChain, decode_windows, known_trials
from offline.evaluation.scores import KnownTrials, Scores, score
from offline.evaluation.training_record import (
    draws_seen_in_training,
    names_its_stimuli,
    refuse_training_session,
    seen_in_training,
)
from offline.export.decoder_onnx import OnnxDecoder
from offline.recordings.recording import SessionRecording
from offline.recordings.simulated_sessions import simulated_recording
from offline.recordings.trials import session_trials
from offline.stages import Stage
from offline.stimuli.faces.face_parameters import PARAMETERS

NAMES = tuple(p.name for p in PARAMETERS)


@dataclass(frozen=True, slots=True)
class SessionScores:
    """Scores of a recording, one group of stimuli each; None where no trial of the group could be scored.

    Attributes
    ----------
    unseen : Scores or None
        Stimuli that the bundle was not trained on: the figure that counts.
    seen : Scores or None
        Stimuli that were in training. Says nothing of new pictures.
    named : bool
        Whether the bundle names its training stimuli; if not, ``unseen`` is everything.
    """

    unseen: Scores | None
    seen: Scores | None
    named: bool

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "scores": self.unseen.to_dict() if self.unseen else None,
            "scores_of_stimuli_seen_in_training": self.seen.to_dict() if self.seen else None,
            "training_stimuli_named": self.named,
        }


def score_session(
    bundle: ModelBundle,
    session: SessionFile,
    known: dict[str, NDArray[np.float32]],
    stage: Stage,
    marker_pattern: str | None = None,
) -> SessionScores:
    """Score every trial whose stimulus is known, those of training stimuli apart.

    Parameters
    ----------
    bundle : ModelBundle
    session : SessionFile
        Not the one the bundle was fitted on: that is refused.
    known : dict of stimulus id to latent
    stage : callable
        Progress.
    marker_pattern : str, optional
        See ``session_trials``.

    Raises
    ------
    SessionError
        The session of the fit, other electrodes, no onset markers, no known stimulus, latents of another length, or
        no trial that can be decoded.
    """
    refuse_training_session(bundle, session)
    n_latents = bundle.manifest.n_latents
    if other := sorted({len(w) for w in known.values()} - {n_latents}):
        raise SessionError(
            f"{session.path}: latents of {other[0]} dimensions, the bundle decodes {n_latents}. Give those of this "
            "bundle's generator with --latents."
        )
    trials = session_trials(session, marker_pattern)
    kept, truth = known_trials([t.stimulus for t in trials], known, bundle.latent_mean)
    shown = [trials[i].stimulus for i in kept]
    onsets = np.array([trials[i].onset_idx for i in kept], np.int64)
    recording = SessionRecording(session)
    done = stage("features", recording.n_samples)
    features = FeatureChain.of_bundle(bundle).features(recording, onsets, done)
    done = stage("scores", 1)
    decoded = _decoded(bundle, features)
    seen = seen_in_training(bundle, shown, truth.latents)
    scores = SessionScores(
        _group(bundle, decoded, shown, known, ~seen),
        _group(bundle, decoded, shown, known, seen),
        names_its_stimuli(bundle),
    )
    done(1)
    if scores.unseen is None and scores.seen is None:
        raise SessionError(
            f"{session.path}: none of {len(shown)} trials can be decoded, expected whole windows after the onsets. "
            "Too many samples are missing."
        )
    return scores


def score_simulated(bundle: ModelBundle, n_trials: int, seed: int, stage: Stage) -> Scores:
    """Score new stimuli, one trial each, of the macaque the bundle was fitted on.

    Raises
    ------
    BundleError
        The bundle was not fitted on this release's simulator.
    ConfigError
        The seed draws stimuli of the training.
    """
    macaque = recorded_macaque(bundle.manifest.training, bundle.channels, f"bundle {bundle.path}")
    w = macaque.latents.draw(np.random.default_rng([macaque.latents.seed, seed]), n_trials)
    if draws_seen_in_training(bundle, w, macaque).any():
        raise ConfigError(
            f"evaluate: seed {seed} draws stimuli that bundle {bundle.path} was trained on, expected new ones. Choose "
            "another --seed."
        )
    recording, onsets = simulated_recording(macaque, w, seed)
    done = stage("features", recording.n_samples)
    features = FeatureChain.of_bundle(bundle).features(recording, onsets, done)
    done = stage("scores", 1)
    truth = KnownTrials(w, np.arange(n_trials), bundle.latent_mean)
    scores = score(_decoded(bundle, features), truth, _reading(bundle), NAMES)
    done(1)
    return scores


def _decoded(bundle: ModelBundle, features: NDArray[np.float32]) -> NDArray[np.float32]:
    return decode_windows(OnnxDecoder(bundle.file("decoder.onnx").read_bytes()), features)


def _group(
    bundle: ModelBundle,
    decoded: NDArray[np.float32],
    shown: list[str],
    known: dict[str, NDArray[np.float32]],
    chosen: NDArray[np.bool_],
) -> Scores | None:
    """Score the chosen trials among themselves: identification chooses from their stimuli alone."""
    decoded = decoded[chosen]
    if not np.isfinite(decoded).all(axis=2).any(axis=0).all():
        return None
    stimuli = [shown[i] for i in np.flatnonzero(chosen)]
    _, truth = known_trials(stimuli, known, bundle.latent_mean)
    return score(decoded, truth, _reading(bundle), NAMES)


def _reading(bundle: ModelBundle) -> NDArray[np.float32] | None:
    """Return how face parameters are read from latents, where the bundle says which macaque it is."""
    try:
        macaque = recorded_macaque(bundle.manifest.training, bundle.channels, "bundle")
    except BundleError:
        return None
    return parameter_reading(macaque, [(p.name, p.roi) for p in PARAMETERS])
