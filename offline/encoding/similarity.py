"""How alike two dissimilarity matrices are, and how alike noise lets them be.

Rank correlation asks for the order of dissimilarities only (Kriegeskorte et al. 2008, doi 10.3389/neuro.06.004.2008).
Noise sets a ceiling: how well the matrix of one part of the repetitions agrees with those of the others (lower bound)
and with all, itself included (upper bound), as Nili et al. 2014 (doi 10.1371/journal.pcbi.1003553) do with subjects.
Knows nothing of stimuli, spaces or ROIs. Axes are (pair,), pairs of stimuli.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from offline.encoding.statistics import Array

Comparison = Literal["spearman", "kendall", "cosine"]


def check_comparison(comparison: str) -> None:
    """Refuse what is no comparison.

    Raises
    ------
    ValueError
        There is no such comparison.
    """
    if comparison not in get_args(Comparison):
        raise ValueError(f"comparison '{comparison}', expected spearman, kendall or cosine.")


def similarities(
    a: NDArray[np.floating], b: NDArray[np.floating], comparison: Comparison = "spearman"
) -> Array:
    """Return how alike matrices are.

    Parameters
    ----------
    a, b : float, axes (matrix, pair) and (other matrix, pair)
        Entries above the diagonal.
    comparison : {'spearman', 'kendall', 'cosine'}
        Rank correlation (rho, or tau-b, which allows for ties), chance 0; or the cosine, whose chance is far above 0,
        as no dissimilarity is below 0.

    Returns
    -------
    float64, axes (matrix, other matrix), -1 to 1; 0 where one of the two is constant, for cosine 0
    """
    if comparison == "kendall":
        return np.array([[_tau(one, other) for other in b] for one in a]).reshape(len(a), len(b))
    return np.asarray(unit_entries(a, comparison) @ unit_entries(b, comparison).T)


def unit_entries(values: NDArray[np.floating], comparison: Comparison) -> Array:
    """Return entries of length 1 whose products are the similarity, axes (..., pair); 0 where that is 0.

    Of Kendall's tau there are none: those of Spearman's rho.
    """
    return _at_length_1(_aligned(values, comparison))


def noise_ceiling(
    parts: NDArray[np.floating], comparison: Comparison = "spearman"
) -> tuple[float, float]:
    """Return bounds of the mean similarity that the best model would have with several measured matrices.

    Parameters
    ----------
    parts : float, axes (part, pair)
        At least two, of separate repetitions.
    comparison : {'spearman', 'kendall', 'cosine'}

    Returns
    -------
    float : lower bound
        Mean similarity of each part with the mean of the others.
    float : upper bound
        With the mean of all: it shares some of the part's own noise.

    Notes
    -----
    The mean is of ranks, for cosine of matrices of the same length (Nili et al. 2014): nothing agrees better with all.
    For Kendall's tau that is nearly so.
    """
    aligned = _aligned(parts, comparison)
    total = aligned.sum(axis=0)
    lower, upper = (
        [similarities(one[None], mean[None], comparison)[0, 0] for one, mean in pairings]
        for pairings in ([(one, total - one) for one in aligned], [(one, total) for one in aligned])
    )
    return float(np.mean(lower)), float(np.mean(upper))


def _aligned(values: NDArray[np.floating], comparison: Comparison) -> Array:
    """Return ranks minus their mean; for cosine the values, at length 1."""
    values = np.asarray(values, np.float64)
    if comparison == "cosine":
        return _at_length_1(values)
    from scipy.stats import rankdata

    return np.asarray(rankdata(values, axis=-1) - (values.shape[-1] + 1) / 2)


def _at_length_1(values: NDArray[np.floating]) -> Array:
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.asarray(np.divide(values, length, out=np.zeros_like(values), where=length > 0))


def _tau(a: Array, b: Array) -> float:
    from scipy.stats import kendalltau

    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(kendalltau(a, b).statistic)
