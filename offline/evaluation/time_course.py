"""Decoding over time: curves over windows, and the matrix of decoders fitted at one window and scored at another.

Window k closes at ``stop_ms[k]`` after the onset and uses no later sample. Every value stands beside the mean
latent's. Knows decoders only as something that predicts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.windows import WindowSpec
from b2g_rt.errors import ConfigError
from offline.evaluation.held_out import Predicts
from offline.evaluation.metrics import Array, cosines
from offline.evaluation.scores import KnownTrials, Scores
from offline.recordings.features_file import Features, trial_blocks
from offline.scheduling.local_workers import LocalWorkers
from offline.scheduling.workers import Workers


@dataclass(frozen=True, slots=True, eq=False)
class TimeCurve:
    """A score per window.

    Attributes
    ----------
    stop_ms : float64, axes (window,)
        When each window closes, after the onset.
    value, low, high : float64, axes (window,)
        Mean over trials and its 95 % bootstrap interval over stimuli.
    baseline : float64, axes (window,)
        The mean latent on the same trials; for a centred cosine 0, its chance.
    n_trials : int64, axes (window,)
    """

    stop_ms: Array
    value: Array
    low: Array
    high: Array
    baseline: Array
    n_trials: NDArray[np.int64]

    def share_of_final_gain(self) -> Array:
        """Return how much of the last window's gain over the first one each window has, axes (window,); 0 without gain.

        Notes
        -----
        The paper's curve for faces (Brain2GAN, figure 11) gives .28, .66, .89 for k = 2, 3, 4.
        """
        gain = self.value - self.value[0]
        return np.asarray(gain / gain[-1] if gain[-1] != 0 else np.zeros_like(gain))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {name: getattr(self, name).tolist() for name in self.__slots__} | {
            "share_of_final_gain": self.share_of_final_gain().tolist()
        }


def time_curve(scores: Scores, spec: WindowSpec, centred: bool = False) -> TimeCurve:
    """Return the cosine over windows, raw or centred.

    Parameters
    ----------
    scores : Scores
        Of single trials, or of averaged ones.
    spec : WindowSpec
        Anchored to the marker: a free window has no time after the onset.
    centred : bool
        The cosine of both minus the training mean.

    Raises
    ------
    ConfigError
        Free windows, or another number of them.
    """
    stops = window_stops_ms(spec, len(scores.windows))
    chosen = [w.centred_cosine if centred else w.cosine for w in scores.windows]
    return TimeCurve(
        stop_ms=stops,
        value=np.array([i.mean for i in chosen]),
        low=np.array([i.low for i in chosen]),
        high=np.array([i.high for i in chosen]),
        baseline=np.array([0.0 if centred else w.mean_latent_cosine for w in scores.windows]),
        n_trials=np.array([w.n_trials for w in scores.windows], np.int64),
    )


@dataclass(frozen=True, slots=True, eq=False)
class TemporalGeneralisation:
    """Decoders fitted at one window and scored at another.

    Attributes
    ----------
    cosine, centred_cosine : float64, axes (fit window, score window)
        Means over trials; the diagonal of ``cosine`` is the time curve of these decoders.
    mean_latent_cosine : float64, axes (score window,)
        The baseline of ``cosine``; that of ``centred_cosine`` is 0.
    n_trials : int64, axes (score window,)
    """

    cosine: Array
    centred_cosine: Array
    mean_latent_cosine: Array
    n_trials: NDArray[np.int64]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {name: getattr(self, name).tolist() for name in self.__slots__}


def temporal_generalisation(
    decoder: Predicts,
    n_fit_windows: int,
    features: Features,
    known: KnownTrials,
    workers: Workers | None = None,
) -> TemporalGeneralisation:
    """Let every window's decoder decode every window.

    Parameters
    ----------
    decoder : Predicts
        ``per_window``, fitted; or ``fixed``, with one fit window: a matrix of one row.
    n_fit_windows : int
        Maps the decoder has.
    features : float32, axes (trial, score window, channel), or a file of them
        Of held-out trials; NaN where a window could not be cut.
    known : KnownTrials
    workers : Workers, optional
        They decode, block by block of trials; figures are the same without.

    Notes
    -----
    King & Dehaene 2014, doi 10.1016/j.tics.2014.01.002: a square of high values is a code that lasts, a diagonal one
    that changes.
    """
    n_trials, n_score = features.shape[:2]
    mean = known.mean.astype(np.float64)
    of_trials = np.full((2, n_fit_windows, n_score, n_trials), np.nan)
    whole = np.zeros((n_score, n_trials), np.bool_)
    blocks = (
        (trials, block, known.pool[known.true_idx[trials]])
        for trials, block in trial_blocks(features)
    )
    shared = (decoder, n_fit_windows, mean)
    for trials, found in (workers or LocalWorkers(1)).run(_cells, blocks, shared=shared):
        of_trials[..., trials] = found
        whole[:, trials] = np.isfinite(found[0, 0])
    cells = np.full((2, n_fit_windows, n_score), np.nan)
    baseline = np.full(n_score, np.nan)
    guess = cosines(np.broadcast_to(mean, known.latents.shape), known.latents)
    for k in np.flatnonzero(whole.any(axis=1)):
        baseline[k] = guess[whole[k]].mean()
        for cell, values in zip(cells, of_trials, strict=True):
            cell[:, k] = [values[fit, k, whole[k]].mean() for fit in range(n_fit_windows)]
    return TemporalGeneralisation(cells[0], cells[1], baseline, whole.sum(axis=1, dtype=np.int64))


def _cells(
    shared: tuple[Predicts, int, Array],
    item: tuple[NDArray[np.intp], NDArray[np.float32], NDArray[np.float32]],
) -> tuple[NDArray[np.intp], Array]:
    """Return a block of trials' cosines, raw and centred, float64, axes (kind, fit window, score window, trial)."""
    decoder, n_fit_windows, mean = shared
    trials, features, true = item
    found = np.full((2, n_fit_windows, features.shape[1], len(trials)), np.nan)
    for k in range(features.shape[1]):
        whole = np.isfinite(features[:, k]).all(axis=1)
        x, there = np.ascontiguousarray(features[whole, k]), true[whole]
        for fit in range(n_fit_windows):
            decoded = decoder.predict(x, fit)
            found[0, fit, k, whole] = cosines(decoded, there)
            found[1, fit, k, whole] = cosines(decoded - mean, there - mean)
    return trials, found


def window_stops_ms(spec: WindowSpec, n_windows: int) -> Array:
    """Return when each window closes, milliseconds after the onset, float64, axes (window,).

    Raises
    ------
    ConfigError
        Free windows, or another number of them.
    """
    if spec.anchor != "marker" or spec.n_windows != n_windows:
        raise ConfigError(
            f"time curve: {n_windows} windows scored, the specification has {spec.n_windows} anchored to the "
            f"{spec.anchor}, expected as many anchored to the marker. Use a per_window decoder."
        )
    stops = np.array([spec.start_of(k) + spec.length for k in range(n_windows)], np.float64)
    return np.asarray(stops * 1000.0 / spec.rate_hz)
