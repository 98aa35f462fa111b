"""Bootstrap intervals and permutation tests whose unit is the stimulus.

Repeats of one stimulus are not independent: they are drawn together and permuted together. A p-value is
(b + 1) / (n + 1), b of n permutations being at least as extreme as what was observed (Phipson & Smyth 2010,
doi 10.2202/1544-6115.1585): never 0, and uniform where there is nothing. Knows no decoders, metrics or files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from offline.scheduling.local_workers import LocalWorkers
from offline.scheduling.workers import Workers

Array = NDArray[np.float64]
Rows = NDArray[np.intp]
Statistic = Callable[[Rows], NDArray[np.floating] | float]
"""From row numbers to a figure or an array of figures."""

N_RESAMPLES = 1000
N_PERMUTATIONS = 999
_PERMUTATIONS_AT_ONCE = 100
_PER_PIECE = 20


@dataclass(frozen=True, slots=True, eq=False)
class ArrayInterval:
    """A statistic of any shape and its 95 % bootstrap interval; all float64, of the statistic's axes."""

    value: Array
    low: Array
    high: Array


@dataclass(frozen=True, slots=True)
class PermutationTest:
    """What was observed beside what chance gives.

    Attributes
    ----------
    observed : float
    p : float
        One-sided, that chance gives as much or more.
    n_permutations : int
        The smallest p there can be is 1 / (n_permutations + 1).
    null_mean, null_sd : float
        Of the permuted figures: the empirical chance level and its spread.
    """

    observed: float
    p: float
    n_permutations: int
    null_mean: float
    null_sd: float


def p_value(observed: NDArray[np.floating] | float, null: NDArray[np.floating]) -> Array:
    """Return (b + 1) / (n + 1), b of n null figures being at least the observed one.

    Parameters
    ----------
    observed : float, axes (...)
    null : float, axes (permutation, ...)

    Returns
    -------
    float64, axes (...), more than 0, at most 1

    Notes
    -----
    A null figure that differs by rounding only (1e-12 of the largest) counts as equal: one permutation may give the
    same sum in another order.
    """
    tolerance = 1e-12 * np.maximum(np.abs(null).max(axis=0, initial=0.0), np.abs(observed))
    b = (null >= np.asarray(observed) - tolerance).sum(axis=0)
    return np.asarray((b + 1.0) / (len(null) + 1.0))


def bootstrap(
    statistic: Statistic,
    groups: NDArray[np.integer],
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
    workers: Workers | None = None,
) -> ArrayInterval:
    """Return a statistic of all trials and its 95 % interval, resampling stimuli.

    Parameters
    ----------
    statistic : callable
        From row numbers (trials, with repetition) to a figure or an array of figures.
    groups : int, axes (trial,)
        Stimulus of each trial.
    n_resamples, seed : int
    workers : Workers, optional
        They do the statistic, which other processes must be able to be sent; what is drawn does not depend on them.

    Notes
    -----
    Percentile bootstrap (Efron 1979, doi 10.1214/aos/1176344552). For means of single-trial values ``bootstrap_mean``
    does the same faster.
    """
    order = np.argsort(groups, kind="stable")
    _, starts = np.unique(np.asarray(groups)[order], return_index=True)
    members = np.split(order, starts[1:])
    rng = np.random.default_rng(seed)

    def rows() -> Rows:
        chosen = rng.integers(len(members), size=len(members))
        return np.concatenate([members[i] for i in chosen])

    pieces = _pieces(rows, n_resamples)
    drawn = list((workers or LocalWorkers(1)).run(_statistics, pieces, shared=statistic))
    low, high = np.quantile(np.concatenate(drawn), (0.025, 0.975), axis=0)
    value = np.asarray(statistic(np.arange(len(order))), np.float64)
    return ArrayInterval(value, np.asarray(low), np.asarray(high))


