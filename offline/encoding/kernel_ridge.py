"""Kernel ridge regression: one eigendecomposition serves all electrodes, windows, values and folds.

    K = U S U',   alpha(lambda) = U (S + lambda)^-1 U'Y,   prediction = k alpha + mean

With G(lambda) = U (S + lambda)^-1 U' what a fit without the stimuli F would leave of them is

    y_F - yhat_F = G_FF^-1 (G y)_F

exactly (the block form of leave-one-out; as lambda is the same number in every fold). So folds need no kernels and no
decompositions of their own, only a Cholesky factor of G_FF. An intercept that is not penalised is the same with G
restricted to what is orthogonal to the constant vector: there each fold has its own mean of responses and features.
Decompositions and the choice are float64; the wide products are of the dtype asked for.
For encode.py; knows nothing of features or files. Axes are (stimulus, stimulus) and (stimulus, target).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import ConfigError, EncodingError
from offline.encoding.array_library import ArrayLibrary, Dtype, library_of
from offline.encoding.degrees_of_freedom import Grid, gcv_errors, grid
from offline.regression.folds import Fold
from offline.scheduling.memory import size_text
from offline.scheduling.workers import Workers

Float64 = NDArray[np.float64]
Progress = Callable[[int], None]

TARGETS_PER_PIECE = 2048


@dataclass(frozen=True, slots=True, eq=False)
class KernelBasis:
    """The decomposition of a kernel.

    Attributes
    ----------
    eigenvalues : float64, axes (component,)
        Ascending, never negative.
    vectors : float64, axes (stimulus, component)
    centred : bool
        Whether kernel and responses are taken minus their means; then no component is constant.
    rounding : float
        Eigenvalues up to this may be rounding.
    """

    eigenvalues: Float64
    vectors: Float64 = field(repr=False)
    centred: bool
    rounding: float

    @property
    def free(self) -> int:
        """Degrees of freedom there are."""
        return self.vectors.shape[1]


def decomposed(kernel: Float64, *, centred: bool, dtype: Dtype, device: str = "cpu") -> KernelBasis:
    """Decompose a kernel.

    Parameters
    ----------
    kernel : float64, axes (stimulus, stimulus)
        If ``centred`` its rows sum to 0.
    centred : bool
    dtype : {'float32', 'float64'}
        In which its features were multiplied.
    device : str
        See ``library_of``.
    """
    n = len(kernel)
    library = library_of(device)
    if centred:
        # The constant vector gets the largest eigenvalue, far from the others, and is left out: among the kernel's
        # other zeros (stimuli that were shown twice) it could not be told apart.
        kernel = kernel + 2.0 * max(float(np.linalg.norm(kernel)), np.finfo(np.float64).tiny) / n
    values, vectors = library.eigh(library.array(kernel, "float64"))
    eigenvalues, vectors = library.numpy(values), library.numpy(vectors)
    if centred:
        eigenvalues, vectors = eigenvalues[:-1], vectors[:, :-1]
    largest = float(eigenvalues.max(initial=0.0))
    # Entries rounded independently shift eigenvalues by about the largest one's rounding; LAPACK by n of its own.
    relative = max(4.0 * float(np.finfo(dtype).eps), n * float(np.finfo(np.float64).eps))
    return KernelBasis(np.maximum(eigenvalues, 0.0), vectors, centred, relative * largest)


def check_memory(n: int, memory: int | None) -> None:
    """Refuse a decomposition of ``n`` stimuli that takes more than ``memory`` bytes.

    Raises
    ------
    ConfigError
        It does.
    """
    # The kernel, one with the constant in it, LAPACK's copy and work (twice), the vectors.
    needed = 6 * 8 * n**2
    if memory is not None and needed > memory:
        raise ConfigError(
            f"encoding: the kernel of {n} training stimuli takes {size_text(needed)} to be decomposed, "
            f"{size_text(memory)} of --memory are left for it. Give more, or fit fewer stimuli."
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """What every piece of a search needs."""

    basis: KernelBasis
    folds: Sequence[Fold]
    dtype: Dtype
    device: str


def held_out_errors(
    basis: KernelBasis,
    responses: Float64,
    folds: Sequence[Fold],
    lambdas: Float64,
    *,
    dtype: Dtype = "float64",
    device: str = "cpu",
    workers: Workers | None = None,
    progress: Progress | None = None,
) -> Float64:
    """Return the squared error of held-out stimuli, summed over folds; float64, axes (value, target).

    Parameters
    ----------
    basis : KernelBasis
    responses : float64, axes (stimulus, target)
        Of mean 0 if the basis is centred.
    folds : sequence of Fold
        Each learns from all stimuli that it does not hold out.
    lambdas : float64, axes (value,)
        More than 0.
    dtype, device, workers, progress
        See ``encode_space``; a piece is one value of TARGETS_PER_PIECE targets.
    """
    n, n_targets = responses.shape
    if any(len(fold.train) + len(fold.held_out) != n for fold in folds):
        raise ValueError(
            "a fold leaves stimuli out, expected to learn from all that it does not hold out."
        )
    blocks = [slice(i, i + TARGETS_PER_PIECE) for i in range(0, n_targets, TARGETS_PER_PIECE)]
    errors = np.empty((len(lambdas), n_targets))
    # Values innermost: targets along the eigenvectors are the same for all of them.
    for block in blocks:
        library = library_of(device)
        along = library.numpy(_along(basis, responses[:, block], library))
        shared = (_Search(basis, folds, dtype, device), along)
        for i, found in enumerate(_run(_errors_at, list(lambdas), shared, workers, progress)):
            errors[i, block] = found
    return errors


def _along(basis: KernelBasis, responses: Float64, library: ArrayLibrary) -> Any:
    """Return U'Y, axes (component, target)."""
    vectors = library.array(basis.vectors, "float64")
    return vectors.T @ library.array(responses, "float64")


