"""A bundle from a recorded session: what the rig does after the training day.

A share of the stimuli is held out before anything is fitted and scored at the end; the bundle's metrics are
theirs. Channel statistics are those of the whole session, which is how it is normalised live from then on; they
know neither stimuli nor trials.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.bundle import Normalisation
from b2g_rt.contracts.session import SessionFile
from b2g_rt.errors import SessionError
from offline.decoding.decoder import DecoderKind, FittedDecoder, fit_decoder
from offline.evaluation.held_out import FeatureChain, decode_windows, known_trials
from offline.evaluation.scores import Scores, score
from offline.evaluation.training_record import session_digest
from offline.export.bundle_writing import (
    N_REFERENCE_IMAGES,
    N_REFERENCE_TRIALS,
    Trained,
    chosen,
    save_bundle,
    versions,
)
from offline.export.decoder_onnx import OnnxDecoder, decoder_onnx
from offline.export.default_bundle import windows_of
from offline.export.source_hashes import BRAIN, source_hashes
from offline.recordings.cache import Arrays, cached_arrays
from offline.recordings.recording import SessionRecording
from offline.recordings.statistics import ChannelStatistics, channel_statistics
from offline.recordings.trials import session_trials
from offline.stages import Stage

MIN_TRIALS = 50
HELD_OUT_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class SessionOutcome:
    """What a fit gave: the bundle's hash, what cross-validation chose, scores of the held-out stimuli."""

    hash: str
    fitted: FittedDecoder
    held_out: Scores


def known_latents(session: SessionFile, latents: Path | None) -> dict[str, NDArray[np.float32]]:
    """Return the latent of each stimulus, from an .npz file or from the session itself.

    Parameters
    ----------
    session : SessionFile
    latents : Path, optional
        Arrays ``id`` (stimulus,) of strings and ``latent`` (stimulus, latent).

    Raises
    ------
    SessionError
        The file cannot be read, or there are no latents anywhere.
    """
    if latents is not None:
        ids, values = _read_latents(latents)
    else:
        found = session.stimuli()
        if found is None:
            raise SessionError(
                f"{session.path}: holds no latents (/stimuli), expected those of the stimuli. Give --latents FILE.npz "
                "with id (stimulus,) and latent (stimulus, latent)."
            )
        ids, values = found
    return {i: np.asarray(v, np.float32) for i, v in zip(ids, values, strict=True)}


