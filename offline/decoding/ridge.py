"""Ridge regression from window features to latents; regularisation and rank are cross-validated.

    W(lambda)    = argmin_W |Y - X W|^2 + lambda |W|^2 = V (D + lambda I)^-1 V' X'Y     X'X = V D V'
    W_r(lambda)  = W(lambda) U_r U_r'        U: eigenvectors of Y'X (X'X + lambda I)^-1 X'Y, largest first

X and Y are features and latents minus their training means. W_r minimises the ridge loss among all weights of
rank r (reduced-rank ridge, Mukherjee & Zhu 2011, doi 10.1002/sam.10138). One eigendecomposition of X'X serves
all values of lambda, one of the latent-sized matrix all ranks. Everything in float64.
For decoder.py; knows nothing of windows, files or ONNX. Axes are (trial, channel) and (trial, latent).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from offline.regression.folds import Fold
from offline.regression.ridge_search import LAMBDAS

Array = NDArray[np.float64]

# The smallest rank that keeps this share of the explained variance of the best rank, and never more than MAX_RANK:
# a window in which little can be decoded would otherwise be the largest of all.
KEPT_SHARE = 0.99
MAX_RANK = 128
# Below this share of the latents' variance a window carries nothing, and its decoder says the mean latent.
MIN_EXPLAINED = 1e-4


@dataclass(frozen=True, slots=True)
class RidgePath:
    """Ridge solutions for every lambda.

    Attributes
    ----------
    feature_mean : float64, axes (channel,)
    latent_mean : float64, axes (latent,)
    eigenvalues : float64, axes (component,)
        Of X'X, ascending, never negative.
    eigenvectors : float64, axes (channel, component)
    projected : float64, axes (component, latent)
        V' X'Y.
    """

    feature_mean: Array
    latent_mean: Array
    eigenvalues: Array
    eigenvectors: Array
    projected: Array

    def absolute(self, lam: float) -> float:
        """Return lambda in the units of X'X; ``lam`` is relative to its mean eigenvalue."""
        return lam * max(float(self.eigenvalues.mean()), np.finfo(np.float64).tiny)

    def weights(self, lam: float) -> Array:
        """Return W(lambda), float64, axes (channel, latent)."""
        shrunk = self.projected / (self.eigenvalues + self.absolute(lam))[:, None]
        return np.asarray(self.eigenvectors @ shrunk)

    def latent_components(self, lam: float) -> Array:
        """Return U, float64, axes (latent, component), the component that explains most first."""
        shrunk = self.projected / np.sqrt(self.eigenvalues + self.absolute(lam))[:, None]
        return np.asarray(np.linalg.eigh(shrunk.T @ shrunk)[1][:, ::-1])


def ridge_path(features: NDArray[np.floating], latents: NDArray[np.floating]) -> RidgePath:
    """Prepare ridge regression for all lambdas.

    Parameters
    ----------
    features : float, axes (trial, channel)
    latents : float, axes (trial, latent)

    Returns
    -------
    RidgePath
    """
    x = np.asarray(features, np.float64)
    y = np.asarray(latents, np.float64)
    feature_mean, latent_mean = x.mean(axis=0), y.mean(axis=0)
    x = x - feature_mean
    eigenvalues, eigenvectors = np.linalg.eigh(x.T @ x)
    projected = eigenvectors.T @ (x.T @ (y - latent_mean))
    return RidgePath(
        feature_mean, latent_mean, np.maximum(eigenvalues, 0.0), eigenvectors, projected
    )


@dataclass(frozen=True, slots=True)
class RidgeChoice:
    """What cross-validation chose, and what it saw.

    Attributes
    ----------
    lam : float
        Relative to the mean eigenvalue of X'X.
    rank : int
        0: nothing could be decoded, the decoder says the mean latent.
    explained : float
        Held-out share of the latents' variance that ``lam`` and ``rank`` explain; at most 1, 0 for the mean latent.
    by_lambda : float64, axes (lambda,)
        The same for each of LAMBDAS at full rank.
    by_rank : float64, axes (rank,)
        The same for ranks 0, 1, 2, ... up to MAX_RANK at ``lam``.
    held_out : float32, axes (trial, latent)
        Each trial predicted by the fold that holds it out, at ``lam`` and ``rank``; NaN where none does.
    """

    lam: float
    rank: int
    explained: float
    by_lambda: Array
    by_rank: Array
    held_out: NDArray[np.float32]