def permute_stimuli(
    scores: NDArray[np.floating],
    true_idx: NDArray[np.integer],
    n_permutations: int = N_PERMUTATIONS,
    seed: int = 0,
) -> PermutationTest:
    """Test whether trials score better with their own stimulus than with another one of those shown.

    Parameters
    ----------
    scores : float, axes (trial, stimulus)
        What each trial would score were that stimulus the true one: a similarity, a share of two-way wins, ...
    true_idx : int, axes (trial,)
    n_permutations, seed : int

    Returns
    -------
    PermutationTest
        Of the mean score over trials. Stimuli change places as a whole, with all their trials.
    """
    shown, of_trial = np.unique(true_idx, return_inverse=True)
    table = np.zeros((len(shown), len(shown)))
    np.add.at(table, of_trial, np.asarray(scores, np.float64)[:, shown])
    rows = np.arange(len(shown))
    rng = np.random.default_rng(seed)
    null = np.array([table[rows, rng.permutation(len(shown))].sum() for _ in range(n_permutations)])
    return _test(float(np.trace(table)) / len(of_trial), null / len(of_trial))


def permute_pairs(
    statistic: Statistic,
    groups: NDArray[np.integer],
    n_permutations: int = N_PERMUTATIONS,
    seed: int = 0,
    workers: Workers | None = None,
) -> tuple[Array, Array]:
    """Test any statistic of the pairs of decoded and true, an array of them too.

    Parameters
    ----------
    statistic : callable
        From the row numbers that the truth is taken from, axes (trial,), to a figure or an array of figures.
    groups : int, axes (trial,)
        Stimulus of each trial.
    n_permutations, seed : int
    workers : Workers, optional
        See ``bootstrap``.

    Returns
    -------
    float64 : observed, of the statistic's axes
    float64 : p-values, the same axes, one-sided; not corrected for how many there are
    """
    shown, first, of_trial = np.unique(groups, return_index=True, return_inverse=True)
    rng = np.random.default_rng(seed)
    observed = np.asarray(statistic(first[of_trial]), np.float64)
    pieces = _pieces(lambda: first[rng.permutation(len(shown))][of_trial], n_permutations)
    shared = (statistic, observed)
    b = sum(
        (workers or LocalWorkers(1)).run(_as_much, pieces, shared=shared), np.zeros_like(observed)
    )
    return observed, np.asarray((b + 1.0) / (n_permutations + 1.0))


def flip_signs(
    differences: NDArray[np.floating],
    groups: NDArray[np.integer],
    n_permutations: int = N_PERMUTATIONS,
    seed: int = 0,
) -> PermutationTest:
    """Test whether one decoder beats another, or the mean latent, on the same trials.

    Parameters
    ----------
    differences : float, axes (trial,)
        Score of the one minus score of the other.
    groups : int, axes (trial,)
        Stimulus of each trial; the trials of one stimulus flip together.
    n_permutations, seed : int

    Returns
    -------
    PermutationTest
        Of the mean difference; under the null each stimulus's difference is as likely with the other sign.
    """
    _, of_trial = np.unique(groups, return_inverse=True)
    totals = np.bincount(of_trial, np.asarray(differences, np.float64))
    rng = np.random.default_rng(seed)
    null = []
    for start in range(0, n_permutations, _PERMUTATIONS_AT_ONCE):
        n = min(_PERMUTATIONS_AT_ONCE, n_permutations - start)
        null.append(rng.choice((-1.0, 1.0), (n, len(totals))) @ totals)
    return _test(float(totals.sum()) / len(of_trial), np.concatenate(null) / len(of_trial))


def _pieces(drawn: Callable[[], Rows], n: int) -> Iterator[list[Rows]]:
    """Yield what is drawn, one after the other, some for each piece of work."""
    for start in range(0, n, _PER_PIECE):
        yield [drawn() for _ in range(min(_PER_PIECE, n - start))]


def _statistics(statistic: Statistic, drawn: list[Rows]) -> Array:
    return np.stack([np.asarray(statistic(rows), np.float64) for rows in drawn])


def _as_much(shared: tuple[Statistic, Array], drawn: list[Rows]) -> Array:
    """Count how many null figures are at least as large as those observed."""
    statistic, observed = shared
    b = np.zeros_like(observed)
    for rows in drawn:
        null = np.asarray(statistic(rows), np.float64)
        b += null >= observed - 1e-12 * np.maximum(np.abs(null), np.abs(observed))
    return b


def _test(observed: float, null: Array) -> PermutationTest:
    return PermutationTest(
        observed=observed,
        p=float(p_value(observed, null)),
        n_permutations=len(null),
        null_mean=float(null.mean()),
        null_sd=float(null.std(ddof=1)),
    )
