"""Ridge regression with cross-validated regularisation, one value per group of latents, for all values at once.

    prediction(lambda) = Z (D + lambda)^-1 C + mean
    primal   X'X = V D V',  Z = x V,     C = V' X'Y      channels <= training trials
    dual     XX' = U D U',  Z = x X' U,  C = U' Y        otherwise

X and Y are a fold's training features and latents minus their means, x its held-out features minus the same means.
The product of all trials is formed once; a fold's is that minus its held-out part (primal) or a block of it
(dual). One eigendecomposition per fold serves all values, and all latents with them; one more, of all trials,
gives the final weights. Products and decompositions are float64: a Gram matrix squares the condition number.
The many products after it are float32; they are subtracted from nothing larger than the latents.
Folds are worked on side by side, one thread of BLAS each where there are fewer processors than folds.
For methods.py; knows nothing of windows, files or ONNX. Axes are (trial, channel) and (trial, latent).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from offline.decoding.folds import Fold
from offline.decoding.ridge import LAMBDAS

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

# With more groups than latents over this, predicting each latent is less work than summing over groups.
GROUPED_FROM = 8
# Of the largest eigenvalue: below it a component is rounding, and lambda = 0 leaves it out (least norm).
ROUNDING = 1e-13


@dataclass(frozen=True, slots=True)
class SharedLatents:
    """The latents as every window's search needs them; made once.

    Attributes
    ----------
    mean : float64, axes (latent,)
    centred : float64, axes (trial, latent)
    fold_means : list of float64, axes (latent,)
        Of each fold's training trials, minus ``mean``.
    folds : sequence of Fold
    """

    mean: Float64
    centred: Float64
    fold_means: list[Float64]
    folds: Sequence[Fold]

    @classmethod
    def of(cls, latents: NDArray[np.floating], folds: Sequence[Fold]) -> SharedLatents:
        """Centre the latents; float, axes (trial, latent)."""
        y = np.asarray(latents, np.float64)
        mean = y.mean(axis=0)
        centred = y - mean
        return cls(mean, centred, [centred[fold.train].mean(axis=0) for fold in folds], folds)


@dataclass(frozen=True, slots=True)
class FoldPath:
    """The held-out predictions of one fold for every lambda.

    Attributes
    ----------
    eigenvalues : float64, axes (component,)
        D, never negative.
    rotated : float32, axes (held-out trial, component)
        Z.
    projected : float32, axes (component, latent)
        C.
    latent_mean : float64, axes (latent,)
        Of the training trials.
    wanted : float32, axes (held-out trial, latent)
        The latents minus that mean.
    """

    eigenvalues: Float64
    rotated: Float32
    projected: Float32
    latent_mean: Float64
    wanted: Float32

    def predicted(self, lam: float | Float64) -> Float32:
        """Return predictions minus the mean, float32, axes (held-out trial, latent); one lambda or one per latent."""
        inverse = inverted(self.eigenvalues, np.atleast_1d(lam)).astype(np.float32)
        return np.asarray(self.rotated @ (self.projected * inverse), np.float32)


@dataclass(frozen=True, slots=True)
class RidgeSearch:
    """What cross-validation saw and chose, and the weights fitted on all trials.

    Attributes
    ----------
    lambdas : float64, axes (value,)
        In the units of X'X.
    errors : float64, axes (fold, value, group)
        Held-out squared error, summed over trials and the group's latents.
    totals : float64, axes (fold, group)
        The same for the training mean.
    lam : float64, axes (latent,)
        The chosen value of each latent's group.
    weights : float64, axes (channel, latent)
    feature_mean : float64, axes (channel,)
    latent_mean : float64, axes (latent,)
        A latent is (features - feature_mean) @ weights + latent_mean.
    held_out : float32, axes (trial, latent)
        Each trial predicted by the fold that holds it out, at ``lam``; NaN where none does.
    """

    lambdas: Float64
    errors: Float64
    totals: Float64
    lam: Float64
    weights: Float64
    feature_mean: Float64
    latent_mean: Float64
    held_out: Float32


def inverted(eigenvalues: Float64, lam: Float64) -> Float64:
    """Return 1 / (D + lambda), float64, axes (component, value); 0 where that is rounding."""
    total = eigenvalues[:, None] + lam
    kept = total > ROUNDING * max(float(eigenvalues.max(initial=0.0)), np.finfo(np.float64).tiny)
    return np.divide(1.0, total, out=np.zeros_like(total), where=kept)


def latent_groups(n_latents: int, groups: NDArray[np.integer] | str) -> NDArray[np.intp]:
    """Return the group of each latent, int, axes (latent,): ``each`` its own, ``all`` in one, or as given."""
    if isinstance(groups, str):
        if groups not in ("each", "all"):
            raise ValueError(f"groups '{groups}', expected each, all or the group of each latent.")
        return np.arange(n_latents) if groups == "each" else np.zeros(n_latents, np.intp)
    given = np.asarray(groups)
    if given.shape != (n_latents,):
        raise ValueError(f"groups of shape {given.shape}, expected ({n_latents},).")
    return np.asarray(np.unique(given, return_inverse=True)[1], np.intp)


def ridge_search(
    features: NDArray[np.floating],
    latents: SharedLatents,
    *,
    lambdas: Sequence[float] | Float64 | None = None,
    groups: NDArray[np.integer] | str = "each",
) -> RidgeSearch:
    """Choose lambda for each group of latents by held-out squared error; fit all trials with it.

    Parameters
    ----------
    features : float, axes (trial, channel), finite
    latents : SharedLatents
        Latents and folds; may serve many windows.
    lambdas : sequence of float, optional
        In the units of X'X; 0 is least squares; by default LAMBDAS times its mean eigenvalue.
    groups : {'each', 'all'} or int, axes (latent,)
        Which latents share a value.

    Returns
    -------
    RidgeSearch

    Notes
    -----
    lambda is the same number in every fold and in the final fit: for independent noise the best one is the ratio of
    noise to prior variance, whatever the number of trials.
    """
    group = latent_groups(len(latents.mean), groups)
    x = np.asarray(features, np.float64)
    feature_mean = x.mean(axis=0)
    x = x - feature_mean
    products = _primal(x, latents) if _is_primal(x, latents) else _dual(x, latents)
    scale = products.trace / x.shape[1]
    values = np.asarray(
        np.multiply(LAMBDAS, scale or 1.0) if lambdas is None else lambdas, np.float64
    )
    n_workers, n_blas = _threads(len(latents.folds) + 1)
    from threadpoolctl import threadpool_limits

    with threadpool_limits(n_blas, "blas"), ThreadPoolExecutor(n_workers) as pool:
        final = pool.submit(products.whole)
        found = list(pool.map(lambda f: _scored(products.fold(f), values, group), _idx(latents)))
        errors = np.stack([error for _, error, _ in found])
        totals = np.stack([total for _, _, total in found])
        lam = values[errors.sum(axis=0).argmin(axis=0)][group]
        held_out = np.full(latents.centred.shape, np.nan, np.float32)
        for fold, (path, _, _) in zip(latents.folds, found, strict=True):
            held_out[fold.held_out] = path.predicted(lam) + path.latent_mean
        weights = products.weights(*final.result(), lam)
    return RidgeSearch(values, errors, totals, lam, weights, feature_mean, latents.mean, held_out)


def _is_primal(x: Float64, latents: SharedLatents) -> bool:
    """Whether the channels are fewer than the trials that a fold learns from."""
    return x.shape[1] <= min(len(fold.train) for fold in latents.folds)


def _idx(latents: SharedLatents) -> range:
    return range(len(latents.folds))


def _threads(n_jobs: int) -> tuple[int, int]:
    """Return workers, and threads of BLAS in each."""
    n_processors = len(os.sched_getaffinity(0))
    n_workers = max(1, min(n_jobs, n_processors))
    return n_workers, max(1, n_processors // n_workers)


@dataclass(frozen=True, slots=True)
class _Primal:
    """X'X and X'Y of all trials."""

    x: Float64
    latents: SharedLatents
    square: Float64
    cross: Float64

    @property
    def trace(self) -> float:
        return float(np.trace(self.square))

    def fold(self, fold_idx: int) -> FoldPath:
        fold, y = self.latents.folds[fold_idx], self.latents.centred
        n_train = len(fold.train)
        left_out = np.setdiff1d(np.arange(len(y)), fold.train)
        gone, y_gone = self.x[left_out], y[left_out]
        # The features of all trials sum to 0, so those of the training trials sum to minus the rest.
        mean, y_mean = -gone.sum(axis=0) / n_train, self.latents.fold_means[fold_idx]
        square = self.square - gone.T @ gone
        square -= n_train * np.outer(mean, mean)
        cross = self.cross - gone.T @ y_gone - n_train * np.outer(mean, y_mean)
        eigenvalues, vectors = np.linalg.eigh(square)
        rotated = (self.x[fold.held_out] - mean).astype(np.float32) @ vectors.astype(np.float32)
        return _path(self.latents, fold_idx, eigenvalues, rotated, vectors.T @ cross)

    def whole(self) -> tuple[Float64, Float64]:
        eigenvalues, vectors = np.linalg.eigh(self.square)
        return np.maximum(eigenvalues, 0.0), vectors

    def weights(self, eigenvalues: Float64, vectors: Float64, lam: Float64) -> Float64:
        shrunk = (vectors.T @ self.cross) * inverted(eigenvalues, lam)
        return np.asarray(vectors @ shrunk)


@dataclass(frozen=True, slots=True)
class _Dual:
    """XX' of all trials."""

    x: Float64
    latents: SharedLatents
    kernel: Float64

    @property
    def trace(self) -> float:
        return float(np.trace(self.kernel))

    def fold(self, fold_idx: int) -> FoldPath:
        fold, y = self.latents.folds[fold_idx], self.latents.centred
        kernel = self.kernel[np.ix_(fold.train, fold.train)]
        row = kernel.mean(axis=0)
        across = self.kernel[np.ix_(fold.held_out, fold.train)]
        across = across - row - across.mean(axis=1, keepdims=True) + row.mean()
        eigenvalues, vectors = np.linalg.eigh(kernel - row - row[:, None] + row.mean())
        rotated = (across @ vectors).astype(np.float32)
        projected = vectors.T @ (y[fold.train] - self.latents.fold_means[fold_idx])
        return _path(self.latents, fold_idx, eigenvalues, rotated, projected)

    def whole(self) -> tuple[Float64, Float64]:
        eigenvalues, vectors = np.linalg.eigh(self.kernel)
        return np.maximum(eigenvalues, 0.0), vectors

    def weights(self, eigenvalues: Float64, vectors: Float64, lam: Float64) -> Float64:
        shrunk = (vectors.T @ self.latents.centred) * inverted(eigenvalues, lam)
        return np.asarray(self.x.T @ (vectors @ shrunk))


