"""Ridge regression's decompositions: of all trials and of each fold, in the form that is less work.

    primal   X'X = V D V',  Z = x V,     C = V' X'Y      inputs <= training trials
    dual     XX' = U D U',  Z = x X' U,  C = U' Y        otherwise

See ridge_search.py, which chooses lambda with them. The product of all trials is formed once; a fold's is that
minus its held-out part (primal) or a block of it (dual). What targets add comes for any columns of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from offline.regression.folds import Fold

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

# Of the largest eigenvalue: below it a component is rounding, and lambda = 0 leaves it out (least norm).
ROUNDING = 1e-13


@dataclass(frozen=True, slots=True)
class SharedTargets:
    """The targets as every window's search needs them; made once.

    Attributes
    ----------
    mean : float64, axes (target,)
    centred : float64, axes (trial, target)
    fold_means : list of float64, axes (target,)
        Of each fold's training trials, minus ``mean``.
    folds : sequence of Fold
    """

    mean: Float64
    centred: Float64
    fold_means: list[Float64]
    folds: Sequence[Fold]

    @classmethod
    def of(cls, targets: NDArray[np.floating], folds: Sequence[Fold]) -> SharedTargets:
        """Centre the targets; float, axes (trial, target)."""
        y = np.asarray(targets, np.float64)
        mean = y.mean(axis=0)
        centred = y - mean
        return cls(mean, centred, [centred[fold.train].mean(axis=0) for fold in folds], folds)


def inverted(eigenvalues: Float64, lam: Float64) -> Float64:
    """Return 1 / (D + lambda), float64, axes (component, value); 0 where that is rounding."""
    total = eigenvalues[:, None] + lam
    kept = total > ROUNDING * max(float(eigenvalues.max(initial=0.0)), np.finfo(np.float64).tiny)
    return np.divide(1.0, total, out=np.zeros_like(total), where=kept)


@dataclass(frozen=True, slots=True)
class FoldPath:
    """The held-out predictions of one fold for every lambda.

    Attributes
    ----------
    eigenvalues : float64, axes (component,)
        D, never negative.
    rotated : float32, axes (held-out trial, component)
        Z.
    projected : float32, axes (component, target)
        C.
    target_mean : float64, axes (target,)
        Of the training trials.
    wanted : float32, axes (held-out trial, target)
        The targets minus that mean.
    """

    eigenvalues: Float64
    rotated: Float32
    projected: Float32
    target_mean: Float64
    wanted: Float32

    def predicted(self, lam: float | Float64) -> Float32:
        """Return predictions minus the mean, float32, axes (held-out trial, target); one lambda or one per target."""
        inverse = inverted(self.eigenvalues, np.atleast_1d(lam)).astype(np.float32)
        return np.asarray(self.rotated @ (self.projected * inverse), np.float32)


@dataclass(frozen=True, slots=True)
class FoldBasis:
    """The decomposition of one fold, for all targets: D, Z and the vectors.

    Attributes
    ----------
    eigenvalues : float64, axes (component,)
    rotated : float32, axes (held-out trial, component)
    vectors : float64, axes (input or trial, component)
    """

    eigenvalues: Float64
    rotated: Float32
    vectors: Float64


@dataclass(frozen=True, slots=True)
class Primal:
    """X'X of all trials, and X'Y of all targets where there is room for it."""

    x: Float64
    targets: SharedTargets
    square: Float64
    cross_of_all: Float64 | None

    @property
    def trace(self) -> float:
        """The sum of the eigenvalues."""
        return float(np.trace(self.square))

    def cross(self, columns: slice) -> Float64:
        """Return X'Y of some targets, float64, axes (input, target)."""
        if self.cross_of_all is not None:
            return self.cross_of_all[:, columns]
        return np.asarray(self.x.T @ self.targets.centred[:, columns])

    def basis(self, fold_idx: int) -> FoldBasis:
        """Decompose one fold."""
        fold = self.targets.folds[fold_idx]
        gone, mean = self._left_out(fold_idx)
        square = self.square - gone.T @ gone
        square -= len(fold.train) * np.outer(mean, mean)
        eigenvalues, vectors = np.linalg.eigh(square)
        rotated = (self.x[fold.held_out] - mean).astype(np.float32) @ vectors.astype(np.float32)
        return FoldBasis(eigenvalues, rotated, vectors)

    def path(self, basis: FoldBasis, fold_idx: int, columns: slice, cross: Float64) -> FoldPath:
        """Return the predictions of a fold for some targets; ``cross`` is that of these."""
        gone, mean = self._left_out(fold_idx)
        rows = _left_out_rows(self.targets, fold_idx)
        y_mean = self.targets.fold_means[fold_idx][columns]
        n_train = len(self.targets.folds[fold_idx].train)
        fold_cross = cross - gone.T @ self.targets.centred[rows, columns]
        fold_cross -= n_train * np.outer(mean, y_mean)
        return _path(self.targets, fold_idx, columns, basis, basis.vectors.T @ fold_cross)

    def _left_out(self, fold_idx: int) -> tuple[Float64, Float64]:
        """Return the inputs that a fold does not learn from, and the mean of those it does."""
        gone = self.x[_left_out_rows(self.targets, fold_idx)]
        # The inputs of all trials sum to 0, so those of the training trials sum to minus the rest.
        return gone, -gone.sum(axis=0) / len(self.targets.folds[fold_idx].train)

    def whole(self) -> tuple[Float64, Float64]:
        """Return eigenvalues and vectors of all trials."""
        eigenvalues, vectors = np.linalg.eigh(self.square)
        return np.maximum(eigenvalues, 0.0), vectors

    def weights(
        self, eigenvalues: Float64, vectors: Float64, lam: Float64, columns: slice
    ) -> Float64:
        """Return the weights of some targets, float64, axes (input, target); ``lam`` is that of all."""
        shrunk = (vectors.T @ self.cross(columns)) * inverted(eigenvalues, lam[columns])
        return np.asarray(vectors @ shrunk)


