"""Ridge regression with cross-validated regularisation, one value per group of latents, for all values at once.

    prediction(lambda) = Z (D + lambda)^-1 C + mean
    primal   X'X = V D V',  Z = x V,     C = V' X'Y      channels <= training trials
    dual     XX' = U D U',  Z = x X' U,  C = U' Y        otherwise

X and Y are a fold's training features and latents minus their means, x its held-out features minus the same means.
The product of all trials is formed once; a fold's is that minus its held-out part (primal) or a block of it
(dual). One eigendecomposition per fold serves all values, and all latents with them; one more, of all trials,
gives the final weights. Products and decompositions are float64: a Gram matrix squares the condition number.
The many products after it are float32; they are subtracted from nothing larger than the latents.
Folds are worked on side by side, one thread of BLAS each where there are fewer processors than folds. Latents may
come in blocks, all of which share the decompositions; ``search_bytes`` says how much memory that takes.
For methods.py; knows nothing of windows, files or ONNX. Axes are (trial, channel) and (trial, latent).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from offline.decoding.ridge import LAMBDAS
from offline.decoding.ridge_forms import (
    Dual,
    FoldBasis,
    FoldPath,
    Primal,
    SharedLatents,
    decomposed,
    inverted,
)
from offline.scheduling.one_piece import n_processors, share_of_piece

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

# With more groups than latents over this, predicting each latent is less work than summing over groups.
GROUPED_FROM = 8


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
    latent_block: int | None = None,
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
    latent_block : int, optional
        Latents worked on at once; all by default. Blocks change results by rounding.

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
    n_latents = len(group)
    block = max(1, min(latent_block or n_latents, n_latents))
    products = decomposed(x, latents, in_blocks=block < n_latents)
    scale = products.trace / x.shape[1]
    values = np.asarray(
        np.multiply(LAMBDAS, scale or 1.0) if lambdas is None else lambdas, np.float64
    )
    columns = [slice(i, min(i + block, n_latents)) for i in range(0, n_latents, block)]
    n_workers, limits = _threads(len(latents.folds) + 1)
    with limits, ThreadPoolExecutor(n_workers) as pool:
        final = pool.submit(products.whole)
        blocks = _Blocks(products, values, group, columns, pool)
        errors, totals = blocks.scored()
        lam = values[errors.sum(axis=0).argmin(axis=0)][group]
        held_out = blocks.held_out(lam)
        weights = blocks.weights(*final.result(), lam)
    return RidgeSearch(values, errors, totals, lam, weights, feature_mean, latents.mean, held_out)


def search_bytes(
    n_trials: int,
    n_channels: int,
    n_latents: int,
    n_folds: int,
    latent_block: int | None = None,
    side_by_side: int = 1,
) -> int:
    """Return how much memory a search needs at most, besides the latents and the features it is given.

    Parameters
    ----------
    n_trials, n_channels, n_latents, n_folds : int
    latent_block : int, optional
        See ``ridge_search``.
    side_by_side : int
        Folds worked on at once.
    """
    n_held_out = -(-n_trials // n_folds)
    block = min(latent_block or n_latents, n_latents)
    n_components = min(n_channels, n_trials)
    # X'X or XX', a copy of it while a fold's is made from it, LAPACK's work.
    square = 8 * n_components**2
    features = 2 * 8 * n_trials * n_channels
    fold = 6 * square + 3 * 8 * n_held_out * n_components + 8 * n_trials * block
    latents = block * (5 * 8 * n_components + 6 * 8 * n_held_out)
    kept = n_folds * (4 * n_held_out * n_components + 8 * n_components)
    if block < n_latents:
        kept += n_folds * square
    else:
        kept += n_folds * block * (4 * n_components + 4 * n_held_out)
    result = n_latents * (4 * n_trials + 8 * n_channels) + 3 * 8 * n_components * block
    return features + 3 * square + side_by_side * (fold + latents) + kept + result


def _threads(n_jobs: int) -> tuple[int, AbstractContextManager[object]]:
    """Return how many folds go side by side, and what limits the threads of BLAS in each."""
    share = share_of_piece()
    if share is not None:
        # Of a piece of work: BLAS has one thread already.
        return max(1, min(n_jobs, share)), nullcontext()
    from threadpoolctl import threadpool_limits

    n_workers = max(1, min(n_jobs, n_processors()))
    return n_workers, threadpool_limits(max(1, n_processors() // n_workers), "blas")


class _Blocks:
    """The latents of a search, some columns at a time; every block uses the folds' decompositions.

    With one block for all, each fold's path is kept instead of its decomposition, and made once.
    """

    def __init__(
        self,
        products: Primal | Dual,
        values: Float64,
        group: NDArray[np.intp],
        columns: list[slice],
        pool: ThreadPoolExecutor,
    ) -> None:
        self._products, self._values, self._group, self._pool = products, values, group, pool
        self._columns = columns
        self._n_groups = int(group.max()) + 1
        self._folds = range(len(products.latents.folds))
        self._bases: list[FoldBasis] = []
        self._paths: list[FoldPath] = []

    def scored(self) -> tuple[Float64, Float64]:
        """Return errors (fold, value, group) and totals (fold, group)."""
        whole = len(self._columns) == 1
        if not whole:
            self._bases = list(self._pool.map(self._products.basis, self._folds))
        errors = np.zeros((len(self._folds), len(self._values), self._n_groups))
        totals = np.zeros((len(self._folds), self._n_groups))
        for columns in self._columns:
            cross = self._products.cross(columns)

            def one(
                f: int, columns: slice = columns, cross: Float64 = cross
            ) -> tuple[FoldPath, Float64, Float64]:
                basis = self._products.basis(f) if whole else self._bases[f]
                path = self._products.path(basis, f, columns, cross)
                return path, *_scored(path, self._values, self._group[columns], self._n_groups)

            for f, (path, error, total) in zip(
                self._folds, self._pool.map(one, self._folds), strict=True
            ):
                errors[f] += error
                totals[f] += total
                if whole:
                    self._paths.append(path)
        return errors, totals

    def held_out(self, lam: Float64) -> Float32:
        """Return predictions (trial, latent) at one lambda per latent."""
        latents = self._products.latents
        found = np.full(latents.centred.shape, np.nan, np.float32)
        for columns in self._columns:
            cross = self._products.cross(columns)

            def one(f: int, columns: slice = columns, cross: Float64 = cross) -> Float32:
                path = (
                    self._paths[f]
                    if self._paths
                    else self._products.path(self._bases[f], f, columns, cross)
                )
                return np.asarray(path.predicted(lam[columns]) + path.latent_mean, np.float32)

            for fold, predicted in zip(
                latents.folds, self._pool.map(one, self._folds), strict=True
            ):
                found[fold.held_out, columns] = predicted
        return found

    def weights(self, eigenvalues: Float64, vectors: Float64, lam: Float64) -> Float64:
        """Return the weights of all trials, (channel, latent)."""
        self._bases.clear()
        self._paths.clear()
        found = np.empty((self._products.x.shape[1], len(lam)))
        for columns in self._columns:
            found[:, columns] = self._products.weights(eigenvalues, vectors, lam, columns)
        return found


def _scored(
    path: FoldPath, lambdas: Float64, group: NDArray[np.intp], n_groups: int
) -> tuple[Float64, Float64]:
    """Return the path's errors (value, group) and the total (group,)."""
    totals = _summed(np.square(path.wanted, dtype=np.float64).sum(axis=0), group, n_groups)
    if n_groups * GROUPED_FROM <= len(group):
        return _grouped_errors(path, lambdas, group, totals), totals
    errors = np.empty((len(lambdas), n_groups))
    for i, lam in enumerate(lambdas):
        rest = path.wanted - path.predicted(float(lam))
        errors[i] = _summed(np.einsum("ij,ij->j", rest, rest), group, n_groups)
    return errors, totals


def _summed(by_latent: NDArray[np.floating], group: NDArray[np.intp], n_groups: int) -> Float64:
    return np.asarray(np.bincount(group, by_latent, n_groups), np.float64)


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
