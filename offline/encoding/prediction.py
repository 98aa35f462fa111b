"""What fitting one feature space gives: a linear map, and what it predicts of test stimuli.

Who scores, draws or exports it need not know whether it was fitted in primal or in dual form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from offline.encoding.kernels import across_kernel
from offline.encoding.space_reading import read_features, rows_in
from offline.features.feature_space import FeatureSpace

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Form = Literal["features", "kernel"]


@dataclass(frozen=True, slots=True, eq=False)
class LinearMap:
    """Predicted = inputs @ weights + intercept.

    Attributes
    ----------
    form : {'features', 'kernel'}
        Inputs are features as they are, or kernel rows: products, with every training stimulus, of features minus
        their training mean.
    weights : float32, axes (input, target)
        Coefficients of features, or dual coefficients.
    intercept : float64, axes (target,)
    inputs : float32, axes (test stimulus, input)
    train_ids : tuple of str, axes (training stimulus,)
    centred : bool
        Whether features are taken minus their training mean.
    """

    form: Form
    weights: Float32 = field(repr=False)
    intercept: Float64 = field(repr=False)
    inputs: Float32 = field(repr=False)
    train_ids: tuple[str, ...] = field(repr=False)
    centred: bool = True

    def inputs_of(self, space: FeatureSpace, ids: Sequence[str]) -> Float32:
        """Return the inputs of any stimuli of the space that this was fitted to, float32, axes (stimulus, input).

        Raises
        ------
        EncodingError
            A stimulus has no features, or one that is not finite.
        """
        rows = rows_in(space, ids)
        if self.form == "features":
            return read_features(space, rows)
        train = rows_in(space, self.train_ids)
        return across_kernel(space, train, rows, centre=self.centred).astype(np.float32)

    def predict(self, inputs: NDArray[np.floating]) -> Float32:
        """Return predictions, float32, axes (stimulus, target); summed in float64."""
        found = inputs.astype(np.float64) @ self.weights.astype(np.float64)
        return np.asarray(found + self.intercept, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class SpacePrediction:
    """What one feature space predicts.

    Attributes
    ----------
    space : str
    predicted : float32, axes (test stimulus, target)
        float64 if that was asked for.
    lam : float64, axes (target,)
        The chosen lambda, in the units of the kernel (and of X'X).
    form : {'features', 'kernel'}
        Of ``map``.
    map : LinearMap
    lambdas : float64, axes (value,)
        Those that were compared; none where one was given.
    errors : float64, axes (value, target)
        What the choice was made by: the squared error of held-out training stimuli, or the generalised
        cross-validation error, infinite where it says nothing.
    """

    space: str
    predicted: NDArray[np.floating] = field(repr=False)
    lam: Float64 = field(repr=False)
    form: Form
    map: LinearMap = field(repr=False)
    lambdas: Float64
    errors: Float64 = field(repr=False)
