"""Representational dissimilarity matrices: how unlike one another stimuli are to a feature space or to an ROI.

An entry is 1 minus Pearson's r between two stimuli, over features or over electrodes (Kriegeskorte et al. 2008, doi
10.3389/neuro.06.004.2008): 0 for the same pattern, 1 for unrelated, 2 for opposite ones. Features come in blocks, so
that wide spaces are never held. Knows nothing of comparisons or figures. Axes are (stimulus, stimulus).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import EncodingError
from offline.encoding.statistics import Array
from offline.features.feature_space import FeatureSpace, Rows
from offline.scheduling.workers import Workers

FEATURES_PER_PIECE = 16384
_BLOCK_BYTES = 64 * 2**20
# A pattern that varies less than this share of its values is constant.
_ROUNDING = 1e-12


def space_dissimilarity(
    space: FeatureSpace,
    rows: Rows,
    *,
    workers: Workers | None = None,
    progress: Callable[[int], None] | None = None,
) -> Array:
    """Return how unlike stimuli are to a feature space.

    Parameters
    ----------
    space : FeatureSpace
    rows : int, axes (stimulus,)
        Rows of the space.
    workers : Workers, optional
        They multiply FEATURES_PER_PIECE features each.
    progress : callable, optional
        Called with 1 after each of these.

    Returns
    -------
    float64, axes (stimulus, stimulus), 0 to 2
        1 beside a stimulus whose features are all the same number.

    Raises
    ------
    EncodingError
        Features that are not finite.

    Notes
    -----
    From sums of products and of features in float64: rectified features are far from 0, and rounding would be as
    large as the differences between similar stimuli.
    """
    n = space.n_features
    pieces = [slice(i, min(i + FEATURES_PER_PIECE, n)) for i in range(0, n, FEATURES_PER_PIECE)]
    work = _Work(space, rows)
    products, sums = np.zeros((len(rows), len(rows))), np.zeros(len(rows))
    if workers is not None:
        found = workers.run(_products, pieces, shared=work, progress=progress)
    else:
        found = iter(_products(work, piece) for piece in pieces)
    for some_products, some_sums in found:
        products += some_products
        sums += some_sums
        if workers is None and progress:
            progress(1)
    if not np.isfinite(products).all():
        raise EncodingError(
            f"features {space.name}: not finite, expected finite ones. Extract them again, or choose another layer."
        )
    return _from_products(products, sums, n)


def response_dissimilarity(responses: NDArray[np.floating]) -> Array:
    """Return how unlike stimuli are to some electrodes.

    Parameters
    ----------
    responses : float, axes (stimulus, channel)
        Electrodes that lack a response (NaN) are left out.

    Returns
    -------
    float64, axes (stimulus, stimulus), 0 to 2

    Raises
    ------
    EncodingError
        Fewer than two electrodes have all responses: a correlation over them says nothing.
    """
    whole = np.isfinite(responses).all(axis=0)
    if whole.sum() < 2:
        raise EncodingError(
            f"dissimilarity: {int(whole.sum())} of {len(whole)} electrodes have a response to every stimulus, expected "
            "at least 2. Leave out the stimuli that lack responses."
        )
    x = np.asarray(responses[:, whole], np.float64)
    x = x - x.mean(axis=1, keepdims=True)
    return _from_products(x @ x.T, np.zeros(len(x)), x.shape[1])


def pairs(dissimilarity: NDArray[np.floating]) -> Array:
    """Return the entries above the diagonal, float64, axes (..., pair): each pair of stimuli once."""
    first, second = np.triu_indices(dissimilarity.shape[-1], 1)
    return np.asarray(dissimilarity[..., first, second], np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    space: FeatureSpace
    rows: Rows


def _products(work: _Work, columns: slice) -> tuple[Array, Array]:
    """Return products of stimuli and their sums, over some features."""
    n = len(work.rows)
    at_once = max(64, _BLOCK_BYTES // (8 * n))
    products, sums = np.zeros((n, n)), np.zeros(n)
    for start in range(columns.start, columns.stop, at_once):
        part = slice(start, min(start + at_once, columns.stop))
        block = work.space.block(work.rows, part).astype(np.float64)
        products += block @ block.T
        sums += block.sum(axis=1)
    return products, sums


def _from_products(products: Array, sums: Array, n: int) -> Array:
    shared = products - np.outer(sums, sums / n)
    squares = np.diag(shared)
    varies = squares > _ROUNDING * np.diag(products)
    length = np.sqrt(np.where(varies, squares, np.inf))
    r = np.clip(shared / length / length[:, None], -1.0, 1.0)
    found = 1.0 - (r + r.T) / 2.0
    np.fill_diagonal(found, 0.0)
    return np.asarray(found)
