"""Fits decoders on the responses and scores them, as the paper did and as a live service would.

``averaged``: a test stimulus' responses averaged over its repetitions, in the z units of the paper, which look ahead.
``single_trial``: every repetition scored by itself, in z units of the training's statistics: what a live decoder
sees. Each has decoders of its own, fitted on single training trials in the same units. Per decoder: the nine windows,
and as a tenth the ROI windows; regularisation is chosen within the training. Knows no files.
Axes are (trial, window, channel).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.bundle import Normalisation
from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.mua.normaliser import Normaliser
from offline.decoding.fitting import channels_of_rois, fit
from offline.decoding.stepping import decode_trials
from offline.evaluation.decoding_scores import DecodingScores, score_decoding
from offline.evaluation.scores import KnownTrials, Scores, score
from offline.evaluation.time_course import TimeCurve, time_curve
from offline.evaluation.trained_stimuli import TrainedStimuli
from offline.recordings.normalisation import PAPER_NOTE, paper_normalised
from offline.recordings.simulated_sessions import RATE_HZ
from offline.regression.folds import folds_by_stimulus
from offline.reproduction.plan import ReproductionPlan
from offline.reproduction.responses import WINDOWS, Responses, roi_window_responses
from offline.scheduling.local_workers import LocalWorkers
from offline.scheduling.resources import Resources
from offline.stages import Stage

Condition = Literal["averaged", "single_trial"]
Method = Literal["ols", "ridge"]
Float32 = NDArray[np.float32]

METHODS: tuple[Method, ...] = get_args(Method)
ALL = "all"
FROZEN_NOTE = "frozen: z-scored with mean and SD of all samples of the training; causal"
CHANNELS_AT_ONCE = 96


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """Responses in z units, and how they came there.

    Attributes
    ----------
    training, test : float32, axes (trial, window, channel)
        Nine windows, then the ROI windows.
    note : str
    looks_ahead : bool
    """

    training: Float32
    test: Float32
    note: str
    looks_ahead: bool


@dataclass(frozen=True, slots=True, eq=False)
class DecoderScores:
    """One decoder: a method, and the electrodes it reads, in one condition.

    Attributes
    ----------
    roi_windows : DecodingScores
        Decoded once, from the ROI windows.
    windows : Scores
        The nine windows.
    chosen : list of dict
        What cross-validation chose, nine windows and the ROI windows.
    """

    roi_windows: DecodingScores
    windows: Scores
    chosen: list[dict[str, float]]

    @property
    def curve(self) -> TimeCurve:
        """The cosine over windows."""
        return time_curve(self.windows, WINDOWS)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; single latent dimensions are left out."""
        static = self.roi_windows.to_dict()
        dimensions = static.pop("dimensions")
        kept = ("explained", "mean_pearson", "mean_r2")
        windows = self.windows.to_dict()
        windows.pop("parameters")
        return {
            "roi_windows": {**static, "dimensions": {name: dimensions[name] for name in kept}},
            **windows,
            "stop_ms": self.curve.stop_ms.tolist(),
            "share_of_final_gain": self.curve.share_of_final_gain().tolist(),
            "chosen": self.chosen,
        }


@dataclass(frozen=True, slots=True, eq=False)
class ConditionScores:
    """All decoders in one condition.

    Attributes
    ----------
    note : str
        How responses came into z units.
    looks_ahead : bool
    n_trials : int
    decoders : dict of method to dict of ROI ('all' first) to DecoderScores
    """

    note: str
    looks_ahead: bool
    n_trials: int
    decoders: dict[Method, dict[str, DecoderScores]]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "normalisation": self.note,
            "looks_ahead": self.looks_ahead,
            "n_trials": self.n_trials,
            **{
                method: {roi: one.to_dict() for roi, one in by_roi.items()}
                for method, by_roi in self.decoders.items()
            },
        }


