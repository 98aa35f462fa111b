"""The linear methods: how one window's map from features to latents is fitted.

``ols`` (paper), ``ridge`` (one regularisation per group of latents), ``reduced_rank`` (reduced-rank ridge) and
``pls`` (scikit-learn's PLSRegression). All answer alike: a map, what was chosen on held-out trials, and each trial
predicted by the fold that holds it out, from which smoothing and comparisons are made.
For decoder.py and fitting.py; knows nothing of windows, files or ONNX. Axes are (trial, channel), (trial, latent).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from offline.decoding.ignored_warnings import ignored
from offline.decoding.ridge import (
    KEPT_SHARE,
    MIN_EXPLAINED,
    RidgeChoice,
    choose,
    low_rank_factors,
    ridge_path,
)
from offline.regression.folds import Fold
from offline.regression.ridge_forms import SharedTargets
from offline.regression.ridge_search import RidgeSearch, ridge_search

LinearMethod = Literal["ols", "ridge", "reduced_rank", "pls"]
Float64 = NDArray[np.float64]

MAX_PLS_COMPONENTS = 60


@dataclass(frozen=True, slots=True)
class WindowMap:
    """Latent = (features - feature_mean) @ down @ up + latent_mean.

    Attributes
    ----------
    down : float64, axes (channel, component)
    up : float64, axes (component, latent), or None
        None: of full rank, and ``down`` is (channel, latent).
    feature_mean : float64, axes (channel,)
    latent_mean : float64, axes (latent,)
    """

    down: Float64
    up: Float64 | None
    feature_mean: Float64
    latent_mean: Float64


@dataclass(frozen=True, slots=True)
class WindowFit:
    """A window's map, and what held-out trials said of it.

    Attributes
    ----------
    map : WindowMap
    chosen : dict
        Hyperparameters, plain data.
    held_out : float32, axes (trial, latent)
        NaN where no fold holds the trial out.
    """

    map: WindowMap
    chosen: dict[str, float]
    held_out: NDArray[np.float32]


def ols(
    features: NDArray[np.float32], latents: SharedTargets, latent_block: int | None = None
) -> WindowFit:
    """Fit ordinary least squares, as the paper; of least norm where the solution is not unique."""
    found = ridge_search(features, latents, lambdas=(0.0,), groups="all", target_block=latent_block)
    return WindowFit(_map(found), {}, found.held_out)


def ridge(
    features: NDArray[np.float32],
    latents: SharedTargets,
    groups: NDArray[np.integer] | str = "each",
    latent_block: int | None = None,
) -> WindowFit:
    """Fit ridge regression, one cross-validated lambda per group of latents; see ``ridge_search``."""
    found = ridge_search(features, latents, groups=groups, target_block=latent_block)
    chosen = {
        "lambda_min": float(found.lam.min()),
        "lambda_median": float(np.median(found.lam)),
        "lambda_max": float(found.lam.max()),
    }
    return WindowFit(_map(found), chosen, found.held_out)


def _map(found: RidgeSearch) -> WindowMap:
    return WindowMap(found.weights, None, found.input_mean, found.target_mean)


def reduced_rank(features: NDArray[np.float32], latents: SharedTargets) -> WindowFit:
    """Fit reduced-rank ridge; lambda (relative) and rank are cross-validated. See ridge.py."""
    found, choice = reduced_rank_map(features, latents.centred + latents.mean, latents.folds)
    return WindowFit(found, {"lambda": choice.lam, "rank": choice.rank}, choice.held_out)


def reduced_rank_map(
    features: NDArray[np.floating], latents: NDArray[np.floating], folds: Sequence[Fold]
) -> tuple[WindowMap, RidgeChoice]:
    """Fit reduced-rank ridge; returns all that cross-validation saw too."""
    x = features.astype(np.float64)
    choice = choose(x, latents, folds)
    path = ridge_path(x, latents)
    down, up = low_rank_factors(path, choice.lam, choice.rank)
    return WindowMap(down, up, path.feature_mean, path.latent_mean), choice


def pls(
    features: NDArray[np.float32],
    latents: SharedTargets,
    max_components: int = MAX_PLS_COMPONENTS,
) -> WindowFit:
    """Fit partial least squares with a cross-validated number of components.

    Notes
    -----
    Components are found one after the other, so one fit of the largest number serves all smaller ones. As few are
    kept as give KEPT_SHARE of the best.
    """
    x, y = features.astype(np.float64), latents.centred + latents.mean
    n = min(max_components, x.shape[1], min(len(fold.train) for fold in latents.folds) - 1)
    fits = [_pls(x[fold.train], y[fold.train], n) for fold in latents.folds]
    gains, total = np.zeros(n + 1), 0.0
    for fold, one in zip(latents.folds, fits, strict=True):
        wanted = y[fold.held_out] - one.latent_mean
        scores = (x[fold.held_out] - one.feature_mean) @ one.down
        total += float(np.square(wanted).sum())
        gains += _gain_by_component(scores, one.up, wanted)
    explained = gains / total
    best = float(explained.max())
    kept = 0
    if best > MIN_EXPLAINED:
        kept = int(np.flatnonzero(explained >= KEPT_SHARE * best)[0])
    held_out = np.full(y.shape, np.nan, np.float32)
    for fold, one in zip(latents.folds, fits, strict=True):
        scores = (x[fold.held_out] - one.feature_mean) @ one.down[:, :kept]
        held_out[fold.held_out] = scores @ one.up[:kept] + one.latent_mean
    whole = _pls(x, y, max(kept, 1))
    found = WindowMap(whole.down[:, :kept], whole.up[:kept], whole.feature_mean, whole.latent_mean)
    return WindowFit(found, {"components": kept}, held_out)


@dataclass(frozen=True, slots=True)
class _Pls:
    down: Float64
    up: Float64
    feature_mean: Float64
    latent_mean: Float64


def _pls(x: Float64, y: Float64, n_components: int) -> _Pls:
    from sklearn.cross_decomposition import PLSRegression
    from sklearn.exceptions import ConvergenceWarning

    feature_mean, latent_mean = x.mean(axis=0), y.mean(axis=0)
    x, y = _shortened(x - feature_mean, y - latent_mean)
    # Scores that nearly tie rotate among themselves for ever, and predict the same.
    with ignored(ConvergenceWarning):
        fitted = PLSRegression(n_components, scale=False, max_iter=100).fit(x, y)
    return _Pls(fitted.x_rotations_, fitted.y_loadings_.T, feature_mean, latent_mean)


def _shortened(x: Float64, y: Float64) -> tuple[Float64, Float64]:
    """Return channels + 1 rows with the same X'X and X'Y, on which alone partial least squares depends.

    Notes
    -----
    X = Q R; the rows are H R and H Q'Y, with H orthonormal and orthogonal to 1 (Helmert), so that their mean stays 0:
    PLSRegression takes it off. Ten times faster for 3200 trials of 960 channels.
    """
    n_channels = x.shape[1]
    if len(x) <= n_channels + 1:
        return x, y
    from scipy.linalg import helmert

    q, r = np.linalg.qr(x)
    rows = helmert(n_channels + 1).T
    return rows @ r, rows @ (q.T @ y)


def _gain_by_component(scores: Float64, up: Float64, wanted: Float64) -> Float64:
    """Return |wanted|^2 - |wanted - prediction|^2 for 0, 1, 2, ... components; float64, axes (component,)."""
    error = wanted.copy()
    left = [float(np.square(error).sum())]
    for score, loading in zip(scores.T, up, strict=True):
        error -= np.outer(score, loading)
        left.append(float(np.square(error).sum()))
    return left[0] - np.array(left)


Solve = Callable[[NDArray[np.float32], SharedTargets], WindowFit]

LINEAR_METHODS: dict[LinearMethod, Solve] = {
    "ols": ols,
    "ridge": ridge,
    "reduced_rank": reduced_rank,
    "pls": pls,
}
