"""A bundle from recordings of any format: what the rig does after the training day.

Trials that the recordings call test trials are held out, else a share of the stimuli is; they are scored at the end,
and the bundle's metrics are theirs. Everything that the decoder chooses is chosen on the other trials (fit_plan.py).
Channel statistics are those of the whole session, which is how it is normalised live from then on; they know neither
stimuli nor trials. After several days there is none that the next one must be like: normalisation then follows the day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import ChannelMapError, ConfigError, SessionError
from offline.decoding.fitting import Fitted, channels_of_rois, fit
from offline.decoding.stepping import decode_trials
from offline.evaluation.decoded_windows import decode_mua
from offline.evaluation.held_out import known_trials
from offline.evaluation.scores import Scores, score
from offline.evaluation.training_record import session_digest
from offline.export.bundle_writing import (
    N_REFERENCE_IMAGES,
    N_REFERENCE_TRIALS,
    Trained,
    save_bundle,
    versions,
)
from offline.export.day_features import SLIDING_STRIDES
from offline.export.decoder_onnx import OnnxDecoder, decoder_onnx
from offline.export.default_bundle import windows_of
from offline.export.fit_plan import FitPlan
from offline.export.training_trials import TrainingTrials, training_trials
from offline.recordings.features_file import (
    Features,
    array_of,
    finite_trials,
    trials_of,
)
from offline.recordings.formats.opening import open_recording
from offline.recordings.formats.reader import RecordingReader
from offline.scheduling.resources import Resources
from offline.stages import Stage

MIN_TRIALS = 50
HELD_OUT_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class SessionOutcome:
    """What a fit gave: the bundle's hash, what cross-validation chose, scores of the held-out stimuli."""

    hash: str
    fitted: Fitted
    held_out: Scores


def make_session_bundle(
    recordings: Sequence[RecordingReader],
    known: dict[str, NDArray[np.float32]],
    plan: FitPlan,
    generator: bytes,
    out: Path,
    *,
    command: str,
    stage: Stage,
    work: Path | None = None,
    with_stimuli: bool = True,
    resources: Resources | None = None,
    live_stimuli: dict[str, NDArray[np.float32]] | None = None,
) -> SessionOutcome:
    """Fit, score and write a bundle.

    Parameters
    ----------
    recordings : sequence of RecordingReader
        In the order in which they were made; each is a day, unless it tells of several.
    known : dict of stimulus id to latent
        See ``known_latents``.
    plan : FitPlan
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
    with_stimuli : bool
        Whether the bundle knows the recordings' stimuli, so that live trials of them are scored.
    live_stimuli : dict of stimulus id to latent, optional
        What the bundle knows instead: stimuli that are shown live and were not trained on.
    resources : Resources, optional
        Workers, and how much memory; one window after the other without.

    Raises
    ------
    SessionError
        Too few usable trials or stimuli; no stimulus with a known latent; recordings that do not fit together.
    ConfigError, ChannelMapError
        A plan that these recordings do not allow.
    """
    responses = recordings[0].info.kind == "responses"
    if responses and plan.kind != "fixed":
        raise ConfigError(
            f"{recordings[0].info.path}: one response per stimulus without a time axis, expected windows for a "
            "per_window decoder. Add --kind fixed."
        )
    trials = training_trials(
        recordings,
        windows_of(plan.kind),
        stage,
        work,
        sliding=plan.slides,
        resources=resources,
    )
    usable_idx = _usable(trials, known)
    test = _held_out(trials, usable_idx, plan.seed)
    train_idx, test_idx = usable_idx[~test], usable_idx[test]
    trained_on = [trials.stimuli[i] for i in train_idx]
    w = np.stack([known[s] for s in trained_on])
    latent_mean = w.astype(np.float64).mean(axis=0)
    fitted = _fitted(plan, trials, train_idx, w, stage, resources)
    shown = [trials.stimuli[i] for i in test_idx]
    _, truth = known_trials(shown, known, latent_mean)
    done = stage("scores: held-out stimuli", 1)
    scores = score(_decoded(fitted, trials, test_idx), truth)
    done(1)
    shown_live = _shown_live([trials.stimuli[i] for i in usable_idx], known, live_stimuli)
    if not with_stimuli:
        shown_live = {}
    first = recordings[0]
    training = {
        **_origin(recordings),
        "command": command,
        **_told_of(recordings),
        "stimuli": sorted(set(trained_on)),
        "test_stimuli": sorted({trials.stimuli[i] for i in test_idx}),
        "n_trials": len(train_idx),
        "n_stimuli": len(set(trained_on)),
        "n_days": trials.n_days,
        "n_trials_held_out": len(test_idx),
        "n_trials_left_out": len(trials.stimuli) - len(usable_idx),
        "held_out_by": "the recording" if trials.is_test.any() else "stimulus",
        "split_seed": plan.seed,
        **plan.told(fitted),
        "versions": versions(),
    }
    chain = trials.chain
    trained = Trained(
        name=out.resolve().name,
        kind=plan.kind,
        channels=first.channels,
        windows=chain.windows,
        unit=first.info.unit,
        channel_mean=chain.channel_mean,
        channel_sd=chain.channel_sd,
        latent_mean=latent_mean,
        decoder=fitted.decoder,
        generator=generator,
        stimulus_ids=list(shown_live),
        stimulus_latents=np.array(list(shown_live.values()), np.float32).reshape(-1, w.shape[1]),
        simulated=all(recording.info.simulated for recording in recordings),
        training=training,
        metrics={"held_out": scores.to_dict()},
        reference_features=array_of(
            trials_of(_shown(fitted, trials), train_idx[:N_REFERENCE_TRIALS])
        ),
        reference_w=w[:N_REFERENCE_IMAGES],
        normalisation=chain.normalisation,
        live=not responses,
    )
    done = stage("reference outputs and files", 1)
    digest = save_bundle(out, trained)
    done(1)
    return SessionOutcome(digest, fitted, scores)


