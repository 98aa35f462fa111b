"""Scores of a bundle on a recorded session, or on new stimuli of the macaque it was fitted on.

Stimuli that were in training are scored apart: no figure mixes them with new ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.bundle import ModelBundle
from b2g_rt.errors import BundleError, ConfigError, SessionError
from b2g_rt.simulation.from_record import recorded_macaque
from b2g_rt.simulation.macaque import parameter_reading
from offline.evaluation.decoded_session import DecodedSession, bundle_decoder, decoded_session
from offline.evaluation.decoded_windows import decode_mua
from offline.evaluation.evaluation_memory import EvaluationSize, bounded
from offline.evaluation.held_out import FeatureChain
from offline.evaluation.scores import KnownTrials, Scores, score
from offline.evaluation.training_record import (
    draws_seen_in_training,
    names_its_stimuli,
)
from offline.recordings.formats.reader import RecordingReader
from offline.recordings.mua_source import MuaTrials
from offline.recordings.simulated_sessions import simulated_recording
from offline.scheduling.resources import Resources
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
    recording: RecordingReader,
    known: dict[str, NDArray[np.float32]],
    stage: Stage,
) -> SessionScores:
    """Score every trial whose stimulus is known, those of training stimuli apart.

    Parameters
    ----------
    bundle : ModelBundle
    recording : RecordingReader
        Of any format; not one that the bundle was fitted on: that is refused.
    known : dict of stimulus id to latent
    stage : Stage
        Progress.

    Raises
    ------
    SessionError
        See ``decoded_session``, or no trial that can be decoded.
    """
    return score_decoded(bundle, decoded_session(bundle, recording, known, stage), stage)


def score_decoded(bundle: ModelBundle, session: DecodedSession, stage: Stage) -> SessionScores:
    """Score decoded trials, those of training stimuli apart.

    Raises
    ------
    SessionError
        No trial could be decoded.
    """
    done = stage("scores", 1)
    scores = SessionScores(
        _group(bundle, session, ~session.seen),
        _group(bundle, session, session.seen),
        names_its_stimuli(bundle),
    )
    done(1)
    if scores.unseen is None and scores.seen is None:
        raise SessionError(
            f"session: none of {session.n_trials} trials can be decoded, expected whole windows after the onsets. "
            "Too many samples are missing."
        )
    return scores


def simulated_session(
    bundle: ModelBundle,
    n_trials: int,
    seed: int,
    stage: Stage,
    resources: Resources | None = None,
    *,
    reported: bool = False,
) -> DecodedSession:
    """Decode new stimuli, one trial each, of the macaque the bundle was fitted on.

    Parameters
    ----------
    bundle : ModelBundle
    n_trials, seed : int
    stage : Stage
        Progress.
    resources : Resources, optional
    reported : bool
        See ``decoded_session``.

    Raises
    ------
    BundleError
        The bundle was not fitted on this release's simulator.
    ConfigError
        The seed draws stimuli of the training, or it takes more memory than it may.
    """
    w, mua = simulated_trials(bundle, n_trials, seed)
    known = KnownTrials(w, np.arange(n_trials), bundle.latent_mean)
    decoder, chain = bundle_decoder(bundle), FeatureChain.of_bundle(bundle)
    size = EvaluationSize.of(decoder, chain, known, reported=reported)
    resources = bounded(size, resources, stage)
    done = stage("features", mua.stop)
    features, decoded = decode_mua(decoder, chain, mua, done, resources)
    return DecodedSession(
        stimuli=tuple(f"seed-{seed}-{i:04d}" for i in range(n_trials)),
        onsets=mua.onsets,
        features=features,
        decoded=decoded,
        known=known,
        seen=np.zeros(n_trials, np.bool_),
        resources=resources,
    )


def simulated_trials(
    bundle: ModelBundle, n_trials: int, seed: int
) -> tuple[NDArray[np.float32], MuaTrials]:
    """Return new latents, axes (trial, latent), and the responses to them, made while they are read.

    Raises as ``simulated_session``.
    """
    macaque = recorded_macaque(bundle.manifest.training, bundle.channels, f"bundle {bundle.path}")
    w = macaque.latents.draw(np.random.default_rng([macaque.latents.seed, seed]), n_trials)
    if draws_seen_in_training(bundle, w, macaque).any():
        raise ConfigError(
            f"evaluate: seed {seed} draws stimuli that bundle {bundle.path} was trained on, expected new ones. Choose "
            "another --seed."
        )
    recording, onsets = simulated_recording(macaque, w, seed)
    return w, MuaTrials(recording, onsets, 0, recording.n_samples)


def _group(
    bundle: ModelBundle, session: DecodedSession, chosen: NDArray[np.bool_]
) -> Scores | None:
    """Score the chosen trials among themselves: identification chooses from their stimuli alone."""
    decoded = session.decoded[chosen]
    if not np.isfinite(decoded).all(axis=2).any(axis=0).all():
        return None
    return score(decoded, session.known.chosen(np.flatnonzero(chosen)), _reading(bundle), NAMES)


def _reading(bundle: ModelBundle) -> NDArray[np.float32] | None:
    """Return how face parameters are read from latents, where the bundle says which macaque it is."""
    try:
        macaque = recorded_macaque(bundle.manifest.training, bundle.channels, "bundle")
    except BundleError:
        return None
    return parameter_reading(macaque, [(p.name, p.roi) for p in PARAMETERS])
