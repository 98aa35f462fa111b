"""The default bundle: a decoder fitted on a simulated macaque that looks at faces.

Training never sees the demo's stimuli nor the held-out ones: channel statistics, lambda and rank come from the
training trials alone. Made in sessions of a few hundred trials, so that an interrupted run goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.bundle import Normalisation
from b2g_rt.contracts.windows import WindowSpec, paper_windows, sliding_windows
from b2g_rt.simulation.from_record import macaque_record
from b2g_rt.simulation.macaque import Macaque
from offline.decoding.decoder import DecoderKind, FittedDecoder, fit_decoder
from offline.decoding.stepping import decode_trials
from offline.evaluation.held_out import FeatureChain
from offline.evaluation.scores import KnownTrials, Scores, score
from offline.export.bundle_writing import (
    N_REFERENCE_IMAGES,
    N_REFERENCE_TRIALS,
    Trained,
    chosen,
    save_bundle,
    versions,
)
from offline.export.decoder_onnx import OnnxDecoder, decoder_onnx
from offline.export.source_hashes import BRAIN, source_hashes
from offline.recordings.cache import Arrays, cached_arrays
from offline.recordings.side_by_side import Progress, side_by_side
from offline.recordings.simulated_sessions import RATE_HZ, UNIT, simulated_recording
from offline.recordings.statistics import (
    ChannelStatistics,
    channel_statistics,
    merged_statistics,
)
from offline.stages import Stage
from offline.stimuli.faces.face_parameters import PARAMETERS
from offline.stimuli.faces.face_reading import face_reading

NAMES: dict[DecoderKind, str] = {"per_window": "simulated-faces", "fixed": "simulated-faces-fixed"}


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """How much is simulated, and from which seeds.

    Attributes
    ----------
    n_trials : int
        Single trials of as many stimuli, never shown again.
    trials_per_session : int
    n_held_out, n_demo : int
        Stimuli of the two evaluations; none of the training stimuli.
    stimulus_seed, held_out_seed, demo_seed : int
        Of the latents.
    noise_seed : int
        Of the first training session; the others follow.
    held_out_noise_seed, demo_noise_seed : int
    fold_seed : int
        Of the folds of cross-validation.
    """

    n_trials: int = 4000
    trials_per_session: int = 500
    n_held_out: int = 500
    n_demo: int = 64
    stimulus_seed: int = 4000
    held_out_seed: int = 4001
    demo_seed: int = 4002
    noise_seed: int = 5000
    held_out_noise_seed: int = 6000
    demo_noise_seed: int = 7000
    fold_seed: int = 0


def windows_of(kind: DecoderKind) -> WindowSpec:
    """Return the paper's nine windows, or its ROI windows to be slid freely."""
    return paper_windows(RATE_HZ) if kind == "per_window" else sliding_windows(RATE_HZ)