def choose(
    features: NDArray[np.floating],
    latents: NDArray[np.floating],
    folds: Sequence[Fold],
    lambdas: Sequence[float] = LAMBDAS,
) -> RidgeChoice:
    """Choose lambda at full rank, then the rank at that lambda, both by held-out squared error.

    Parameters
    ----------
    features : float, axes (trial, channel)
    latents : float, axes (trial, latent)
    folds : sequence of Fold
    lambdas : sequence of float
        Relative to the mean eigenvalue of X'X.

    Returns
    -------
    RidgeChoice
    """
    paths, centred = [], []
    for fold in folds:
        path = ridge_path(features[fold.train], latents[fold.train])
        paths.append(path)
        x, y = features[fold.held_out], latents[fold.held_out]
        centred.append((x - path.feature_mean, y - path.latent_mean))
    total = sum(float(np.square(y).sum()) for _, y in centred)
    error = np.zeros(len(lambdas))
    for path, (x, y) in zip(paths, centred, strict=True):
        error += _held_out_errors(path, x, y, lambdas)
    by_lambda = 1.0 - error / total
    lam = float(lambdas[int(by_lambda.argmax())])
    kept = [_Components.of(p, x, lam) for p, (x, _) in zip(paths, centred, strict=True)]
    gains = [one.gain_by_rank(y) for one, (_, y) in zip(kept, centred, strict=True)]
    by_rank = np.sum(gains, axis=0)[: MAX_RANK + 1] / total
    best = float(by_rank.max())
    rank = int(np.flatnonzero(by_rank >= KEPT_SHARE * best)[0]) if best > MIN_EXPLAINED else 0
    held_out = np.full(latents.shape, np.nan, np.float32)
    for fold, path, one in zip(folds, paths, kept, strict=True):
        held_out[fold.held_out] = one.predicted(rank) + path.latent_mean
    return RidgeChoice(lam, rank, float(by_rank[rank]), by_lambda, by_rank, held_out)


def _held_out_errors(path: RidgePath, x: Array, y: Array, lambdas: Sequence[float]) -> Array:
    """Return |y - x W(lambda)|^2 for each lambda, float64, axes (lambda,).

    Notes
    -----
    With Z = x V, C = V' X'Y and a = 1 / (D + lambda) it is |y|^2 - 2 a . rowsum(C * Z'y) + a' (Z'Z * CC') a: three
    products in all, instead of one for each lambda.
    """
    rotated = x @ path.eigenvectors
    cross = (path.projected * (rotated.T @ y)).sum(axis=1)
    square = (rotated.T @ rotated) * (path.projected @ path.projected.T)
    inverse = [1.0 / (path.eigenvalues + path.absolute(lam)) for lam in lambdas]
    total = float(np.square(y).sum())
    return np.array([total - 2.0 * (a @ cross) + a @ square @ a for a in inverse])


@dataclass(frozen=True, slots=True)
class _Components:
    """What one fold predicts of its held-out trials, in latent components."""

    components: Array
    values: Array

    @classmethod
    def of(cls, path: RidgePath, x: Array, lam: float) -> _Components:
        components = path.latent_components(lam)
        return cls(components, x @ path.weights(lam) @ components)

    def gain_by_rank(self, y: Array) -> Array:
        """Return |y|^2 - |y - x W_r|^2 for ranks 0, 1, 2, ...; float64, axes (rank,)."""
        gain = (2.0 * self.values * (y @ self.components) - np.square(self.values)).sum(axis=0)
        return np.concatenate([[0.0], np.cumsum(gain)])

    def predicted(self, rank: int) -> Array:
        """Return x W_r, float64, axes (trial, latent)."""
        return np.asarray(self.values[:, :rank] @ self.components[:, :rank].T)


def low_rank_factors(path: RidgePath, lam: float, rank: int) -> tuple[Array, Array]:
    """Return ``down`` (channel, component) and ``up`` (component, latent) with down @ up = W_rank(lambda).

    Notes
    -----
    Both factors carry the square root of the singular values, so that neither leaves float16's range.
    """
    components = path.latent_components(lam)[:, :rank]
    left, singular, right = np.linalg.svd(path.weights(lam) @ components, full_matrices=False)
    root = np.sqrt(singular)
    return left * root, root[:, None] * (right @ components.T)