def _read_latents(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            ids, values = archive["id"], archive["latent"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise SessionError(
            f"{path}: {error}, expected an .npz file with id (stimulus,) and latent (stimulus, latent)."
        ) from None
    if values.ndim != 2 or ids.shape != values.shape[:1] or not np.isfinite(values).all():
        raise SessionError(
            f"{path}: id {ids.shape}, latent {values.shape}, expected (stimulus,) and (stimulus, latent), finite."
        )
    return [str(i) for i in ids], values.astype(np.float32)


def make_session_bundle(
    session: SessionFile,
    known: dict[str, NDArray[np.float32]],
    kind: DecoderKind,
    generator: bytes,
    out: Path,
    *,
    command: str,
    stage: Stage,
    work: Path | None = None,
    marker_pattern: str | None = None,
    with_stimuli: bool = True,
    seed: int = 0,
) -> SessionOutcome:
    """Fit, score and write a bundle.

    Parameters
    ----------
    session : SessionFile
    known : dict of stimulus id to latent
        See ``known_latents``.
    kind : DecoderKind
    generator : bytes
        ONNX file with fixed shapes.
    out : Path
        The bundle's directory; its name is the bundle's.
    command : str
        What the user typed, for the manifest.
    stage : Stage
        Progress.
    work : Path, optional
        Where features are kept for a run that goes on after this one.
    marker_pattern : str, optional
        See ``session_trials``.
    with_stimuli : bool
        Whether the bundle knows the session's stimuli, so that live trials of them are scored.
    seed : int
        Of the held-out stimuli and the folds.

    Raises
    ------
    SessionError
        Too few usable trials or stimuli; no stimulus with a known latent.
    """
    recording = SessionRecording(session)
    trials = session_trials(session, marker_pattern)
    stimuli = [t.stimulus for t in trials]
    chain = _chain(session, recording, kind, work, stage)
    onsets = np.array([t.onset_idx for t in trials], np.int64)
    features = _features(session, recording, chain, onsets, work, stage)
    usable = np.isfinite(features).all(axis=(1, 2)) & np.array([s in known for s in stimuli])
    _check(session, stimuli, known, usable)
    usable_idx = np.flatnonzero(usable)
    test = _held_out([stimuli[i] for i in usable_idx], seed)
    train_idx, test_idx = usable_idx[~test], usable_idx[test]
    trained_on = [stimuli[i] for i in train_idx]
    w = np.stack([known[s] for s in trained_on])
    latent_mean = w.astype(np.float64).mean(axis=0)
    done = stage("ridge", features.shape[1])
    fitted = fit_decoder(
        features[train_idx], w, trained_on, seed=seed, progress=lambda window_idx, choice: done(1)
    )
    model = OnnxDecoder(decoder_onnx(fitted.decoder))
    _, truth = known_trials([stimuli[i] for i in test_idx], known, latent_mean)
    done = stage("scores: held-out stimuli", 1)
    scores = score(decode_windows(model, features[test_idx]), truth)
    done(1)
    shown = sorted({stimuli[i] for i in usable_idx}) if with_stimuli else []
    training = {
        **_origin(session),
        "command": command,
        "session": session.path.name,
        "session_sha256": session_digest(session),
        "stimuli": sorted(set(trained_on)),
        "n_trials": len(train_idx),
        "n_stimuli": len(set(trained_on)),
        "n_trials_held_out": len(test_idx),
        "n_trials_left_out": len(trials) - len(usable_idx),
        "split_seed": seed,
        "decoder": "reduced-rank ridge, weights rounded to float16",
        "windows": chosen(fitted),
        "versions": versions(),
    }
    trained = Trained(
        name=out.resolve().name,
        kind=kind,
        channels=recording.channels,
        windows=chain.windows,
        unit=session.info.unit,
        channel_mean=chain.channel_mean,
        channel_sd=chain.channel_sd,
        latent_mean=latent_mean,
        decoder=fitted.decoder,
        generator=generator,
        stimulus_ids=shown,
        stimulus_latents=np.array([known[s] for s in shown], np.float32).reshape(-1, w.shape[1]),
        simulated=session.info.simulated,
        training=training,
        metrics={"held_out": scores.to_dict()},
        reference_features=features[train_idx[:N_REFERENCE_TRIALS]],
        reference_w=w[:N_REFERENCE_IMAGES],
    )
    done = stage("reference outputs and files", 1)
    digest = save_bundle(out, trained)
    done(1)
    return SessionOutcome(digest, fitted, scores)


def _chain(
    session: SessionFile,
    recording: SessionRecording,
    kind: DecoderKind,
    work: Path | None,
    stage: Stage,
) -> FeatureChain:
    done = stage("statistics", recording.n_samples)

    def compute() -> Arrays:
        return asdict(channel_statistics(recording, done))

    statistics = ChannelStatistics(
        **cached_arrays(work, "statistics", _session_key(session), compute)
    )
    return FeatureChain(
        channels=recording.channels,
        windows=windows_of(kind),
        channel_mean=statistics.mean,
        channel_sd=statistics.sd,
        normalisation=Normalisation(kind="frozen"),
    )


def _features(
    session: SessionFile,
    recording: SessionRecording,
    chain: FeatureChain,
    onsets: NDArray[np.int64],
    work: Path | None,
    stage: Stage,
) -> NDArray[np.float32]:
    done = stage("features", recording.n_samples)
    key = {
        **_session_key(session),
        "windows": chain.windows.to_dict(),
        "onsets": onsets.tolist(),
        "sources": source_hashes(BRAIN),
    }

    def compute() -> Arrays:
        return {"features": chain.features(recording, onsets, done)}

    return np.asarray(cached_arrays(work, "features", key, compute)["features"], np.float32)


def _session_key(session: SessionFile) -> dict[str, Any]:
    state = session.path.stat()
    return {
        "path": str(session.path.resolve()),
        "bytes": state.st_size,
        "modified": state.st_mtime_ns,
        "channels": session.info.channel_map.to_dict(),
    }


def _origin(session: SessionFile) -> dict[str, Any]:
    """Return what a simulated session says about its macaque, so that the bundle can be demonstrated."""
    return {
        k: v for k, v in session.info.provenance.items() if k in ("macaque", "protocol", "seeds")
    }


def _check(
    session: SessionFile,
    stimuli: list[str],
    known: dict[str, NDArray[np.float32]],
    usable: NDArray[np.bool_],
) -> None:
    unknown = sorted({s for s in stimuli if s not in known})
    if len(unknown) == len(set(stimuli)):
        known_trials(stimuli, known, np.zeros(0))
    n = int(usable.sum())
    if n < MIN_TRIALS:
        missing = f"; no latent for {len(unknown)} stimuli ({unknown[0]}, ...)" if unknown else ""
        raise SessionError(
            f"{session.path}: {n} of {len(stimuli)} trials can be used{missing}, expected at least {MIN_TRIALS}. "
            "Record more trials, or give their latents with --latents."
        )


def _held_out(stimuli: list[str], seed: int) -> NDArray[np.bool_]:
    """Return which trials are held out: those of a random tenth of the stimuli."""
    distinct, of_trial = np.unique(np.asarray(stimuli), return_inverse=True)
    n = max(1, round(HELD_OUT_SHARE * len(distinct)))
    drawn = np.random.default_rng([seed, 1]).permutation(len(distinct))[:n]
    return np.asarray(np.isin(of_trial, drawn))