def _primal(x: Float64, latents: SharedLatents) -> _Primal:
    return _Primal(x, latents, x.T @ x, x.T @ latents.centred)


def _dual(x: Float64, latents: SharedLatents) -> _Dual:
    return _Dual(x, latents, x @ x.T)


def _path(
    latents: SharedLatents,
    fold_idx: int,
    eigenvalues: Float64,
    rotated: Float32,
    projected: Float64,
) -> FoldPath:
    mean = latents.fold_means[fold_idx]
    wanted = latents.centred[latents.folds[fold_idx].held_out] - mean
    return FoldPath(
        np.maximum(eigenvalues, 0.0),
        rotated,
        projected.astype(np.float32),
        mean + latents.mean,
        wanted.astype(np.float32),
    )


def _scored(
    path: FoldPath, lambdas: Float64, group: NDArray[np.intp]
) -> tuple[FoldPath, Float64, Float64]:
    """Return the path, its errors (value, group) and the total (group,)."""
    n_groups = int(group.max()) + 1
    totals = _summed(np.square(path.wanted, dtype=np.float64).sum(axis=0), group)
    if n_groups * GROUPED_FROM <= len(group):
        return path, _grouped_errors(path, lambdas, group, totals), totals
    errors = np.empty((len(lambdas), n_groups))
    for i, lam in enumerate(lambdas):
        rest = path.wanted - path.predicted(float(lam))
        errors[i] = _summed(np.einsum("ij,ij->j", rest, rest), group)
    return path, errors, totals


