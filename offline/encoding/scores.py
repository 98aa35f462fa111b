"""How well each feature space predicts each electrode: the numbers that statistics, figures and files share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ChannelMap
from offline.encoding.statistics import (
    Array,
    Correction,
    corrected,
    n_scored,
    normalised,
    pearson,
    t_test_p,
)

INFORMATIVE = 0.3
"""A channel whose noise ceiling is above has something to predict."""


@dataclass(frozen=True, slots=True, eq=False)
class EncodingScores:
    """Scores on held-out stimuli.

    Attributes
    ----------
    spaces : tuple of str, axes (space,)
        In the order of the hierarchy, lowest first.
    channels : ChannelMap
    n_test : int
        Stimuli that were scored; where responses are missing, a channel has less of them.
    r : float64, axes (space, channel)
        Pearson's r between predicted and observed responses over test stimuli; 0 where either does not vary.
    p : float64, axes (space, channel)
        Two-sided t test of ``r`` against 0, not corrected; 1 where r cannot be had.
    ceiling : float64, axes (channel,)
        Noise ceiling of the test responses, 0 to 1; NaN where no stimulus was repeated.
    regularisation : float64, axes (space, channel)
        The chosen lambda.
    """

    spaces: tuple[str, ...]
    channels: ChannelMap
    n_test: int
    r: Array = field(repr=False)
    p: Array = field(repr=False)
    ceiling: Array = field(repr=False)
    regularisation: Array = field(repr=False)

    @property
    def normalised_r(self) -> Array:
        """``r`` as a share of ``ceiling``, float64, axes (space, channel); NaN where that is unknown or below .1."""
        return normalised(self.r, self.ceiling)

    @property
    def informative(self) -> NDArray[np.bool_]:
        """Whether a channel's noise ceiling is above .3, bool, axes (channel,); an unknown one is not."""
        return np.asarray(self.ceiling > INFORMATIVE)

    def significant(
        self, alpha: float = 0.05, correction: Correction = "bonferroni"
    ) -> NDArray[np.bool_]:
        """Say which channels each space predicts, bool, axes (space, channel); corrected over channels.

        A prediction that is significantly the wrong way round predicts nothing: r is above 0 too, where True.
        """
        return np.asarray((corrected(self.p, correction) < alpha) & (self.r > 0))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, NaN as None; ``from_dict`` reads it."""
        return {
            "spaces": list(self.spaces),
            "channels": self.channels.to_dict(),
            "n_test": self.n_test,
            **{name: plain(getattr(self, name)) for name in _ARRAYS},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> EncodingScores:
        """Build from plain data.

        Raises
        ------
        KeyError
            Something is missing; its name is the argument.
        """
        arrays = {name: np.array(data[name], np.float64) for name in _ARRAYS}
        channels = ChannelMap.from_dict(data["channels"])
        return cls(tuple(data["spaces"]), channels, int(data["n_test"]), **arrays)


_ARRAYS = ("r", "p", "ceiling", "regularisation")


def score_encoding(
    spaces: Sequence[str],
    predicted: NDArray[np.floating],
    observed: NDArray[np.floating],
    channels: ChannelMap,
    ceiling: NDArray[np.floating],
    regularisation: NDArray[np.floating],
) -> EncodingScores:
    """Score predictions of test stimuli.

    Parameters
    ----------
    spaces : sequence of str, axes (space,)
        Lowest of the hierarchy first.
    predicted : float, axes (space, stimulus, channel)
    observed : float, axes (stimulus, channel)
        Means over repeats: stimuli are what the t test counts. NaN: a missing response, left out for that channel.
    channels : ChannelMap
    ceiling : float, axes (channel,)
        Of ``observed``, so for as many repeats; see ``VarianceComponents.noise_ceiling``.
    regularisation : float, axes (space, channel)

    Raises
    ------
    ValueError
        Shapes that do not fit each other.
    """
    shape = (len(spaces), len(observed), channels.n_channels)
    for name, found, wanted in (
        ("predicted", predicted.shape, shape),
        ("observed", observed.shape, shape[1:]),
        ("ceiling", np.shape(ceiling), shape[2:]),
        ("regularisation", np.shape(regularisation), (shape[0], shape[2])),
    ):
        if found != wanted:
            raise ValueError(f"{name} of shape {found}, expected {wanted}.")
    r = pearson(predicted, observed)
    return EncodingScores(
        spaces=tuple(spaces),
        channels=channels,
        n_test=len(observed),
        r=r,
        p=t_test_p(r, n_scored(predicted, observed)),
        ceiling=np.asarray(ceiling, np.float64),
        regularisation=np.asarray(regularisation, np.float64),
    )


def plain(values: NDArray[Any] | np.floating) -> Any:
    """Return nested lists for JSON, of a scalar a number, with None for what is not finite."""
    if not np.issubdtype(values.dtype, np.floating):
        return values.tolist()
    numbers = np.array(values, object)
    numbers[~np.isfinite(values)] = None
    return numbers.tolist()