@dataclass(frozen=True, slots=True)
class Dual:
    """XX' of all trials."""

    x: Float64
    targets: SharedTargets
    kernel: Float64

    @property
    def trace(self) -> float:
        """The sum of the eigenvalues."""
        return float(np.trace(self.kernel))

    def cross(self, columns: slice) -> Float64:
        """Return nothing, (0, 0): the dual form needs no X'Y."""
        return np.empty((0, 0))

    def basis(self, fold_idx: int) -> FoldBasis:
        """Decompose one fold."""
        fold = self.targets.folds[fold_idx]
        kernel = self.kernel[np.ix_(fold.train, fold.train)]
        row = kernel.mean(axis=0)
        across = self.kernel[np.ix_(fold.held_out, fold.train)]
        across = across - row - across.mean(axis=1, keepdims=True) + row.mean()
        eigenvalues, vectors = np.linalg.eigh(kernel - row - row[:, None] + row.mean())
        return FoldBasis(eigenvalues, (across @ vectors).astype(np.float32), vectors)

    def path(self, basis: FoldBasis, fold_idx: int, columns: slice, cross: Float64) -> FoldPath:
        """Return the predictions of a fold for some targets; ``cross`` is that of these."""
        train = self.targets.folds[fold_idx].train
        y = self.targets.centred[train, columns] - self.targets.fold_means[fold_idx][columns]
        return _path(self.targets, fold_idx, columns, basis, basis.vectors.T @ y)

    def whole(self) -> tuple[Float64, Float64]:
        """Return eigenvalues and vectors of all trials."""
        eigenvalues, vectors = np.linalg.eigh(self.kernel)
        return np.maximum(eigenvalues, 0.0), vectors

    def weights(
        self, eigenvalues: Float64, vectors: Float64, lam: Float64, columns: slice
    ) -> Float64:
        """Return the weights of some targets, float64, axes (input, target); ``lam`` is that of all."""
        projected = vectors.T @ self.targets.centred[:, columns]
        shrunk = projected * inverted(eigenvalues, lam[columns])
        return np.asarray(self.x.T @ (vectors @ shrunk))


def _left_out_rows(targets: SharedTargets, fold_idx: int) -> NDArray[np.intp]:
    return np.setdiff1d(np.arange(len(targets.centred)), targets.folds[fold_idx].train)


def decomposed(x: Float64, targets: SharedTargets, *, in_blocks: bool) -> Primal | Dual:
    """Return the form that is less work.

    Parameters
    ----------
    x : float64, axes (trial, input)
        Of mean 0.
    targets : SharedTargets
    in_blocks : bool
        Whether targets come in blocks, so that nothing of all of them is kept.
    """
    # Primal where the inputs are fewer than the trials that a fold learns from.
    if x.shape[1] <= min(len(fold.train) for fold in targets.folds):
        return Primal(x, targets, x.T @ x, None if in_blocks else x.T @ targets.centred)
    return Dual(x, targets, x @ x.T)


def _path(
    targets: SharedTargets, fold_idx: int, columns: slice, basis: FoldBasis, projected: Float64
) -> FoldPath:
    mean = targets.fold_means[fold_idx][columns]
    wanted = targets.centred[targets.folds[fold_idx].held_out, columns] - mean
    return FoldPath(
        np.maximum(basis.eigenvalues, 0.0),
        basis.rotated,
        projected.astype(np.float32),
        mean + targets.mean[columns],
        wanted.astype(np.float32),
    )