def _summed(by_latent: NDArray[np.floating], group: NDArray[np.intp]) -> Float64:
    return np.asarray(np.bincount(group, by_latent), np.float64)


def _grouped_errors(
    path: FoldPath, lambdas: Float64, group: NDArray[np.intp], totals: Float64
) -> Float64:
    """Return the errors of few groups without predicting a latent, float64, axes (value, group).

    Notes
    -----
    With a = 1 / (D + lambda) it is |y|^2 - 2 a . rowsum(C * Z'y) + a' (Z'Z * CC') a: a few products in all, instead
    of one for each lambda. It is a difference of large numbers, hence float64.
    """
    rotated = path.rotated.astype(np.float64)
    square = rotated.T @ rotated
    inverse = inverted(path.eigenvalues, lambdas).T
    errors = np.empty((len(lambdas), len(totals)))
    for g, total in enumerate(totals):
        members = group == g
        projected = path.projected[:, members].astype(np.float64)
        wanted = path.wanted[:, members].astype(np.float64)
        cross = (projected * (rotated.T @ wanted)).sum(axis=1)
        both = square * (projected @ projected.T)
        quadratic = np.einsum("vi,vi->v", inverse @ both, inverse)
        errors[:, g] = total - 2.0 * (inverse @ cross) + quadratic
    return errors