def _errors_at(shared: tuple[_Search, Float64], lam: float) -> Float64:
    """Return the errors of one value, float64, axes (target,)."""
    work, along = shared
    library = library_of(work.device)
    root = 1.0 / np.sqrt(work.basis.eigenvalues + lam)
    vectors = library.array(work.basis.vectors, work.dtype)
    rotated = library.array(along * (root**2)[:, None], work.dtype)
    errors = np.zeros(along.shape[1])
    for fold in work.folds:
        mine = vectors[fold.held_out]
        # G_FF is as badly conditioned as the kernel: float64, whatever the rest is.
        scaled = library.array(work.basis.vectors[fold.held_out] * root, "float64")
        weighted = library.array(mine @ rotated, "float64")
        left = library.solved(scaled @ scaled.T, weighted)
        errors += library.numpy((left * left).sum(0))
    return errors


def _run(
    function: Callable[[Any, Any], Any],
    items: list[Any],
    shared: Any,
    workers: Workers | None,
    progress: Progress | None,
) -> Iterator[Any]:
    if workers is not None:
        yield from workers.run(function, items, shared=shared, progress=progress)
        return
    for item in items:
        yield function(shared, item)
        if progress:
            progress(1)


def gcv(basis: KernelBasis, responses: Float64, device: str = "cpu") -> tuple[Grid, Float64]:
    """Return the paper's grid and the generalised cross-validation errors, float64, axes (value, target)."""
    found = grid(basis.eigenvalues, basis.rounding)
    library = library_of(device)
    squares = library.numpy(_along(basis, responses, library)) ** 2
    totals = np.einsum("ij,ij->j", responses, responses)
    kept = np.where(basis.eigenvalues > basis.rounding, basis.eigenvalues, 0.0)
    return found, gcv_errors(found, kept, squares, totals, len(responses), basis.free)


def dual_weights(
    basis: KernelBasis, responses: Float64, lam: Float64, device: str = "cpu"
) -> Float64:
    """Return alpha, float64, axes (stimulus, target), at one lambda per target; 0: least norm."""
    library = library_of(device)
    total = basis.eigenvalues[:, None] + lam
    used = total > basis.rounding * (lam == 0.0)
    inverse = np.divide(1.0, total, out=np.zeros_like(total), where=used & (total > 0.0))
    along = _along(basis, responses, library) * library.array(inverse, "float64")
    return library.numpy(library.array(basis.vectors, "float64") @ along)


def dual_weights_at(
    kernel: Float64,
    responses: Float64,
    lam: float,
    *,
    dtype: Dtype = "float64",
    device: str = "cpu",
) -> NDArray[np.floating]:
    """Return alpha for one lambda that is given, by Cholesky: nothing to choose needs no decomposition.

    Parameters
    ----------
    kernel : float64, axes (stimulus, stimulus)
    responses : float64, axes (stimulus, target)
    lam : float
        More than 0.
    dtype : {'float32', 'float64'}
        Of the solution.
    device : str

    Returns
    -------
    dtype, axes (stimulus, target)

    Raises
    ------
    EncodingError
        Kernel and lambda are not positive definite.
    """
    library = library_of(device)
    positive = np.array(kernel, dtype)
    positive.flat[:: len(kernel) + 1] += lam
    try:
        found = library.solved(library.array(positive, dtype), library.array(responses, dtype))
    except np.linalg.LinAlgError:
        raise EncodingError(
            f"encoding: lambda {lam:g} leaves the kernel without an inverse in {dtype} (its mean eigenvalue is "
            f"{np.trace(kernel) / len(kernel):.3g}), expected more. Give a larger one."
        ) from None
    return library.numpy(found)