def score_condition(
    what: Condition,
    responses: Responses,
    channels: ChannelMap,
    plan: ReproductionPlan,
    training_w: Float32,
    test_w: Float32,
    stage: Stage,
    resources: Resources | None = None,
) -> ConditionScores:
    """Fit and score every decoder of one condition.

    Parameters
    ----------
    what : Condition
    responses : Responses
    channels : ChannelMap
    plan : ReproductionPlan
    training_w, test_w : float32, axes (stimulus, latent)
    stage : Stage
        Progress.
    resources : Resources, optional
        Workers for windows and scores, and the memory that a fit may take beside the responses; threads by default.
    """
    workers = resources.workers if resources else LocalWorkers()
    units = (paper_units if what == "averaged" else live_units)(responses, channels)
    shown = plan.shown("test")
    test = units.test
    if what == "averaged":
        test = averaged(test, shown, plan.n_test)
        shown = np.arange(plan.n_test)
    known = KnownTrials(test_w, shown, training_w.mean(axis=0, dtype=np.float64).astype(np.float32))
    stimuli = [f"training-{i + 1:04d}" for i in range(plan.n_training)]
    trained = TrainedStimuli.of_trials(stimuli, training_w)
    folds = folds_by_stimulus(stimuli, seed=plan.seed)
    rois = {ALL: None, **{roi: channels_of_rois(channels, [roi]) for roi in channels.rois()}}
    n_maps = test.shape[1] * len(rois)
    decoders: dict[Method, dict[str, DecoderScores]] = {}
    for method in METHODS:
        done = stage(f"{what.replace('_', ' ')}: {method}, {', '.join(rois)}", n_maps)
        fits = [
            fit(
                method,
                units.training,
                training_w,
                folds,
                channel_idx=channel_idx,
                progress=done,
                workers=workers,
                memory=resources.memory if resources else None,
            )
            for channel_idx in rois.values()
        ]
        decoded = (decode_trials(fitted.decoder, test) for fitted in fits)
        truth = _Truth(known, _test_ids(shown), trained)
        scored = workers.run(_score, decoded, shared=truth)
        decoders[method] = {
            roi: DecoderScores(*scores, fitted.windows)
            for roi, fitted, scores in zip(rois, fits, scored, strict=True)
        }
    return ConditionScores(units.note, units.looks_ahead, len(test), decoders)


@dataclass(frozen=True, slots=True, eq=False)
class _Truth:
    """What every decoder of a condition is scored against."""

    known: KnownTrials
    stimuli: Sequence[str]
    trained: TrainedStimuli


def _score(truth: _Truth, decoded: Float32) -> tuple[DecodingScores, Scores]:
    """Score the ROI windows, and the nine windows."""
    last = score_decoding(decoded[:, -1], truth.known, truth.stimuli, truth.trained)
    return last, score(decoded[:, :-1], truth.known)


def paper_units(responses: Responses, channels: ChannelMap) -> Units:
    """Return z units of the paper: mean and SD of the test's responses, which are of one day."""
    shape = (WINDOWS.n_windows + 1, channels.n_channels)
    training = np.empty((len(responses.training), *shape), np.float32)
    test = np.empty((len(responses.test), *shape), np.float32)
    is_test = np.arange(len(training) + len(test)) >= len(training)
    one_day = np.zeros(len(is_test), np.int64)
    # The nine windows share statistics, the ROI windows have their own, as two analyses have.
    for start in range(0, channels.n_channels, CHANNELS_AT_ONCE):
        strip = slice(start, start + CHANNELS_AT_ONCE)
        both = np.concatenate([responses.training[:, :, strip], responses.test[:, :, strip]])
        z = paper_normalised(both, one_day, is_test).values
        training[:, :-1, strip], test[:, :-1, strip] = z[~is_test], z[is_test]
    static = [roi_window_responses(part, channels) for part in (responses.training, responses.test)]
    z = paper_normalised(np.concatenate(static), one_day, is_test).values
    training[:, -1], test[:, -1] = z[~is_test], z[is_test]
    return Units(training, test, PAPER_NOTE, looks_ahead=True)


def live_units(responses: Responses, channels: ChannelMap) -> Units:
    """Return z units of the training's statistics, by the class that normalises live."""
    statistics = responses.statistics
    normaliser = Normaliser(Normalisation(kind="frozen"), statistics.mean, statistics.sd, RATE_HZ)

    def normalised(part: Float32) -> Float32:
        z = np.empty((len(part), part.shape[1] + 1, part.shape[2]), np.float32)
        for k in range(part.shape[1]):
            z[:, k] = normaliser.apply(part[:, k])
        z[:, -1] = roi_window_responses(z[:, :-1], channels)
        return z

    return Units(
        normalised(responses.training), normalised(responses.test), FROZEN_NOTE, looks_ahead=False
    )


def averaged(features: Float32, shown: NDArray[np.int64], n_stimuli: int) -> Float32:
    """Average the repetitions of each stimulus, float32, axes (stimulus, window, channel)."""
    return np.stack(
        [features[shown == i].mean(axis=0, dtype=np.float64) for i in range(n_stimuli)]
    ).astype(np.float32)


def _test_ids(shown: NDArray[np.int64]) -> Sequence[str]:
    return [f"test-{i + 1:04d}" for i in shown]