def demo_stimuli(macaque: Macaque, plan: TrainingPlan) -> tuple[list[str], NDArray[np.float32]]:
    """Return ids and latents (float32, axes (stimulus, latent)) of the demo's stimuli."""
    ids = [f"face-{i + 1:04d}" for i in range(plan.n_demo)]
    return ids, _draw(macaque, plan.demo_seed, plan.n_demo)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a fit gave.

    Attributes
    ----------
    path : Path
    hash : str
        The bundle's.
    fitted : FittedDecoder
    held_out, demo : Scores
        Single trials of stimuli that were not trained on.
    """

    path: Path
    hash: str
    fitted: FittedDecoder
    held_out: Scores
    demo: Scores


def make_default_bundle(
    macaque: Macaque,
    kind: DecoderKind,
    generator: bytes,
    out: Path,
    *,
    plan: TrainingPlan,
    work: Path | None,
    command: str,
    stage: Stage,
    name: str | None = None,
) -> Outcome:
    """Simulate, fit, score and write a bundle.

    Parameters
    ----------
    macaque : Macaque
    kind : DecoderKind
    generator : bytes
        ONNX file that draws faces from this macaque's latents, see ``face_generator``.
    out : Path
        The bundle's directory.
    plan : TrainingPlan
    work : Path or None
        Where features are kept for a run that goes on after this one.
    command : str
        What the user typed, for the manifest.
    stage : Stage
        Progress.
    name : str, optional
        Of the bundle; the shipped one's by default.
    """
    w = _draw(macaque, plan.stimulus_seed, plan.n_trials)
    key = {"plan": asdict(plan), **macaque_record(macaque), "sources": source_hashes(BRAIN)}
    key["channels"] = macaque.channels.to_dict()
    sessions = _sessions(w, plan)
    statistics = _statistics(macaque, sessions, work, key, stage)
    spec = windows_of(kind)
    chain = FeatureChain(
        macaque.channels, spec, statistics.mean, statistics.sd, Normalisation(kind="frozen")
    )
    features = _features(macaque, sessions, chain, work, {**key, "windows": spec.to_dict()}, stage)
    done = stage(f"{kind}: ridge", features.shape[1])
    fitted = fit_decoder(
        features,
        w,
        [str(i) for i in range(len(w))],
        seed=plan.fold_seed,
        progress=lambda window_idx, choice: done(1),
    )
    latent_mean = w.astype(np.float64).mean(axis=0)
    ids, demo_w = demo_stimuli(macaque, plan)
    scores = _evaluated(macaque, chain, fitted, latent_mean, plan, stage)
    trained = Trained(
        name=name or NAMES[kind],
        kind=kind,
        channels=macaque.channels,
        windows=spec,
        unit=UNIT,
        channel_mean=statistics.mean,
        channel_sd=statistics.sd,
        latent_mean=latent_mean,
        decoder=fitted.decoder,
        generator=generator,
        stimulus_ids=ids,
        stimulus_latents=demo_w,
        simulated=True,
        training=_provenance(macaque, plan, fitted, command),
        metrics={what: s.to_dict() for what, s in scores.items()},
        reference_features=features[:N_REFERENCE_TRIALS],
        reference_w=demo_w[:N_REFERENCE_IMAGES],
        sources=source_hashes(),
    )
    done = stage(f"{kind}: reference outputs and files", 1)
    digest = save_bundle(out, trained)
    done(1)
    return Outcome(out, digest, fitted, scores["held_out"], scores["demo"])


def _evaluated(
    macaque: Macaque,
    chain: FeatureChain,
    fitted: FittedDecoder,
    latent_mean: NDArray[np.float64],
    plan: TrainingPlan,
    stage: Stage,
) -> dict[str, Scores]:
    """Score stimuli that were not trained on, with the very file that ships."""
    model = OnnxDecoder(decoder_onnx(fitted.decoder))
    reading = face_reading(macaque)
    held_out = _draw(macaque, plan.held_out_seed, plan.n_held_out)
    scores = {}
    for what, w, noise_seed in (
        ("held_out", held_out, plan.held_out_noise_seed),
        ("demo", demo_stimuli(macaque, plan)[1], plan.demo_noise_seed),
    ):
        recording, onsets = simulated_recording(macaque, w, noise_seed)
        done = stage(f"scores: {what}", recording.n_samples)
        decoded = decode_trials(model, chain.features(recording, onsets, done))
        known = KnownTrials(w, np.arange(len(w)), latent_mean.astype(np.float32))
        scores[what] = score(decoded, known, reading, [p.name for p in PARAMETERS])
    return scores


Session = tuple[NDArray[np.float32], int]


def _draw(macaque: Macaque, seed: int, n: int) -> NDArray[np.float32]:
    return macaque.latents.draw(np.random.default_rng([macaque.latents.seed, seed]), n)


def _sessions(w: NDArray[np.float32], plan: TrainingPlan) -> list[Session]:
    """Return latents and noise seed of each training session."""
    starts = range(0, len(w), plan.trials_per_session)
    return [
        (w[start : start + plan.trials_per_session], plan.noise_seed + i)
        for i, start in enumerate(starts)
    ]


def _statistics(
    macaque: Macaque,
    sessions: Sequence[Session],
    work: Path | None,
    key: dict[str, Any],
    stage: Stage,
) -> ChannelStatistics:
    done = stage("training: statistics", _n_samples(macaque, sessions))

    def one(position: int, tick: Progress) -> ChannelStatistics:
        recording, _ = simulated_recording(macaque, *sessions[position])

        def compute() -> Arrays:
            return asdict(channel_statistics(recording, tick))

        return ChannelStatistics(
            **cached_arrays(work, f"statistics-{position}", {**key, "session": position}, compute)
        )

    return merged_statistics(side_by_side(one, len(sessions), done))


def _features(
    macaque: Macaque,
    sessions: Sequence[Session],
    chain: FeatureChain,
    work: Path | None,
    key: dict[str, Any],
    stage: Stage,
) -> NDArray[np.float32]:
    done = stage("training: features", _n_samples(macaque, sessions))

    def one(position: int, tick: Progress) -> NDArray[np.float32]:
        recording, onsets = simulated_recording(macaque, *sessions[position])

        def compute() -> Arrays:
            return {"features": chain.features(recording, onsets, tick)}

        key_here = {**key, "session": position}
        return cached_arrays(work, f"features-{position}", key_here, compute)["features"]

    return np.concatenate(side_by_side(one, len(sessions), done))


def _n_samples(macaque: Macaque, sessions: Sequence[Session]) -> int:
    return sum(simulated_recording(macaque, *session)[0].n_samples for session in sessions)


def _provenance(
    macaque: Macaque, plan: TrainingPlan, fitted: FittedDecoder, command: str
) -> dict[str, Any]:
    record = macaque_record(macaque)
    return {
        "about": "simulated macaque, procedural faces: no animal was recorded, no photograph used",
        "command": command,
        "n_trials": plan.n_trials,
        "repeats": 1,
        "stimuli": [],
        "stimuli_about": f"{plan.n_trials} draws of latents without ids (plan.stimulus_seed), each shown once; the "
        "stimuli of this bundle are none of them",
        "seeds": record["seeds"],
        "plan": asdict(plan),
        "macaque": record["macaque"],
        "protocol": record["protocol"],
        "decoder": "reduced-rank ridge, weights rounded to float16",
        "windows": chosen(fitted),
        "versions": versions(),
    }
