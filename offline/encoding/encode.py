"""The encoding model of one feature space: which regularisation each electrode gets, and what is predicted.

Wide spaces are fitted in dual form, from a kernel that is made once; narrow ones in primal form. Both give a
LinearMap, so nobody else needs to know which. Coefficients of wide features are never held.
For commands, statistics and export; knows nothing of recordings, ROIs or figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import EncodingError
from offline.encoding.array_library import Dtype
from offline.encoding.kernel_ridge import (
    KernelBasis,
    check_memory,
    decomposed,
    dual_weights,
    dual_weights_at,
    gcv,
    held_out_errors,
)
from offline.encoding.kernels import Kernels, linear_kernels, n_pieces, suited
from offline.encoding.linear_ridge import (
    decomposed_features,
    feature_errors,
    feature_gcv,
    feature_weights,
)
from offline.encoding.model_inputs import check_above_0, check_vary, checked_responses
from offline.encoding.prediction import Form, LinearMap, SpacePrediction
from offline.encoding.space_reading import read_features, rows_in
from offline.features.feature_space import FeatureSpace, Rows
from offline.regression.folds import N_FOLDS, Fold, folds_by_stimulus
from offline.regression.ridge_search import LAMBDAS, target_groups
from offline.scheduling.workers import Workers

Float64 = NDArray[np.float64]
Rule = Literal["cross_validation", "degrees_of_freedom"]


def encode_space(
    space: FeatureSpace,
    train_ids: Sequence[str],
    test_ids: Sequence[str],
    responses: NDArray[np.floating],
    *,
    rule: Rule = "cross_validation",
    lam: float | None = None,
    groups: NDArray[np.integer] | Literal["each", "all"] = "each",
    lambdas: Sequence[float] | Float64 | None = None,
    n_folds: int = N_FOLDS,
    seed: int = 0,
    centre: bool = True,
    form: Form | Literal["auto"] = "auto",
    dtype: Dtype = "float32",
    device: str = "cpu",
    workers: Workers | None = None,
    memory: int | None = None,
    progress: Callable[[int], None] | None = None,
    keep_kernels: Callable[[str, Kernels], None] | None = None,
) -> SpacePrediction:
    """Fit a feature space to responses and predict test stimuli.

    Parameters
    ----------
    space : FeatureSpace
    train_ids, test_ids : sequence of str, axes (stimulus,)
        A training stimulus may come several times, once for each of its responses.
    responses : float, axes (training stimulus, target)
        A target is an electrode, or an electrode in a window.
    rule : {'cross_validation', 'degrees_of_freedom'}
        By held-out squared error, folds by stimulus; or the paper's grid by generalised cross-validation.
    lam : float, optional
        Given instead of chosen, in the units of the kernel, more than 0.
    groups : {'each', 'all'} or int, axes (target,)
        Which targets share a value: each has its own; the paper has one per ROI.
    lambdas : sequence of float, optional
        For cross-validation, more than 0; by default LAMBDAS times the mean eigenvalue.
    n_folds, seed : int
        Of cross-validation.
    centre : bool
        False: neither features nor responses are taken minus their mean, and there is no intercept, as in the paper's
        notebooks.
    form : {'auto', 'features', 'kernel'}
        Auto: weights of features where a fold learns from no fewer stimuli than there are features.
    dtype : {'float32', 'float64'}
        Of the products of features, the widest products of the choice, and what is predicted; all else is float64.
    device : str
        ``cpu``, ``cuda``, ``torch`` (torch on the CPU) or ``auto``; primal fits are small and stay on the CPU.
    workers : Workers, optional
        Pieces are blocks of features, then values and blocks of targets.
    memory : int, optional
        Bytes that the work may take in each process, beyond the responses.
    progress : callable, optional
        Called with steps done, ``n_pieces(space)`` in all.
    keep_kernels : callable, optional
        Given the space's name and its kernels, where the fit made them: other models need not make them again.

    Returns
    -------
    SpacePrediction

    Raises
    ------
    EncodingError
        Responses or features that are not finite, features that do not vary; a stimulus without features; too few
        stimuli; a lambda that is not above 0, or leaves no inverse.
    ConfigError
        ``memory`` is too little.
    ProviderError
        There is no such device.
    """
    y = checked_responses(space, train_ids, responses)
    check_above_0([] if lam is None else [lam])
    check_above_0([] if lambdas is None else lambdas)
    train, test = rows_in(space, train_ids), rows_in(space, test_ids)
    folds = (
        [] if lam is not None or rule != "cross_validation" else _folds(train_ids, n_folds, seed)
    )
    task = _Task(
        space, tuple(train_ids), train, test, y, target_groups(y.shape[1], groups), rule, lam, lambdas, folds,
        centre, dtype, device, suited(workers, device), memory, progress, keep_kernels,
    )  # fmt: skip
    least = min((len(fold.train) for fold in folds), default=len(train))
    narrow = space.n_features <= least
    if form == "kernel" or (form == "auto" and not narrow):
        return _by_kernel(task, form="kernel")
    if centre:
        return _by_features(task)
    return _by_kernel(task, form="features")


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """What is to be fitted, as the arguments of ``encode_space`` say; rows instead of stimuli."""

    space: FeatureSpace
    train_ids: tuple[str, ...]
    train: Rows
    test: Rows
    responses: Float64
    group: NDArray[np.intp]
    rule: Rule
    lam: float | None
    lambdas: Sequence[float] | Float64 | None
    folds: list[Fold]
    centre: bool
    dtype: Dtype
    device: str
    workers: Workers | None
    memory: int | None
    progress: Callable[[int], None] | None
    keep_kernels: Callable[[str, Kernels], None] | None

    def values(self, trace: float) -> Float64:
        """Return the lambdas to compare; ``trace`` is that of the kernel."""
        if self.lambdas is not None:
            return np.asarray(self.lambdas, np.float64)
        n_components = min(len(self.train) - 1, self.space.n_features)
        return np.asarray(np.multiply(LAMBDAS, trace / n_components), np.float64)

    def given(self) -> Float64:
        """Return the lambda that is given, for each target."""
        return np.full(len(self.group), self.lam, np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class _Choice:
    """The lambda of each target, and what it was chosen from; see SpacePrediction."""

    lam: Float64
    lambdas: Float64
    errors: Float64


def _by_kernel(task: _Task, *, form: Form) -> SpacePrediction:
    check_memory(len(task.train), task.memory)
    kernels = linear_kernels(
        task.space,
        task.train,
        task.test,
        centre=task.centre,
        dtype=task.dtype,
        device=task.device,
        workers=task.workers,
        memory=task.memory,
        progress=task.progress,
    )
    if task.keep_kernels is not None:
        task.keep_kernels(task.space.name, kernels)
    trace = float(np.trace(kernels.train))
    check_vary(task.space, len(task.train), trace, kernels.taken_off, task.dtype)
    mean, y = _centred(task)
    if task.lam is not None:
        choice = _Choice(task.given(), np.empty(0), np.empty((0, y.shape[1])))
        alpha = dual_weights_at(kernels.train, y, task.lam, device=task.device)
    else:
        basis = decomposed(kernels.train, centred=task.centre, dtype=task.dtype, device=task.device)
        choice = _kernel_choice(task, basis, y, trace)
        alpha = dual_weights(basis, y, choice.lam, task.device)
    predicted = np.asarray(kernels.across @ alpha + mean, task.dtype)
    if form == "kernel":
        return _prediction(task, _Fit(form, kernels.across, alpha, mean, predicted), choice)
    # Not centred here: what is few enough is centred in primal form.
    weights = read_features(task.space, task.train).astype(np.float64).T @ alpha
    inputs = read_features(task.space, task.test)
    return _prediction(task, _Fit(form, inputs, weights, mean, predicted), choice)


def _kernel_choice(task: _Task, basis: KernelBasis, y: Float64, trace: float) -> _Choice:
    if task.rule == "degrees_of_freedom":
        found, errors = gcv(basis, y, task.device)
        return _chosen(task, found.lambdas, errors)
    values = task.values(trace)
    errors = held_out_errors(
        basis, y, task.folds, values, dtype=task.dtype, device=task.device, workers=task.workers
    )
    return _chosen(task, values, errors)


def _by_features(task: _Task) -> SpacePrediction:
    x = read_features(task.space, task.train).astype(np.float64)
    x_mean = x.mean(axis=0)
    x -= x_mean
    trace = float(np.square(x).sum())
    check_vary(task.space, len(x), trace, len(x) * float(np.square(x_mean).sum()), "float64")
    mean, y = _centred(task)
    basis = decomposed_features(x)
    if task.lam is not None:
        choice = _Choice(task.given(), np.empty(0), np.empty((0, y.shape[1])))
    elif task.rule == "degrees_of_freedom":
        found, errors = feature_gcv(basis, y)
        choice = _chosen(task, found.lambdas, errors)
    else:
        values = task.values(trace)
        errors = feature_errors(x, y, task.folds, values, workers=task.workers)
        choice = _chosen(task, values, errors)
    weights = feature_weights(basis, y, choice.lam)
    intercept = mean - x_mean @ weights
    inputs = read_features(task.space, task.test)
    predicted = np.asarray(inputs.astype(np.float64) @ weights + intercept, task.dtype)
    if task.progress:
        task.progress(n_pieces(task.space))
    return _prediction(task, _Fit("features", inputs, weights, intercept, predicted), choice)


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    form: Form
    inputs: NDArray[np.floating]
    weights: NDArray[np.floating]
    intercept: Float64
    predicted: NDArray[np.floating]


def _prediction(task: _Task, fit: _Fit, choice: _Choice) -> SpacePrediction:
    weights, inputs = fit.weights.astype(np.float32), fit.inputs.astype(np.float32)
    found = LinearMap(fit.form, weights, fit.intercept, inputs, task.train_ids, task.centre)
    name, lam = task.space.name, choice.lam
    return SpacePrediction(name, fit.predicted, lam, fit.form, found, choice.lambdas, choice.errors)


def _chosen(task: _Task, values: Float64, errors: Float64) -> _Choice:
    """Choose the lambda of each target: that with which its group's errors sum to least."""
    totals = np.zeros((len(values), int(task.group.max(initial=0)) + 1))
    np.add.at(totals.T, task.group, errors.T)
    if not np.isfinite(totals).any(axis=0).all():
        raise EncodingError(
            f"encoding {task.space.name}: {len(task.train)} training stimuli leave no degrees of freedom to choose a "
            "regularisation by, expected more. Record more stimuli, or give lambda."
        )
    lam = np.asarray(values[totals.argmin(axis=0)][task.group], np.float64)
    return _Choice(lam, values, errors)


def _centred(task: _Task) -> tuple[Float64, Float64]:
    """Return the mean of each target, 0 where it is not taken off, and the responses minus it."""
    y = task.responses
    mean = y.mean(axis=0) if task.centre else np.zeros(y.shape[1])
    return mean, y - mean


def _folds(train_ids: Sequence[str], n_folds: int, seed: int) -> list[Fold]:
    distinct = len(set(train_ids))
    if distinct < 2:
        raise EncodingError(
            f"encoding: {distinct} distinct training stimulus, expected at least 2 to hold one out. "
            "Record more stimuli."
        )
    return folds_by_stimulus(train_ids, min(n_folds, distinct), seed)
