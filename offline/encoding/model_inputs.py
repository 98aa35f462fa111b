"""What no encoding model can be fitted to: one line says it before anything else is done."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import EncodingError
from offline.encoding.array_library import Dtype
from offline.features.feature_space import FeatureSpace

Float64 = NDArray[np.float64]

MIN_TRAINING = 3
"""Stimuli: two points lie on a line, and nothing is left to choose by."""


def checked_responses(
    space: FeatureSpace, train_ids: Sequence[str], responses: NDArray[np.floating]
) -> Float64:
    """Return responses, float64, axes (stimulus, target).

    Raises
    ------
    EncodingError
        Fewer than MIN_TRAINING stimuli, no electrode, or responses that are not finite.
    """
    y = np.asarray(responses, np.float64)
    if y.ndim != 2 or len(y) != len(train_ids):
        raise ValueError(f"responses of shape {y.shape}, expected ({len(train_ids)}, targets).")
    if len(y) < MIN_TRAINING:
        raise EncodingError(
            f"encoding {space.name}: {len(y)} training stimuli, expected at least {MIN_TRAINING}. Record more stimuli."
        )
    if not y.shape[1]:
        raise EncodingError(
            f"encoding {space.name}: responses of no electrode, expected at least one. Leave fewer of them out."
        )
    broken = ~np.isfinite(y)
    if broken.any():
        row, target = np.argwhere(broken)[0]
        raise EncodingError(
            f"encoding {space.name}: responses to {int(broken.any(axis=1).sum())} of {len(y)} training stimuli are not "
            f"finite (the first is {train_ids[row]}, target {target}), expected finite ones. Leave these stimuli or "
            "electrodes out."
        )
    return y


def check_above_0(lambdas: Sequence[float] | Float64) -> None:
    """Refuse lambdas that are none.

    Raises
    ------
    EncodingError
        One is not above 0, or not finite.
    """
    for lam in lambdas:
        if not 0.0 < lam < np.inf:
            raise EncodingError(
                f"encoding: lambda {lam:g}, expected a number above 0, in the units of the kernel. For example the "
                "mean sum of squares of a stimulus's features."
            )


def check_vary(
    space: FeatureSpace, n_train: int, trace: float, taken_off: float, dtype: Dtype
) -> None:
    """Refuse features of which nothing but rounding is left once the mean is taken off.

    Parameters
    ----------
    space : FeatureSpace
    n_train : int
    trace : float
        Sum of squares of what is left of the training features.
    taken_off : float
        Sum of squares of what was taken off.
    dtype : {'float32', 'float64'}
        Whose rounding.

    Raises
    ------
    EncodingError
        Nothing is.
    """
    if not trace > (4.0 * np.finfo(dtype).eps) ** 2 * taken_off:
        raise EncodingError(
            f"features {space.name}: the same for all {n_train} stimuli, expected ones that vary. "
            "Choose another layer, or check the pictures."
        )
