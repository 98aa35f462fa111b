"""What a bundle's manifest tells of its training: which stimuli it has seen, and from which session.

A decoder scores well on the pictures it was trained on, on another day too; such trials are no held-out trials.
The manifest's ``training`` holds ``stimuli`` (ids; empty when the training stimuli were draws without ids) and
``session_sha256`` (see ``session_digest``; a list where several recordings were fitted on). Where ``stimuli`` is
missing, nobody knows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.bundle import ModelBundle
from b2g_rt.errors import BundleError, SessionError
from b2g_rt.simulation.from_record import recorded_macaque
from b2g_rt.simulation.macaque import Macaque
from offline.recordings.formats.reader import RecordingReader

DIGEST_SAMPLES = 1000
# Two latents are one stimulus when they are this much nearer to each other than to the mean latent. Written by
# two programs they differ by rounding; different faces are further apart than from the mean.
SAME_STIMULUS = 0.01
_TRIALS_AT_ONCE = 500


def names_its_stimuli(bundle: ModelBundle) -> bool:
    """Return whether the bundle tells which stimuli it was trained on."""
    return isinstance(bundle.manifest.training.get("stimuli"), list)


def seen_in_training(
    bundle: ModelBundle, stimuli: Sequence[str], latents: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Return which trials show a stimulus of the bundle's training, by its id or by its very latent.

    Parameters
    ----------
    bundle : ModelBundle
    stimuli : sequence of str, axes (trial,)
    latents : float32, axes (trial, latent)
    """
    ids = trained_ids(bundle)
    by_id = np.array([s in ids for s in stimuli], np.bool_)
    return by_id | among_latents(latents, trained_latents(bundle), bundle.latent_mean)


def draws_seen_in_training(
    bundle: ModelBundle, latents: NDArray[np.float32], macaque: Macaque
) -> NDArray[np.bool_]:
    """Return which draws of latents, axes (trial, latent), the bundle was trained on."""
    return among_latents(latents, trained_latents(bundle, macaque), bundle.latent_mean)


def session_digest(recording: RecordingReader) -> str:
    """Return what identifies a recording under any name: SHA-256 of its markers (or trials) and its first rows."""
    rows = recording.columns(0, min(DIGEST_SAMPLES, recording.n_samples))
    digest = hashlib.sha256(np.ascontiguousarray(rows).tobytes())
    markers = recording.markers()
    for marker in markers:
        digest.update(np.float64(marker.time_s).tobytes() + marker.text.encode() + b"\n")
    if not markers:
        table = recording.trials()
        digest.update(table.onset_idx.tobytes() + "\n".join(table.stimulus).encode())
    return digest.hexdigest()


def refuse_training_session(bundle: ModelBundle, recording: RecordingReader) -> None:
    """Refuse a recording the bundle was fitted on.

    Raises
    ------
    SessionError
        It is that recording, whatever its file is called now.
    """
    told = bundle.manifest.training.get("session_sha256")
    if session_digest(recording) in (told if isinstance(told, list) else [told]):
        raise SessionError(
            f"{recording.info.path}: bundle {bundle.path} was fitted on this very session, expected another one. The "
            "scores of its held-out stimuli are in the bundle's manifest.json, metrics.held_out."
        )


def trained_ids(bundle: ModelBundle) -> frozenset[str]:
    """Return the ids of the training stimuli that the bundle names."""
    named = bundle.manifest.training.get("stimuli")
    return frozenset(str(i) for i in named) if isinstance(named, list) else frozenset()


def trained_latents(bundle: ModelBundle, macaque: Macaque | None = None) -> NDArray[np.float32]:
    """Return the training latents that are known, axes (stimulus, latent): the bundle's, and draws made again."""
    ids = trained_ids(bundle)
    rows = [i for i, s in enumerate(bundle.stimuli.ids) if s in ids]
    latents = bundle.stimuli.latent[rows]
    plan = bundle.manifest.training.get("plan")
    if not isinstance(plan, dict) or not {"stimulus_seed", "n_trials"} <= plan.keys():
        return latents
    try:
        macaque = macaque or recorded_macaque(bundle.manifest.training, bundle.channels, "bundle")
    except BundleError:
        return latents
    rng = np.random.default_rng([macaque.latents.seed, int(plan["stimulus_seed"])])
    return np.concatenate([latents, macaque.latents.draw(rng, int(plan["n_trials"]))])


def among_latents(
    latents: NDArray[np.float32], trained: NDArray[np.float32], mean: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Return which latents, axes (trial, latent), are one of the trained, axes (stimulus, latent), but for rounding."""
    found = np.zeros(len(latents), np.bool_)
    if not len(trained):
        return found
    b = trained.astype(np.float64) - mean
    length = (b**2).sum(axis=1)
    for start in range(0, len(latents), _TRIALS_AT_ONCE):
        part = slice(start, start + _TRIALS_AT_ONCE)
        a = latents[part].astype(np.float64) - mean
        apart = (a**2).sum(axis=1)[:, None] + length - 2.0 * a @ b.T
        found[part] = (apart <= SAME_STIMULUS**2 * length).any(axis=1)
    return found
