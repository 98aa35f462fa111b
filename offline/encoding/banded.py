"""Banded ridge: several feature spaces predict together, each electrode weighting each space for itself.

    predicted = sum over spaces of  weights[space] K[space] dual + intercept,   weights = gamma / scale of K[space]

The kernel of an electrode is the sum of the spaces' kernels times gamma (not negative, adding up to 1), which is ridge
regression with another regularisation for each space (Nunez-Elizalde, Huth & Gallant 2019, doi
10.1016/j.neuroimage.2019.04.012). himalaya searches gamma at random, from Dirichlet distributions, and lambda on a
grid, by held-out squared error (Dupre la Tour et al. 2022, doi 10.1016/j.neuroimage.2022.119728): all electrodes share
each candidate's decompositions. Its fit with what was chosen, done anew whenever any electrode improves, is done here
once, at the end.

Takes kernels, whoever computed them; knows no features, electrodes or scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import EncodingError
from offline.encoding.array_library import Dtype
from offline.encoding.himalaya_backend import OnProcessor, himalaya_backend
from offline.encoding.kernel_ridge import dual_weights_at
from offline.regression.folds import Fold, folds_by_stimulus
from offline.regression.ridge_search import LAMBDAS

Array = NDArray[np.float64]
Rows = NDArray[np.intp]
Square = NDArray[np.floating]

N_CANDIDATES = 40
# Every second one: each costs as much as another weighting of the spaces, and errors change slowly with lambda.
BAND_LAMBDAS = LAMBDAS[1::2]
# One draw in two gives nearly everything to one or two spaces; the others are uniform over the simplex.
_CONCENTRATIONS = (0.1, 1.0)
_BYTES_AT_ONCE = 128 * 2**20
# Of himalaya and torch themselves, once they work.
_LIBRARIES = 32 * 2**20
# What varies less than this share of its values is constant.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class BandedRidge:
    """A joint model.

    Attributes
    ----------
    gamma : float64, axes (space, target)
        Weights of the spaces' kernels, each scaled to a mean diagonal of 1; they add up to 1.
    lam : float64, axes (target,)
        For the weighted sum of the scaled kernels.
    scale : float64, axes (space,)
        The mean diagonal of each kernel after centring; infinite where its features are all constant.
    dual : float64, axes (train stimulus, target)
    intercept : float64, axes (target,)
        The mean training response.
    held_out_error : float64, axes (target,)
        Squared error of cross-validation, as a share of the training responses' variance.
    means : sequence of float64, axes (train stimulus,)
        Of the rows of each kernel as given.
    """

    gamma: Array
    lam: Array
    scale: Array
    dual: Array = field(repr=False)
    intercept: Array = field(repr=False)
    held_out_error: Array = field(repr=False)
    means: Sequence[Array] = field(repr=False)

    def predict_by_space(self, kernels: Sequence[Square]) -> Array:
        """Return what each space adds to the prediction.

        Parameters
        ----------
        kernels : one per space, float, axes (stimulus, train stimulus)
            Of features taken minus their training mean where those were that the model was fitted with, and only there.

        Returns
        -------
        float64, axes (space, stimulus, target)
            Their sum and ``intercept`` are the prediction.
        """
        weights = self.gamma / self.scale[:, None]
        parts = []
        for kernel, mean, weight in zip(kernels, self.means, weights, strict=True):
            k = np.asarray(kernel, np.float64)
            k = k - k.mean(axis=1, keepdims=True) - (mean - mean.mean())
            parts.append((k @ self.dual) * weight)
        return np.stack(parts)

    def predict(self, kernels: Sequence[Square]) -> Array:
        """Return predicted responses, float64, axes (stimulus, target); ``kernels`` as in ``predict_by_space``."""
        return np.asarray(self.predict_by_space(kernels).sum(axis=0) + self.intercept)


def fit_banded_ridge(
    kernels: Sequence[Square],
    responses: NDArray[np.floating],
    *,
    folds: Sequence[Fold] | None = None,
    candidates: NDArray[np.floating] | None = None,
    lambdas: Sequence[float] | NDArray[np.floating] = BAND_LAMBDAS,
    dtype: Dtype = "float32",
    device: str = "cpu",
    on_processor: OnProcessor = "torch",
    seed: int = 0,
) -> BandedRidge:
    """Fit a joint model of one space or several.

    Parameters
    ----------
    kernels : one per space, float, axes (train stimulus, train stimulus)
        Linear kernels; they are centred here, which leaves centred ones as they are.
    responses : float, axes (train stimulus, target)
    folds : sequence of Fold, optional
        By default each row is a stimulus of its own.
    candidates : float, axes (candidate, space), optional
        Values of gamma to try; by default those of ``band_candidates``.
    lambdas : sequence of float
        In units of the mean eigenvalue.
    dtype : {'float32', 'float64'}
        Of the search. The chosen model is fitted, and predicts, in float64.
    device : str
        cpu, torch (on the processor), cuda (or cuda:1), auto.
    on_processor : {'torch', 'numpy'}
        Who multiplies where the device is the processor; torch is about twice as fast.
    seed : int
        Of folds and candidates.

    Returns
    -------
    BandedRidge

    Raises
    ------
    EncodingError
        Missing values, or shapes that do not fit.
    ProviderError
        There is no such device.

    Notes
    -----
    Centred once, not in each fold: a fold's own means differ by about the standard error, for all candidates alike.
    """
    _check(kernels, responses)
    n = len(responses)
    if candidates is None:
        candidates = band_candidates(len(kernels), seed=seed)
    if folds is None:
        folds = folds_by_stimulus([str(i) for i in range(n)], seed=seed)
    gammas = np.asarray(candidates, np.float64)
    scaled = _Scaled.of(kernels)
    mean = responses.mean(axis=0, dtype=np.float64)
    y = responses - mean
    spread = y.std(axis=0)
    spread[spread <= _ROUNDING * np.abs(responses).max(axis=0)] = 0.0
    y *= np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 0)
    with himalaya_backend(device, on_processor) as backend:
        chosen, lam, error = _search(backend, scaled, y, gammas, lambdas, folds, dtype)
    dual = _duals(scaled, y, gammas, chosen, lam, device)
    return BandedRidge(
        gamma=gammas[chosen].T,
        lam=lam,
        scale=scaled.scale,
        dual=dual * spread,
        intercept=mean,
        held_out_error=error,
        means=scaled.means,
    )


def band_candidates(n_spaces: int, n_candidates: int = N_CANDIDATES, seed: int = 0) -> Array:
    """Return weights to try: all alike, each space alone, the others drawn from Dirichlet distributions.

    Returns
    -------
    float64, axes (candidate, space), not negative, adding up to 1
        ``n_candidates`` of them, but never fewer than the middle and the corners; of one space there is one.
    """
    middle = np.full((1, n_spaces), 1.0 / n_spaces)
    if n_spaces == 1:
        return middle
    rng = np.random.default_rng(seed)
    drawn = [
        rng.dirichlet(np.full(n_spaces, _CONCENTRATIONS[i % 2]))[None]
        for i in range(n_candidates - n_spaces - 1)
    ]
    return np.concatenate([middle, np.eye(n_spaces), *drawn])


def banded_bytes(n_train: int, n_spaces: int, n_targets: int, dtype: Dtype = "float32") -> int:
    """Return how much memory ``fit_banded_ridge`` takes at most, beside kernels and responses.

    Parameters
    ----------
    n_train : int
        Training stimuli.
    n_spaces, n_targets : int
    dtype : {'float32', 'float64'}
    """
    item = np.dtype(dtype).itemsize
    square = n_train * n_train
    # All kernels and their weighted terms; a fold's parts and decomposition; values of lambda side by side; responses.
    side_by_side = min(_BYTES_AT_ONCE, len(BAND_LAMBDAS) * item * square)
    return (
        (2 * n_spaces + 8) * item * square
        + 3 * side_by_side // 2
        + 6 * 8 * n_train * n_targets
        + _LIBRARIES
    )


def _check(kernels: Sequence[Square], responses: NDArray[np.floating]) -> None:
    n = len(responses)
    if any(kernel.shape != (n, n) for kernel in kernels) or responses.ndim != 2:
        shapes = ", ".join(str(kernel.shape) for kernel in kernels)
        raise EncodingError(
            f"joint model: kernels of shape {shapes} and responses of shape {responses.shape}, expected "
            "(stimulus, stimulus) and (stimulus, target)."
        )
    for name, arrays in (("kernels", kernels), ("responses", [responses])):
        if n_missing := sum(int((~np.isfinite(values)).sum()) for values in arrays):
            raise EncodingError(
                f"joint model: {n_missing} values of the {name} are missing, expected none. "
                "Leave out those stimuli or electrodes."
            )


@dataclass(frozen=True, slots=True, eq=False)
class _Scaled:
    """Kernels to be centred and divided by ``scale``; only one of float64 is held beside those that were given."""

    kernels: Sequence[Square]
    means: Sequence[Array]
    scale: Array

    @classmethod
    def of(cls, kernels: Sequence[Square]) -> _Scaled:
        means = [kernel.mean(axis=1, dtype=np.float64) for kernel in kernels]
        sizes = [float(np.trace(kernel, dtype=np.float64)) / len(kernel) for kernel in kernels]
        scale = np.array([s - float(m.mean()) for s, m in zip(sizes, means, strict=True)])
        varies = scale > _ROUNDING * np.abs(sizes)
        return cls(kernels, means, np.where(varies, scale, np.inf))

    def one(self, s: int) -> Array:
        mean = self.means[s]
        k = self.kernels[s] - (mean - mean.mean()) - mean[:, None]
        k /= self.scale[s]
        return np.asarray(k)

    def stacked(self, dtype: Dtype) -> NDArray[np.floating]:
        """Return all of them, axes (space, train stimulus, train stimulus)."""
        found = np.empty((len(self.kernels), *self.kernels[0].shape), dtype)
        for s in range(len(found)):
            found[s] = self.one(s)
        return found

    def summed(self, gamma: Array) -> Array:
        """Return their weighted sum, float64."""
        used = np.flatnonzero(gamma)
        return np.asarray(sum(gamma[s] * self.one(int(s)) for s in used))


def _search(
    backend: Any,
    scaled: _Scaled,
    y: Array,
    gammas: Array,
    lambdas: Sequence[float] | NDArray[np.floating],
    folds: Sequence[Fold],
    dtype: Dtype,
) -> tuple[Rows, Array, Array]:
    """Return each target's candidate, lambda and held-out squared error."""
    from himalaya.kernel_ridge import solve_multiple_kernel_ridge_random_search

    at_once = _BYTES_AT_ONCE // (np.dtype(dtype).itemsize * len(y))
    # A space of weight 0 has the logarithm -inf, from which 0 comes back.
    with np.errstate(divide="ignore"):
        logarithms, _, scores, lam = solve_multiple_kernel_ridge_random_search(
            backend.asarray(scaled.stacked(dtype)),
            backend.asarray(y, dtype=dtype),
            n_iter=backend.asarray(gammas, dtype=dtype),
            alphas=backend.asarray(np.asarray(lambdas), dtype=dtype),
            cv=[(fold.train, fold.held_out) for fold in folds],
            return_weights=None,
            return_alphas=True,
            n_alphas_batch=max(1, at_once // len(y)),
            n_targets_batch=max(1, at_once),
            progress_bar=False,
        )
    found = backend.to_numpy(lam).astype(np.float64)
    won = np.exp(backend.to_numpy(logarithms).astype(np.float64)) * found
    # What comes back has been rounded: the nearest of those that went in is meant.
    values = np.asarray(lambdas, np.float64)
    lam = values[np.abs(np.log(values)[:, None] - np.log(found)).argmin(axis=0)]
    chosen = np.array([np.abs(gammas - one).sum(axis=1).argmin() for one in won.T], np.intp)
    errors = -backend.to_numpy(scores).astype(np.float64)
    return chosen, lam, errors[chosen, np.arange(len(chosen))]


def _duals(
    scaled: _Scaled, y: Array, gammas: Array, chosen: Rows, lam: Array, device: str
) -> Array:
    """Fit all training stimuli with what was chosen: one Cholesky factor per candidate and lambda that is used."""
    dual = np.empty(y.shape)
    for candidate in np.unique(chosen):
        kernel = scaled.summed(gammas[candidate])
        won = chosen == candidate
        for value in np.unique(lam[won]):
            targets = np.flatnonzero(won & (lam == value))
            dual[:, targets] = dual_weights_at(kernel, y[:, targets], float(value), device=device)
    return dual
