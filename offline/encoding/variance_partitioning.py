"""What of each electrode's responses several feature spaces explain, together, apart and only together.

    explained           1 - variance(observed - predicted) / variance(observed), over held-out stimuli
    unique of a space   explained by all spaces - explained by all but that one
    shared              explained by all spaces - the sum of the unique parts
    product measure     of a space: what its own part of the joint prediction explains, so that parts add up

Unique and shared parts are those of commonality analysis (Seibold & McPhee 1979, doi
10.1111/j.1468-2958.1979.tb00649.x; for encoding models de Heer et al. 2017, doi 10.1523/JNEUROSCI.3267-16.2017): of two
spaces A and B the shared part is explained by A + explained by B - explained by both. The product measure is
himalaya's (Dupre la Tour et al. 2022, doi 10.1016/j.neuroimage.2022.119728). On held-out stimuli each may be below 0:
a space then hurts, or nothing tells the models apart. Knows no kernels, files or figures.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from offline.encoding.statistics import MIN_CEILING, Array, normalised

_ROUNDING = 1e-12


def explained_variance(predicted: NDArray[np.floating], observed: NDArray[np.floating]) -> Array:
    """Return the share of the variance over stimuli that predictions explain.

    Parameters
    ----------
    predicted, observed : float, axes (stimulus, channel)
        NaN, in either: that stimulus does not count for that channel.

    Returns
    -------
    float64, axes (channel,), at most 1; 0 where the observed responses do not vary
        The mean counts on neither side: what days or the intercept add to all stimuli alike is no error.
    """
    y, (p,) = _deviations(observed, [predicted])
    return _share((y * y - np.square(y - p)).sum(axis=0), y)


def product_measure(parts: NDArray[np.floating], observed: NDArray[np.floating]) -> Array:
    """Return what each space's part of a joint prediction explains.

    Parameters
    ----------
    parts : float, axes (space, stimulus, channel)
        Their sum is the prediction, up to a number per channel; see ``BandedRidge.predict_by_space``.
    observed : float, axes (stimulus, channel)

    Returns
    -------
    float64, axes (space, channel)
        Add up to the explained variance of the sum.

    Notes
    -----
    sum over stimuli of (2 y p_s - p_s p) / sum of y^2, p the sum of the parts p_s, all without their means.
    """
    from himalaya.scoring import r2_score_split

    from offline.encoding.himalaya_backend import himalaya_backend

    y, found = _deviations(observed, list(parts))
    varies = np.square(y).sum(axis=0) > 0
    split = np.zeros((len(parts), y.shape[1]))
    if varies.any():
        with himalaya_backend("cpu", "numpy"):
            split[:, varies] = r2_score_split(y[:, varies], np.stack(found)[:, :, varies])
    return split


def unique_and_shared(joint: Array, without: Array) -> tuple[Array, Array]:
    """Partition what a joint model explains.

    Parameters
    ----------
    joint : float64, axes (channel,)
        Explained by the model of all spaces.
    without : float64, axes (space, channel)
        Explained by the model of all spaces but that one; of two spaces, by the other one alone.

    Returns
    -------
    float64, axes (space, channel)
        Unique parts.
    float64, axes (channel,)
        The shared part: what more than one space could explain.
    """
    unique = joint - without
    return unique, joint - unique.sum(axis=0)


def normalised_variance(
    explained: NDArray[np.floating], ceiling: NDArray[np.floating], min_ceiling: float = MIN_CEILING
) -> Array:
    """Return explained variance as a share of what the stimulus explains at all: divided by the ceiling's square.

    Parameters
    ----------
    explained : float, axes (..., channel)
    ceiling : float, axes (channel,)
        The highest correlation there can be, 0 to 1.
    min_ceiling : float
        Channels with a lower one have no share.

    Returns
    -------
    float64, axes (..., channel); NaN where the ceiling is NaN or lower. Not clipped.
    """
    return normalised(explained, np.square(np.asarray(ceiling, np.float64)), min_ceiling**2)


def _deviations(
    observed: NDArray[np.floating], predictions: list[NDArray[np.floating]]
) -> tuple[Array, list[Array]]:
    """Return all of them minus their means over the stimuli that every one has, 0 at the others.

    Observed responses that do not vary are 0 throughout.
    """
    there = np.isfinite(observed)
    for values in predictions:
        there = there & np.isfinite(values)
    n = np.maximum(there.sum(axis=0), 1)

    def centred(values: NDArray[np.floating]) -> Array:
        x = np.where(there, values, 0.0).astype(np.float64)
        return np.where(there, x - x.sum(axis=0) / n, 0.0)

    y = centred(observed)
    peak = np.abs(np.where(there, observed, 0.0)).max(axis=0)
    varies = np.square(y).sum(axis=0) > n * np.square(_ROUNDING * peak)
    return np.where(varies, y, 0.0), [centred(values) for values in predictions]


def _share(explained: Array, y: Array) -> Array:
    total = np.square(y).sum(axis=0)
    return np.asarray(np.where(total > 0, explained / np.where(total > 0, total, 1.0), 0.0))
