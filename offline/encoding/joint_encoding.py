"""All feature spaces at once: how much of each electrode they explain together, and what each one adds.

One banded model of all spaces and one of all but each are fitted to training stimuli and scored on held-out ones.
For commands and the report; takes kernels, knows no files or figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ChannelMap
from offline.encoding.array_library import Dtype
from offline.encoding.banded import N_CANDIDATES, BandedRidge, band_candidates, fit_banded_ridge
from offline.encoding.joint_contents import joint_contents
from offline.encoding.kernels import Kernels
from offline.encoding.scores import INFORMATIVE, plain
from offline.encoding.statistics import Array, n_scored, pearson, t_test_p
from offline.encoding.variance_partitioning import (
    explained_variance,
    normalised_variance,
    product_measure,
    unique_and_shared,
)
from offline.regression.folds import Fold, folds_by_stimulus
from offline.scheduling.workers import Workers


@dataclass(frozen=True, slots=True, eq=False)
class JointScores:
    """Scores of the joint model on held-out stimuli; shares of the observed variance, see variance_partitioning.py.

    Attributes
    ----------
    spaces : tuple of str, axes (space,)
    channels : ChannelMap
    n_test : int
    r, p : float64, axes (channel,)
        Pearson's r of the joint prediction, and its two-sided t test, not corrected.
    explained : float64, axes (channel,)
        Variance that all spaces explain together.
    unique : float64, axes (space, channel)
        What is lost without that space.
    shared : float64, axes (channel,)
        ``explained`` minus the sum of ``unique``.
    product : float64, axes (space, channel)
        What each space's part of the joint prediction explains; adds up to ``explained``.
    gamma : float64, axes (space, channel)
        Weights of the spaces' kernels, which add up to 1.
    regularisation : float64, axes (channel,)
        Lambda, in units of the mean eigenvalue.
    ceiling : float64, axes (channel,)
        Noise ceiling of the test responses, 0 to 1; NaN where it is not known.
    """

    spaces: tuple[str, ...]
    channels: ChannelMap
    n_test: int
    r: Array = field(repr=False)
    p: Array = field(repr=False)
    explained: Array = field(repr=False)
    unique: Array = field(repr=False)
    shared: Array = field(repr=False)
    product: Array = field(repr=False)
    gamma: Array = field(repr=False)
    regularisation: Array = field(repr=False)
    ceiling: Array = field(repr=False)

    def of_explainable(self, part: Array) -> Array:
        """Return any of the parts as a share of what the stimulus explains; NaN where the ceiling is below .1."""
        return normalised_variance(part, self.ceiling)

    @property
    def informative(self) -> NDArray[np.bool_]:
        """Whether a channel's noise ceiling is above .3, bool, axes (channel,); an unknown one is not."""
        return np.asarray(self.ceiling > INFORMATIVE)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, NaN as None: ``joint_contents``, and what only this model knows.

        Per ROI ``of_explainable``: means over the same channels, of those whose ceiling is known and at least .1.
        """
        data = joint_contents(
            self.spaces,
            self.channels,
            self.explained,
            self.unique,
            self.shared,
            n_test=self.n_test,
            product=self.product,
            ceiling=self.ceiling,
            informative=self.informative,
        )
        data["electrodes"] |= {name: plain(getattr(self, name)) for name in _OWN}
        for roi, found in data["rois"].items():
            if found is not None:
                found["of_explainable"] = self._shares(roi)
        return data

    def _shares(self, roi: str) -> dict[str, Any]:
        own = self.channels.channels_of(roi)
        if self.informative.any():
            own = own[self.informative[own]]
        joint, shared, unique, product = (
            _mean(self.of_explainable(part)[..., own])
            for part in (self.explained, self.shared, self.unique, self.product)
        )
        return {
            "joint": plain(joint),
            "shared": plain(shared),
            "unique": dict(zip(self.spaces, plain(unique), strict=True)),
            "product": dict(zip(self.spaces, plain(product), strict=True)),
        }


_OWN = ("r", "p", "gamma", "regularisation", "ceiling")


def joint_encoding(
    kernels: Mapping[str, Kernels],
    responses: NDArray[np.floating],
    observed: NDArray[np.floating],
    channels: ChannelMap,
    ceiling: NDArray[np.floating],
    *,
    train_ids: Sequence[str] | None = None,
    n_candidates: int = N_CANDIDATES,
    dtype: Dtype = "float32",
    device: str = "cpu",
    seed: int = 0,
    workers: Workers | None = None,
    progress: Callable[[int], None] | None = None,
) -> JointScores:
    """Fit all spaces together and all but each; score them on held-out stimuli.

    Parameters
    ----------
    kernels : mapping of space to Kernels
        Of training stimuli, and of test with training stimuli: ``linear_kernels`` makes them, once for all models.
    responses : float, axes (training stimulus, channel)
        Finite.
    observed : float, axes (test stimulus, channel)
        Means over repeats; NaN is a missing response.
    channels : ChannelMap
    ceiling : float, axes (channel,)
        Noise ceiling of ``observed``.
    train_ids : sequence of str, axes (training stimulus,), optional
        Keeps repeats of a stimulus in one fold; by default each row is a stimulus of its own.
    n_candidates : int
        Weightings of the spaces to try, for each model.
    dtype, device
        See ``fit_banded_ridge``.
    seed : int
        Of folds and candidates.
    workers : Workers, optional
        Those of a cluster fit one model each; threads of this process would only share its processors.
    progress : callable, optional
        Called with 1 after each model; there are ``n_models``.

    Raises
    ------
    EncodingError
        Missing training responses, or shapes that do not fit.
    ProviderError
        There is no such device.
    """
    ids = [str(i) for i in range(len(responses))] if train_ids is None else train_ids
    spaces = tuple(kernels)
    work = _Work(
        [k.train for k in kernels.values()],
        [k.across for k in kernels.values()],
        responses,
        folds_by_stimulus(ids, seed=seed),
        n_candidates,
        dtype,
        device,
        seed,
    )
    joint, *rest = _fitted(work, _models(len(spaces)), workers, progress)
    model, parts = joint
    predicted = parts.sum(axis=0) + model.intercept
    explained = explained_variance(predicted, observed)
    without = np.stack([explained_variance(p.sum(axis=0), observed) for _, p in rest] or
                       [np.zeros_like(explained)])  # fmt: skip
    unique, shared = unique_and_shared(explained, without)
    r = pearson(predicted, observed)
    return JointScores(
        spaces=spaces,
        channels=channels,
        n_test=len(observed),
        r=r,
        p=t_test_p(r, n_scored(predicted, observed)),
        explained=explained,
        unique=unique,
        shared=shared,
        product=product_measure(parts, observed),
        gamma=model.gamma,
        regularisation=model.lam,
        ceiling=np.asarray(ceiling, np.float64),
    )


def n_models(n_spaces: int) -> int:
    """Return how many models ``joint_encoding`` fits."""
    return len(_models(n_spaces))


def _models(n_spaces: int) -> list[tuple[int, ...]]:
    """Return the spaces of each model: all of them, then all but each; a model without any explains nothing."""
    every = tuple(range(n_spaces))
    rest = [tuple(s for s in every if s != left_out) for left_out in every]
    return [every, *rest] if n_spaces > 1 else [every]


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    """What every model needs."""

    train: Sequence[Array]
    across: Sequence[Array]
    responses: NDArray[np.floating]
    folds: Sequence[Fold]
    n_candidates: int
    dtype: Dtype
    device: str
    seed: int


def _fitted(
    work: _Work,
    models: Iterable[tuple[int, ...]],
    workers: Workers | None,
    progress: Callable[[int], None] | None,
) -> list[tuple[BandedRidge, Array]]:
    if workers is not None and not workers.here:
        return list(workers.run(_fit, models, shared=work, progress=progress))
    found = []
    for spaces in models:
        found.append(_fit(work, spaces))
        if progress:
            progress(1)
    return found


def _fit(work: _Work, spaces: tuple[int, ...]) -> tuple[BandedRidge, Array]:
    """Return a model of some spaces and the parts that each predicts of test stimuli."""
    model = fit_banded_ridge(
        [work.train[s] for s in spaces],
        work.responses,
        folds=work.folds,
        candidates=band_candidates(len(spaces), work.n_candidates, work.seed),
        dtype=work.dtype,
        device=work.device,
        seed=work.seed,
    )
    return model, model.predict_by_space([work.across[s] for s in spaces])


def _mean(values: Array) -> Array:
    """Return the mean over channels of what is known; NaN where nothing is."""
    known = np.isfinite(values)
    n = known.sum(axis=-1)
    total = np.where(known, values, 0.0).sum(axis=-1)
    return np.asarray(np.where(n > 0, total / np.maximum(n, 1), np.nan))
