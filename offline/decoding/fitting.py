"""Fits a decoder of any method: the one way in for commands, evaluation and bundles.

Whatever a method chooses (regularisation, rank, components, epoch, smoothing) is chosen by held-out trials of the
folds that it is given; test trials never come here. Knows nothing of files or ONNX.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.errors import ChannelMapError, ConfigError, SessionError
from offline.decoding.attention_decoder import AttentionDecoder
from offline.decoding.decoder import LinearDecoder, linear_decoder
from offline.decoding.folds import Fold
from offline.decoding.methods import LINEAR_METHODS, Solve, ridge
from offline.decoding.ridge_search import SharedLatents
from offline.decoding.smoothing import (
    SmoothedDecoder,
    SmoothingChoice,
    SmoothingChoiceKind,
    choose_smoothing,
)
from offline.decoding.stepping import decode_trials

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
    features: Float32,
    latents: Float32,
    folds: Sequence[Fold],
    *,
    channel_idx: NDArray[np.integer] | None = None,
    groups: NDArray[np.integer] | str = "each",
    smoothing: SmoothingChoiceKind = "none",
    sliding: Float32 | None = None,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Fitted:
    """Fit a decoder, one map per window.

    Parameters
    ----------
    method : {'ols', 'ridge', 'reduced_rank', 'pls', 'attention'}
    features : float32, axes (trial, window, channel), z units, finite
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

    Raises
    ------
    SessionError
        Features or latents that are not finite; too few folds to smooth a fixed decoder.
    ConfigError
        A method that is not known, or that cannot be smoothed.
    """
    _check(method, features, latents, smoothing, sliding)
    if method == "attention":
        return _attention(features, latents, folds, channel_idx, seed, progress)
    solve = partial(ridge, groups=groups) if method == "ridge" else LINEAR_METHODS[method]
    shared = SharedLatents.of(latents, folds)
    maps, windows, held_out = [], [], []
    for window_idx in range(features.shape[1]):
        one = solve(_read(features[:, window_idx], channel_idx), shared)
        maps.append(one.map)
        windows.append({**one.chosen, "explained": _explained(one.held_out, latents, shared.mean)})
        if smoothing != "none" and sliding is None:
            held_out.append(one.held_out)
        if progress:
            progress(1)
    decoder = linear_decoder(maps, channel_idx, features.shape[2])
    if smoothing == "none":
        return Fitted(method, decoder, windows, {})
    if sliding is None:
        predicted = np.stack(held_out, axis=1)
    else:
        predicted = _slid(solve, features, latents, folds, channel_idx, sliding)
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


def _check(
    method: Method,
    features: Float32,
    latents: Float32,
    smoothing: SmoothingChoiceKind,
    sliding: Float32 | None,
) -> None:
    if method not in get_args(Method):
        raise ConfigError(f"decoder: '{method}', expected one of {', '.join(get_args(Method))}.")
    broken = ~(np.isfinite(features).all(axis=(1, 2)) & np.isfinite(latents).all(axis=1))
    if broken.any():
        raise SessionError(
            f"training: {int(broken.sum())} of {len(features)} trials are not finite (the first is "
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


def _read(features: Float32, channel_idx: NDArray[np.integer] | None) -> Float32:
    return features if channel_idx is None else features[:, channel_idx]


def _explained(held_out: Float32, latents: Float32, mean: NDArray[np.float64]) -> float:
    """Return the share of the latents' variance that held-out predictions explain; at most 1."""
    known = np.asarray(np.isfinite(held_out).all(axis=1))
    rest = np.square(latents[known] - held_out[known], dtype=np.float64).sum()
    total = np.square(latents[known] - mean).sum()
    return float(1.0 - rest / total) if total > 0 else 0.0


def _slid(
    solve: Solve,
    features: Float32,
    latents: Float32,
    folds: Sequence[Fold],
    channel_idx: NDArray[np.integer] | None,
    sliding: Float32,
) -> Float32:
    """Decode each trial's positions by a decoder that has not seen it; (trial, position, latent), else NaN."""
    predicted = np.full((*sliding.shape[:2], latents.shape[1]), np.nan, np.float32)
    for fold_idx, fold in enumerate(folds):
        inner = _inner_folds(folds, fold_idx)
        if not inner:
            raise SessionError(
                f"training: {len(folds)} folds leave nothing to hold out within one of them, expected at least 3 "
                "to smooth a fixed decoder. Split by stimulus instead."
            )
        shared = SharedLatents.of(latents[fold.train], inner)
        one = solve(_read(features[fold.train, 0], channel_idx), shared)
        decoder = linear_decoder([one.map], channel_idx, features.shape[2])
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
