"""Fits a decoder of any method: the one way in for commands, evaluation and bundles.

Whatever a method chooses (regularisation, rank, components, epoch, smoothing) is chosen by held-out trials of the
folds that it is given; test trials never come here. Windows are pieces of work, on the threads of this process or on
a cluster; features may be in a file, of which one window is read at a time. Knows nothing of ONNX.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.errors import ChannelMapError, ConfigError, SessionError
from offline.decoding.attention_decoder import AttentionDecoder
from offline.decoding.decoder import LinearDecoder, linear_decoder
from offline.decoding.fit_memory import FitMemory, FitSize, plan_fit
from offline.decoding.methods import Solve
from offline.decoding.smoothing import (
    SmoothedDecoder,
    SmoothingChoice,
    SmoothingChoiceKind,
    choose_smoothing,
)
from offline.decoding.stepping import decode_trials
from offline.decoding.window_fits import (
    EveryWindow,
    WithinFold,
    fit_window,
    fit_within,
    run_pieces,
    solve_of,
)
from offline.recordings.features_file import Features, array_of, finite_trials, window_of
from offline.regression.folds import Fold
from offline.regression.ridge_forms import SharedTargets
from offline.scheduling.local_workers import LocalWorkers
from offline.scheduling.workers import Workers

Method = Literal["ols", "ridge", "reduced_rank", "pls", "attention"]
Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A decoder, and what held-out trials chose.

    Attributes
    ----------
    method : Method
    decoder : LinearDecoder, SmoothedDecoder or AttentionDecoder
        What is predicted with, scored and exported.
    windows : list of dict, one per window
        Plain data for a manifest: what was chosen, and ``explained``, the held-out share of the latents' variance
        before smoothing.
    smoothing : dict
        Plain data: ``kind``, ``value``, and ``explained`` over all windows; empty where none was asked for.
    """

    method: Method
    decoder: LinearDecoder | SmoothedDecoder | AttentionDecoder
    windows: list[dict[str, float]]
    smoothing: dict[str, Any]


def fit(
    method: Method,
    features: Features,
    latents: Float32,
    folds: Sequence[Fold],
    *,
    channel_idx: NDArray[np.integer] | None = None,
    groups: NDArray[np.integer] | str = "each",
    smoothing: SmoothingChoiceKind = "none",
    sliding: Float32 | None = None,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
    workers: Workers | None = None,
    memory: int | None = None,
    say: Callable[[str], None] | None = None,
) -> Fitted:
    """Fit a decoder, one map per window.

    Parameters
    ----------
    method : {'ols', 'ridge', 'reduced_rank', 'pls', 'attention'}
    features : float32, axes (trial, window, channel), z units, finite; or a file of them
        One window for ``fixed``.
    latents : float32, axes (trial, latent)
    folds : sequence of Fold
        See folds.py; ``attention`` uses the first one.
    channel_idx : int, axes (read channel,), optional
        The decoder takes all channels and reads these, see ``channels_of_rois``; all by default.
    groups : {'each', 'all'} or int, axes (latent,)
        Which latents share a regularisation; of ``ridge`` only.
    smoothing : {'none', 'exponential', 'kalman', 'best'}
        Over a trial's windows, see smoothing.py.
    sliding : float32, axes (trial, position, channel), optional
        Of a ``fixed`` decoder that is smoothed: the same trials at successive positions of its sliding window.
    seed : int
        Of training by chance (``attention``).
    progress : callable, optional
        Called with the number of windows done since the last call.
    workers : Workers, optional
        Where windows are fitted side by side; by default one after the other, each on all processors. The same bits
        from threads and from a cluster of such processors, others within 1e-5 of the latents' SD.
    memory : int, optional
        Bytes that each process may take beyond features and latents; see fit_memory.py.
    say : callable, optional
        Called with one line: the memory that the fit takes at most.

    Raises
    ------
    SessionError
        Features or latents that are not finite; too few folds to smooth a fixed decoder.
    ConfigError
        A method that is not known, or that cannot be smoothed; ``memory`` is too little.
    SchedulerError
        See ``Workers.run``.
    """
    _check(method, features, latents, smoothing, sliding)
    size = _size(method, features, latents, folds, channel_idx, smoothing != "none")
    plan = plan_fit(size, workers or LocalWorkers(1), memory)
    if say:
        say(plan.line())
    if method == "attention":
        return _attention(array_of(features), latents, folds, channel_idx, seed, progress)
    solve = solve_of(method, groups, plan.latent_block)
    keep = smoothing != "none" and sliding is None
    work = EveryWindow(solve, SharedTargets.of(latents, folds), channel_idx, keep)
    pieces = (window_of(features, k) for k in range(features.shape[1]))
    fits = list(run_pieces(workers, fit_window, pieces, work, plan.at_once, progress))
    decoder = linear_decoder([one.map for one in fits], channel_idx, features.shape[2])
    windows = [{**one.chosen, "explained": one.explained} for one in fits]
    if smoothing == "none":
        return Fitted(method, decoder, windows, {})
    if sliding is None:
        predicted = np.stack([one.held_out for one in fits if one.held_out is not None], axis=1)
    else:
        whole = window_of(features, 0)
        predicted = _slid(solve, whole, latents, folds, channel_idx, sliding, workers, plan)
    choice = choose_smoothing(smoothing, predicted, latents, folds, fixed=sliding is not None)
    if choice.smoothing is None:
        return Fitted(method, decoder, windows, _smoothing_record(choice))
    smoothed = SmoothedDecoder(decoder, choice.smoothing)
    return Fitted(method, smoothed, windows, _smoothing_record(choice))


