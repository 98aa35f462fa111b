"""What every network of this room answers, whichever library it comes from.

For extraction.py, which knows neither torch nor where weights lie.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""Axes (row, col, rgb); pictures of one set may differ in size."""


class FeatureNetwork(Protocol):
    """A network whose layers are read.

    Attributes
    ----------
    name : str
        As the user asked for it: ``vgg16``, ``vgg-face``, ``clip``, ``timm:resnet18``.
    layers : tuple of str
        In the order of processing.
    """

    name: str
    layers: tuple[str, ...]

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What the features depend on, plain data: weights (file name, SHA-256 or seed), preprocessing, versions."""

    def shape(self, layer: str) -> tuple[int, ...]:
        """Return the shape of one picture's features: (channel, row, col), or (feature,)."""

    def features(self, pictures: Sequence[Picture]) -> dict[str, NDArray[np.float32]]:
        """Return all layers of a batch, each float32, axes (picture, feature), flattened in C order of ``shape``.

        The same batch gives the same bits; another composition of batches may round differently.
        """