def _fitted(
    plan: FitPlan,
    trials: TrainingTrials,
    train_idx: NDArray[np.intp],
    w: NDArray[np.float32],
    stage: Stage,
    resources: Resources | None,
) -> Fitted:
    stimuli = [trials.stimuli[i] for i in train_idx]
    features = trials_of(trials.features, train_idx)
    channels = trials.chain.channels
    done = stage(f"decoder: {plan.method}", features.shape[1])
    return fit(
        plan.method,
        features,
        w,
        plan.folds(stimuli, trials.day[train_idx]),
        channel_idx=channels_of_rois(channels, plan.rois) if plan.rois else None,
        groups=plan.latent_groups,
        smoothing=plan.smoothing,
        sliding=None if trials.sliding is None else trials.sliding[train_idx],
        seed=plan.seed,
        progress=done,
        workers=resources.workers if resources else None,
        memory=_left(resources, trials) if resources else None,
        say=lambda line: stage(line, 0)(0),
    )


def _left(resources: Resources, trials: TrainingTrials) -> int:
    """Return the memory that is left beside features that are held, and a copy of those fitted."""
    held = [a for a in (trials.features, trials.sliding) if isinstance(a, np.ndarray)]
    return max(0, resources.memory - sum(2 * array.nbytes for array in held))


def _shown(fitted: Fitted, trials: TrainingTrials) -> Features:
    """Return the windows that the decoder sees of a trial: positions of a sliding one, where it remembers."""
    if trials.sliding is None or not fitted.decoder.n_state:
        return trials.features
    return trials.sliding[:, : SLIDING_STRIDES.index(0) + 1]