def channels_of_rois(channels: ChannelMap, rois: Sequence[str]) -> NDArray[np.intp]:
    """Return the channel positions of some ROIs, ascending, int, axes (channel,).

    Raises
    ------
    ChannelMapError
        A ROI has no channel.
    """
    for roi in rois:
        if roi not in channels.rois():
            raise ChannelMapError(
                f"decoder: ROI '{roi}' has no channel, expected some of {', '.join(channels.rois())}."
            )
    return np.flatnonzero(np.isin(channels.roi, list(rois)))


def _size(
    method: Method,
    features: Features,
    latents: Float32,
    folds: Sequence[Fold],
    channel_idx: NDArray[np.integer] | None,
    smoothed: bool,
) -> FitSize:
    n_trials, n_windows, n_channels = features.shape
    n_read = n_channels if channel_idx is None else len(channel_idx)
    return FitSize(
        method, n_trials, n_windows, n_read, latents.shape[1], max(1, len(folds)), smoothed
    )


def _check(
    method: Method,
    features: Features,
    latents: Float32,
    smoothing: SmoothingChoiceKind,
    sliding: Float32 | None,
) -> None:
    if method not in get_args(Method):
        raise ConfigError(f"decoder: '{method}', expected one of {', '.join(get_args(Method))}.")
    broken = ~(finite_trials(features) & np.isfinite(latents).all(axis=1))
    if broken.any():
        raise SessionError(
            f"training: {int(broken.sum())} of {len(latents)} trials are not finite (the first is "
            f"{int(broken.argmax())}), expected none. Leave out trials with missing windows."
        )
    if method == "attention" and smoothing != "none":
        raise ConfigError(
            f"decoder: attention with smoothing '{smoothing}', expected none: it pools windows itself."
        )
    if smoothing != "none" and features.shape[1] == 1 and sliding is None:
        raise ConfigError(
            f"decoder: fixed with smoothing '{smoothing}', expected features at successive positions of its window. "
            "Give them, or set smoothing to none."
        )


def _slid(
    solve: Solve,
    features: Float32,
    latents: Float32,
    folds: Sequence[Fold],
    channel_idx: NDArray[np.integer] | None,
    sliding: Float32,
    workers: Workers | None,
    plan: FitMemory,
) -> Float32:
    """Decode each trial's positions by a decoder that has not seen it; (trial, position, latent), else NaN."""
    predicted = np.full((*sliding.shape[:2], latents.shape[1]), np.nan, np.float32)
    inner = [_inner_folds(folds, fold_idx) for fold_idx in range(len(folds))]
    if not all(inner):
        raise SessionError(
            f"training: {len(folds)} folds leave nothing to hold out within one of them, expected at least 3 "
            "to smooth a fixed decoder. Split by stimulus instead."
        )
    pieces = (
        (features[fold.train], latents[fold.train], within)
        for fold, within in zip(folds, inner, strict=True)
    )
    found = run_pieces(workers, fit_within, pieces, WithinFold(solve, channel_idx), plan.at_once)
    for fold, one in zip(folds, found, strict=True):
        decoder = linear_decoder([one], channel_idx, features.shape[1])
        predicted[fold.held_out] = decode_trials(decoder, sliding[fold.held_out], fixed=True)
    return predicted


def _inner_folds(folds: Sequence[Fold], fold_idx: int) -> list[Fold]:
    """Return the other folds without what this one holds out, as positions among its training trials."""
    train = folds[fold_idx].train
    inner = [
        Fold(
            np.flatnonzero(np.isin(train, other.train)),
            np.flatnonzero(np.isin(train, other.held_out)),
        )
        for i, other in enumerate(folds)
        if i != fold_idx
    ]
    return [fold for fold in inner if len(fold.train) and len(fold.held_out)]


def _smoothing_record(choice: SmoothingChoice) -> dict[str, Any]:
    return {
        "kind": choice.kind,
        "value": choice.value,
        "explained": round(choice.explained[choice.kind, choice.value], 5),
        "explained_without": round(choice.explained["none", 0.0], 5),
    }


def _attention(
    features: Float32,
    latents: Float32,
    folds: Sequence[Fold],
    channel_idx: NDArray[np.integer] | None,
    seed: int,
    progress: Callable[[int], None] | None,
) -> Fitted:
    from offline.decoding.attention_training import train_attention

    found = train_attention(features, latents, folds[0], channel_idx=channel_idx, seed=seed)
    if progress:
        progress(features.shape[1])
    windows = [{"epoch": found.epoch, "explained": float(e)} for e in found.explained]
    return Fitted("attention", found.decoder, windows, {})
