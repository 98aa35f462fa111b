"""Rows and features of a space, or one line that says which stimulus lacks them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import EncodingError
from offline.features.feature_space import FeatureSpace, Rows, rows_of

Float32 = NDArray[np.float32]


def rows_in(space: FeatureSpace, ids: Sequence[str]) -> Rows:
    """Return the row of each stimulus.

    Raises
    ------
    EncodingError
        A stimulus has no features.
    """
    try:
        return rows_of(space, ids)
    except KeyError as error:
        known = set(space.ids)
        missing = sum(one not in known for one in ids)
        raise EncodingError(
            f"features {space.name}: {missing} of {len(ids)} stimuli have none (the first is {error.args[0]}), "
            "expected features of all. Extract them with b2g-offline features."
        ) from None


def read_features(space: FeatureSpace, rows: Rows) -> Float32:
    """Return all features of some stimuli, float32, axes (stimulus, feature).

    Raises
    ------
    EncodingError
        Some are not finite.
    """
    values = space.block(rows, slice(0, space.n_features))
    check_finite(space, rows, 0, values)
    return values


def check_finite(
    space: FeatureSpace, rows: Rows, first_feature: int, values: NDArray[np.floating]
) -> None:
    """Refuse values that are not finite, axes (stimulus, feature); the features begin with ``first_feature``."""
    broken = ~np.isfinite(values)
    if broken.any():
        row, column = np.argwhere(broken)[0]
        first = f"the first is {space.ids[rows[row]]}, feature {first_feature + column}"
        raise EncodingError(
            f"features {space.name}: {int(broken.any(axis=1).sum())} stimuli with values not finite ({first}), "
            "expected finite ones. Extract them anew, or leave these stimuli out."
        )
