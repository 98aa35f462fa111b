"""Linear ridge regression from few features, in primal form: weights of features, no kernel.

Cross-validation is ridge_search's, which decoders use too. The paper's rule needs what gcv_errors needs: eigenvalues
of X'X, which are those of the kernel, and each target's sum of squares along its eigenvectors.
For encode.py; knows nothing of files. Axes are (stimulus, feature) and (stimulus, target).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from offline.encoding.degrees_of_freedom import Grid, gcv_errors, grid
from offline.regression.folds import Fold
from offline.regression.ridge_forms import SharedTargets
from offline.regression.ridge_search import ridge_search
from offline.scheduling.workers import Workers

Float64 = NDArray[np.float64]
Progress = Callable[[int], None]

TARGETS_PER_PIECE = 2048


@dataclass(frozen=True, slots=True, eq=False)
class FeatureBasis:
    """The decomposition X'X = V S V' of centred features.

    Attributes
    ----------
    features : float64, axes (stimulus, feature)
        Of mean 0.
    eigenvalues : float64, axes (component,)
        Ascending, never negative.
    vectors : float64, axes (feature, component)
    rounding : float
        Eigenvalues up to this may be rounding.
    """

    features: Float64 = field(repr=False)
    eigenvalues: Float64
    vectors: Float64 = field(repr=False)
    rounding: float


def decomposed_features(features: Float64) -> FeatureBasis:
    """Decompose features of mean 0, float64, axes (stimulus, feature)."""
    eigenvalues, vectors = np.linalg.eigh(features.T @ features)
    rounding = max(features.shape) * np.finfo(np.float64).eps * float(eigenvalues.max(initial=0.0))
    return FeatureBasis(features, np.maximum(eigenvalues, 0.0), vectors, rounding)


def feature_weights(basis: FeatureBasis, responses: Float64, lam: Float64) -> Float64:
    """Return weights, float64, axes (feature, target), at one lambda per target; 0: least norm."""
    total = basis.eigenvalues[:, None] + lam
    used = total > np.where(lam == 0.0, basis.rounding, 0.0)
    inverse = np.divide(1.0, total, out=np.zeros_like(total), where=used)
    along = basis.vectors.T @ (basis.features.T @ responses)
    return np.asarray(basis.vectors @ (along * inverse))


def feature_gcv(basis: FeatureBasis, responses: Float64) -> tuple[Grid, Float64]:
    """Return the paper's grid and the generalised cross-validation errors, float64, axes (value, target)."""
    found = grid(basis.eigenvalues, basis.rounding)
    kept = basis.eigenvalues > basis.rounding
    along = basis.vectors[:, kept].T @ (basis.features.T @ responses)
    squares = along**2 / basis.eigenvalues[kept, None]
    totals = np.einsum("ij,ij->j", responses, responses)
    n = len(responses)
    return found, gcv_errors(found, basis.eigenvalues[kept], squares, totals, n, n - 1)


def feature_errors(
    features: Float64,
    responses: Float64,
    folds: Sequence[Fold],
    lambdas: Float64,
    *,
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Float64:
    """Return the squared error of held-out stimuli, summed over folds; float64, axes (value, target).

    Parameters
    ----------
    features : float64, axes (stimulus, feature)
    responses : float64, axes (stimulus, target)
    folds : sequence of Fold
    lambdas : float64, axes (value,)
    workers : Workers, optional
        A piece is TARGETS_PER_PIECE targets.
    progress : callable, optional
        Called with 1 after each.
    """
    n = responses.shape[1]
    blocks = (responses[:, i : i + TARGETS_PER_PIECE] for i in range(0, n, TARGETS_PER_PIECE))
    shared = (features, folds, lambdas)
    if workers is not None and n > TARGETS_PER_PIECE:
        found = list(workers.run(_errors, blocks, shared=shared, progress=progress))
    else:
        found = []
        for block in blocks:
            found.append(_errors(shared, block))
            if progress:
                progress(1)
    return np.concatenate(found, axis=1)


def _errors(shared: tuple[Float64, Sequence[Fold], Float64], responses: Float64) -> Float64:
    features, folds, lambdas = shared
    found = ridge_search(features, SharedTargets.of(responses, folds), lambdas=lambdas)
    return np.asarray(found.errors.sum(axis=0))
