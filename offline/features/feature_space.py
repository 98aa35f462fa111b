"""A feature space: one row of numbers per stimulus, read in blocks of features, so that wide ones need not be held.

For the encoding room, which must not care whether they lie in memory or in a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.intp]


class FeatureSpace(Protocol):
    """Features of stimuli.

    Attributes
    ----------
    name : str
        As figures name it: VGG1, CLIP, w.
    ids : tuple of str, axes (stimulus,)
    n_features : int
    """

    @property
    def name(self) -> str:
        """See above."""

    @property
    def ids(self) -> tuple[str, ...]:
        """See above."""

    @property
    def n_features(self) -> int:
        """See above."""

    def block(self, rows: Rows, columns: slice) -> NDArray[np.float32]:
        """Return some features of some stimuli, float32, axes (stimulus, feature), C order."""


@dataclass(frozen=True, slots=True, eq=False)
class ArrayFeatures:
    """Features in memory; ``values``: float32, axes (stimulus, feature)."""

    name: str
    ids: tuple[str, ...] = field(repr=False)
    values: NDArray[np.float32] = field(repr=False)

    @property
    def n_features(self) -> int:
        """Number of features."""
        return self.values.shape[1]

    def block(self, rows: Rows, columns: slice) -> NDArray[np.float32]:
        """See ``FeatureSpace``."""
        return np.ascontiguousarray(self.values[rows, columns])


def rows_of(space: FeatureSpace, ids: Sequence[str]) -> Rows:
    """Return the row of each stimulus.

    Raises
    ------
    KeyError
        A stimulus has no features; its id is the argument.
    """
    position = {stimulus: row for row, stimulus in enumerate(space.ids)}
    return np.array([position[stimulus] for stimulus in ids], np.intp)
