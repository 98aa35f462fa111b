"""Which stimulus of a pool was shown: two-way, N-way and top-k, always with the pool's size and chance.

Works on a similarity matrix, so latents, features of pictures and neural embeddings are identified by one function.
N-way scores are exact expectations over all draws of distractors; nothing is sampled. Axes are (trial, stimulus).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import ConfigError
from offline.evaluation.metrics import Array, Interval, bootstrap_mean, unit_rows

Similarity = Literal["pearson", "cosine"]


@dataclass(frozen=True, slots=True)
class IdentificationScore:
    """One figure of identification.

    Attributes
    ----------
    task : str
        "2-way", "50-way", "top-1", ...
    pool : int
        Stimuli to choose from, the true one among them.
    chance : float
    score : Interval
        Share of trials, 0 to 1; in brackets over stimuli.
    """

    task: str
    pool: int
    chance: float
    score: Interval


def similarities(
    decoded: NDArray[np.floating],
    pool: NDArray[np.floating],
    mean: NDArray[np.floating] | None = None,
    kind: Similarity = "pearson",
) -> Array:
    """Compare every trial with every stimulus.

    Parameters
    ----------
    decoded : float, axes (trial, feature)
    pool : float, axes (stimulus, feature)
    mean : float, axes (feature,), optional
        Taken from both: the training mean, for latents.
    kind : "pearson" or "cosine"

    Returns
    -------
    float64, axes (trial, stimulus), -1 to 1; 0 where a row is constant (Pearson) or 0 (cosine).
    """
    a, b = np.asarray(decoded, np.float64), np.asarray(pool, np.float64)
    if mean is not None:
        a, b = a - mean, b - mean
    if kind == "pearson":
        return np.asarray(unit_rows(a) @ unit_rows(b).T)
    length_a, length_b = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    a = a / np.where(length_a > 0, length_a, 1.0)[:, None]
    b = b / np.where(length_b > 0, length_b, 1.0)[:, None]
    return np.asarray(a @ b.T)


def ranks(
    similarity: NDArray[np.floating], true_idx: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many other stimuli are more similar than the true one, and how many exactly as similar.

    Both int64, axes (trial,).
    """
    true = similarity[np.arange(len(similarity)), true_idx][:, None]
    better = (similarity > true).sum(axis=1)
    return better, (similarity == true).sum(axis=1) - 1


def n_way(similarity: NDArray[np.floating], true_idx: NDArray[np.integer], n_choices: int) -> Array:
    """Return how often the true stimulus wins against N - 1 others, drawn at random from the pool.

    Parameters
    ----------
    similarity : float, axes (trial, stimulus)
        The pool: distinct stimuli.
    true_idx : int, axes (trial,)
    n_choices : int
        N, 2 to the size of the pool.

    Returns
    -------
    float64, axes (trial,), 0 to 1; chance 1 / N
        The expectation over all draws without replacement; ties are broken at random, so a constant prediction scores
        chance.

    Raises
    ------
    ConfigError
        The pool has not that many stimuli.

    Notes
    -----
    With w of P - 1 others less similar it is C(w, N - 1) / C(P - 1, N - 1); with t ties its mean over w .. w + t.
    """
    n_others = similarity.shape[1] - 1
    if not 2 <= n_choices <= n_others + 1:
        raise ConfigError(
            f"{n_choices}-way identification: the pool has {n_others + 1} stimuli, expected 2 to as many choices. "
            "Score more stimuli or fewer choices."
        )
    better, tied = ranks(similarity, true_idx)
    worse = n_others - better - tied
    w = np.arange(1, n_others + 1, dtype=np.float64)
    # win[w], by C(w - 1, m) = C(w, m) (w - m) / w from win[P - 1] = 1 downwards, m = N - 1.
    steps = np.maximum(w - (n_choices - 1), 0.0) / w
    win = np.concatenate([np.cumprod(steps[::-1])[::-1], [1.0]])
    cumulated = np.concatenate([[0.0], np.cumsum(win)])
    over_ties = (cumulated[worse + tied + 1] - cumulated[worse]) / (tied + 1)
    return np.asarray(np.where(tied > 0, over_ties, win[worse]))


def top_k(similarity: NDArray[np.floating], true_idx: NDArray[np.integer], k: int) -> Array:
    """Return whether the true stimulus is among the k most similar of the whole pool.

    Returns
    -------
    float64, axes (trial,), 0 to 1; chance k / pool
        Between 0 and 1 where ties at the border are broken at random.
    """
    better, tied = ranks(similarity, true_idx)
    return np.asarray(np.clip((k - better) / (tied + 1), 0.0, 1.0))


def two_way_table(similarity: NDArray[np.floating]) -> Array:
    """Return each trial's two-way score for every stimulus taken as the true one: for permutation tests.

    Parameters
    ----------
    similarity : float, axes (trial, stimulus)

    Returns
    -------
    float64, axes (trial, stimulus), 0 to 1; the mean of each row is 1/2.
    """
    from scipy.stats import rankdata

    n_others = max(1, similarity.shape[1] - 1)
    return np.asarray((rankdata(similarity, axis=1) - 1.0) / n_others, np.float64)


def identification(
    similarity: NDArray[np.floating],
    true_idx: NDArray[np.integer],
    n_choices: Sequence[int] = (2, 10, 50),
    top: Sequence[int] = (1, 5),
    seed: int = 0,
) -> tuple[IdentificationScore, ...]:
    """Return all figures of identification that the pool allows.

    Parameters
    ----------
    similarity : float, axes (trial, stimulus)
    true_idx : int, axes (trial,)
    n_choices : sequence of int
        N of each N-way task; those larger than the pool are left out.
    top : sequence of int
        k of each top-k task; those of the pool's size and above are left out.
    seed : int
        Of the bootstrap over stimuli.
    """
    pool = similarity.shape[1]
    scores = [(f"{n}-way", 1.0 / n, n_way(similarity, true_idx, n)) for n in n_choices if n <= pool]
    scores += [(f"top-{k}", k / pool, top_k(similarity, true_idx, k)) for k in top if k < pool]
    return tuple(
        IdentificationScore(task, pool, chance, bootstrap_mean(values, true_idx, seed))
        for task, chance, values in scores
    )