def _decoded(
    fitted: Fitted, trials: TrainingTrials, test_idx: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Decode held-out trials with the very file that ships, as ``evaluate`` does; axes (trial, window, latent)."""
    model = OnnxDecoder(decoder_onnx(fitted.decoder))
    fixed = trials.chain.windows.anchor == "free"
    if fixed and model.n_state:
        # What it remembers comes from before the trial.
        streams = [decode_mua(model, chain, mua)[1] for mua, chain in trials.streams]
        return np.concatenate(streams)[test_idx]
    return decode_trials(model, trials_of(trials.features, test_idx), fixed=fixed)


def _usable(trials: TrainingTrials, known: dict[str, NDArray[np.float32]]) -> NDArray[np.intp]:
    """Return the trials that are whole and whose latent is known."""
    whole = finite_trials(trials.features)
    if trials.sliding is not None:
        whole &= np.isfinite(trials.sliding).all(axis=(1, 2))
    usable = whole & np.array([s in known for s in trials.stimuli])
    unknown = sorted(set(trials.stimuli) - set(known))
    if not usable.any() and len(unknown) == len(set(trials.stimuli)):
        known_trials(list(trials.stimuli), known, np.zeros(0))
    n = int(usable.sum())
    if n < MIN_TRIALS:
        missing = f"; no latent for {len(unknown)} stimuli ({unknown[0]}, ...)" if unknown else ""
        raise SessionError(
            f"training: {n} of {len(trials.stimuli)} trials can be used{missing}, expected at least {MIN_TRIALS}. "
            "Record more trials, or give their latents with --latents."
        )
    return np.flatnonzero(usable)


def _held_out(trials: TrainingTrials, usable_idx: NDArray[np.intp], seed: int) -> NDArray[np.bool_]:
    """Return which usable trials are held out: every trial of a test stimulus, else of a random tenth of the stimuli.

    Raises
    ------
    SessionError
        Nothing would be left to learn from.
    """
    stimuli = np.asarray([trials.stimuli[i] for i in usable_idx])
    is_test = trials.is_test[usable_idx]
    distinct, of_trial = np.unique(stimuli, return_inverse=True)
    if is_test.any():
        held_out = np.isin(stimuli, stimuli[is_test])
    else:
        n = max(1, round(HELD_OUT_SHARE * len(distinct)))
        drawn = np.random.default_rng([seed, 1]).permutation(len(distinct))[:n]
        held_out = np.isin(of_trial, drawn)
    if held_out.all():
        raise SessionError(
            f"training: all {len(stimuli)} usable trials are test trials, expected training trials too. Give the "
            "recordings of the training stimuli."
        )
    return np.asarray(held_out)


def _shown_live(
    shown: Sequence[str],
    known: dict[str, NDArray[np.float32]],
    live: dict[str, NDArray[np.float32]] | None,
) -> dict[str, NDArray[np.float32]]:
    """Return the stimuli that the bundle is to know.

    Raises
    ------
    SessionError
        Latents of another length.
    """
    if live is None:
        return {s: known[s] for s in sorted(set(shown))}
    n_latents = len(known[shown[0]])
    if other := sorted({len(w) for w in live.values()} - {n_latents}):
        raise SessionError(
            f"live stimuli: latents of {other[0]} dimensions, the decoder gives {n_latents}, expected as many."
        )
    return live


def _told_of(recordings: Sequence[RecordingReader]) -> dict[str, Any]:
    names = [recording.info.path.name for recording in recordings]
    digests = [session_digest(recording) for recording in recordings]
    made = sorted({str(r.provenance()["mua"]) for r in recordings if "mua" in r.provenance()})
    mua = {"mua": made} if made else {}
    if len(names) == 1:
        return {"session": names[0], "session_sha256": digests[0], **mua}
    return {"session": names, "session_sha256": digests, **mua}


def _with_its_own_map(recording: RecordingReader) -> bool:
    """Whether a recording is read with the electrodes that it says itself."""
    if recording.opened_by is None or recording.opened_by[1].channels is None:
        return True
    path, options, format = recording.opened_by
    try:
        with open_recording(path, replace(options, channels=None), format) as own:
            return own.channels.same_electrodes(recording.channels)
    except ChannelMapError:
        return True  # The file says nothing itself: the map that was given is its own.


def _origin(recordings: Sequence[RecordingReader]) -> dict[str, Any]:
    """Return what simulated sessions say about their macaque, so that the bundle can be demonstrated.

    Nothing where some of its electrodes are left out: from its seeds another animal would grow on the others.
    """
    told = [
        {k: v for k, v in r.provenance().items() if k in ("macaque", "protocol", "seeds")}
        for r in recordings
    ]
    if any("macaque" in one for one in told) and not all(map(_with_its_own_map, recordings)):
        return {}
    return {k: v for k, v in told[0].items() if all(other.get(k) == v for other in told[1:])}
