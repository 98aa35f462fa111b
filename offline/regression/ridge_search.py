"""Ridge regression with cross-validated regularisation, one value per group of targets, for all values at once.

    prediction(lambda) = Z (D + lambda)^-1 C + mean
    primal   X'X = V D V',  Z = x V,     C = V' X'Y      inputs <= training trials
    dual     XX' = U D U',  Z = x X' U,  C = U' Y        otherwise

X and Y are a fold's training inputs and targets minus their means, x its held-out inputs minus the same means.
The product of all trials is formed once; a fold's is that minus its held-out part (primal) or a block of it
(dual). One eigendecomposition per fold serves all values, and all targets with them; one more, of all trials,
gives the final weights. Products and decompositions are float64: a Gram matrix squares the condition number.
The many products after it are float32; they are subtracted from nothing larger than the targets.
Folds are worked on side by side, one thread of BLAS each where there are fewer processors than folds. Targets may
come in blocks, all of which share the decompositions; ``search_bytes`` says how much memory that takes.
For decoders and encoders; knows nothing of windows, files or ONNX. Axes are (trial, input) and (trial, target).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from offline.regression.ridge_forms import (
    Dual,
    FoldBasis,
    FoldPath,
    Primal,
    SharedTargets,
    decomposed,
    inverted,
)
from offline.scheduling.one_piece import n_processors, share_of_piece

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

# Relative to the mean eigenvalue of X'X: from nearly least squares to nearly the mean target.
LAMBDAS = tuple(float(v) for v in np.logspace(-3, 4, 22))
# With more groups than targets over this, predicting each target is less work than summing over groups.
GROUPED_FROM = 8


@dataclass(frozen=True, slots=True)
class RidgeSearch:
    """What cross-validation saw and chose, and the weights fitted on all trials.

    Attributes
    ----------
    lambdas : float64, axes (value,)
        In the units of X'X.
    errors : float64, axes (fold, value, group)
        Held-out squared error, summed over trials and the group's targets.
    totals : float64, axes (fold, group)
        The same for the training mean.
    lam : float64, axes (target,)
        The chosen value of each target's group.
    weights : float64, axes (input, target)
    input_mean : float64, axes (input,)
    target_mean : float64, axes (target,)
        A target is (inputs - input_mean) @ weights + target_mean.
    held_out : float32, axes (trial, target)
        Each trial predicted by the fold that holds it out, at ``lam``; NaN where none does.
    """

    lambdas: Float64
    errors: Float64
    totals: Float64
    lam: Float64
    weights: Float64
    input_mean: Float64
    target_mean: Float64
    held_out: Float32


def target_groups(n_targets: int, groups: NDArray[np.integer] | str) -> NDArray[np.intp]:
    """Return the group of each target, int, axes (target,): ``each`` its own, ``all`` in one, or as given."""
    if isinstance(groups, str):
        if groups not in ("each", "all"):
            raise ValueError(f"groups '{groups}', expected each, all or the group of each target.")
        return np.arange(n_targets) if groups == "each" else np.zeros(n_targets, np.intp)
    given = np.asarray(groups)
    if given.shape != (n_targets,):
        raise ValueError(f"groups of shape {given.shape}, expected ({n_targets},).")
    return np.asarray(np.unique(given, return_inverse=True)[1], np.intp)


def ridge_search(
    inputs: NDArray[np.floating],
    targets: SharedTargets,
    *,
    lambdas: Sequence[float] | Float64 | None = None,
    groups: NDArray[np.integer] | str = "each",
    target_block: int | None = None,
) -> RidgeSearch:
    """Choose lambda for each group of targets by held-out squared error; fit all trials with it.

    Parameters
    ----------
    inputs : float, axes (trial, input), finite
    targets : SharedTargets
        Targets and folds; may serve many windows.
    lambdas : sequence of float, optional
        In the units of X'X; 0 is least squares; by default LAMBDAS times its mean eigenvalue.
    groups : {'each', 'all'} or int, axes (target,)
        Which targets share a value.
    target_block : int, optional
        Targets worked on at once; all by default. Blocks change results by rounding.

    Returns
    -------
    RidgeSearch

    Notes
    -----
    lambda is the same number in every fold and in the final fit: for independent noise the best one is the ratio of
    noise to prior variance, whatever the number of trials.
    """
    group = target_groups(len(targets.mean), groups)
    x = np.asarray(inputs, np.float64)
    input_mean = x.mean(axis=0)
    x = x - input_mean
    n_targets = len(group)
    block = max(1, min(target_block or n_targets, n_targets))
    products = decomposed(x, targets, in_blocks=block < n_targets)
    scale = products.trace / x.shape[1]
    values = np.asarray(
        np.multiply(LAMBDAS, scale or 1.0) if lambdas is None else lambdas, np.float64
    )
    columns = [slice(i, min(i + block, n_targets)) for i in range(0, n_targets, block)]
    n_workers, limits = _threads(len(targets.folds) + 1)
    with limits, ThreadPoolExecutor(n_workers) as pool:
        final = pool.submit(products.whole)
        blocks = _Blocks(products, values, group, columns, pool)
        errors, totals = blocks.scored()
        lam = values[errors.sum(axis=0).argmin(axis=0)][group]
        held_out = blocks.held_out(lam)
        weights = blocks.weights(*final.result(), lam)
    return RidgeSearch(values, errors, totals, lam, weights, input_mean, targets.mean, held_out)


def search_bytes(
    n_trials: int,
    n_inputs: int,
    n_targets: int,
    n_folds: int,
    target_block: int | None = None,
    side_by_side: int = 1,
) -> int:
    """Return how much memory a search needs at most, besides the targets and the inputs it is given.

    Parameters
    ----------
    n_trials, n_inputs, n_targets, n_folds : int
    target_block : int, optional
        See ``ridge_search``.
    side_by_side : int
        Folds worked on at once.
    """
    n_held_out = -(-n_trials // n_folds)
    block = min(target_block or n_targets, n_targets)
    n_components = min(n_inputs, n_trials)
    # X'X or XX', a copy of it while a fold's is made from it, LAPACK's work.
    square = 8 * n_components**2
    inputs = 2 * 8 * n_trials * n_inputs
    fold = 6 * square + 3 * 8 * n_held_out * n_components + 8 * n_trials * block
    targets = block * (5 * 8 * n_components + 6 * 8 * n_held_out)
    kept = n_folds * (4 * n_held_out * n_components + 8 * n_components)
    if block < n_targets:
        kept += n_folds * square
    else:
        kept += n_folds * block * (4 * n_components + 4 * n_held_out)
    result = n_targets * (4 * n_trials + 8 * n_inputs) + 3 * 8 * n_components * block
    return inputs + 3 * square + side_by_side * (fold + targets) + kept + result


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
    """The targets of a search, some columns at a time; every block uses the folds' decompositions.

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
        self._folds = range(len(products.targets.folds))
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
        """Return predictions (trial, target) at one lambda per target."""
        targets = self._products.targets
        found = np.full(targets.centred.shape, np.nan, np.float32)
        for columns in self._columns:
            cross = self._products.cross(columns)

            def one(f: int, columns: slice = columns, cross: Float64 = cross) -> Float32:
                path = (
                    self._paths[f]
                    if self._paths
                    else self._products.path(self._bases[f], f, columns, cross)
                )
                return np.asarray(path.predicted(lam[columns]) + path.target_mean, np.float32)

            for fold, predicted in zip(
                targets.folds, self._pool.map(one, self._folds), strict=True
            ):
                found[fold.held_out, columns] = predicted
        return found

    def weights(self, eigenvalues: Float64, vectors: Float64, lam: Float64) -> Float64:
        """Return the weights of all trials, (input, target)."""
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


def _summed(by_target: NDArray[np.floating], group: NDArray[np.intp], n_groups: int) -> Float64:
    return np.asarray(np.bincount(group, by_target, n_groups), np.float64)


def _grouped_errors(
    path: FoldPath, lambdas: Float64, group: NDArray[np.intp], totals: Float64
) -> Float64:
    """Return the errors of few groups without predicting a target, float64, axes (value, group).

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
