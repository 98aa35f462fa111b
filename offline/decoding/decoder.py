"""The decoder: one low-rank linear map per window, as plain arrays.

``per_window`` has one map per window position after the onset, ``fixed`` a single one for the ROI windows; they
differ in nothing else. The weights are rounded to float16 when they are made, because these are the very weights
that ship: whoever predicts, scores or exports uses them. Knows nothing of files or ONNX.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from offline.decoding.ridge import (
    N_FOLDS,
    RidgeChoice,
    choose,
    folds_over_stimuli,
    low_rank_factors,
    ridge_path,
)

DecoderKind = Literal["per_window", "fixed"]


@dataclass(frozen=True, slots=True)
class LinearDecoder:
    """Latent = features @ down @ up + bias, one of each per window.

    Attributes
    ----------
    down : float16, axes (window, channel, component)
    up : float16, axes (window, component, latent)
        Components beyond a window's rank are 0.
    bias : float32, axes (window, latent)
        Holds the training means, computed for the rounded weights.
    """

    down: NDArray[np.float16]
    up: NDArray[np.float16]
    bias: NDArray[np.float32]

    @property
    def n_windows(self) -> int:
        """Number of maps."""
        return len(self.down)

    def predict(self, features: NDArray[np.float32], window_idx: int) -> NDArray[np.float32]:
        """Decode one window of many trials.

        Parameters
        ----------
        features : float32, axes (trial, channel), z units
        window_idx : int

        Returns
        -------
        float32, axes (trial, latent)
        """
        down = self.down[window_idx].astype(np.float32)
        up = self.up[window_idx].astype(np.float32)
        return np.asarray(features @ down @ up + self.bias[window_idx], np.float32)


@dataclass(frozen=True, slots=True)
class FittedDecoder:
    """A decoder and what cross-validation chose for each of its windows."""

    decoder: LinearDecoder
    choices: tuple[RidgeChoice, ...]


def fit_decoder(
    features: NDArray[np.float32],
    latents: NDArray[np.float32],
    stimuli: Sequence[str],
    *,
    n_folds: int = N_FOLDS,
    seed: int = 0,
    progress: Callable[[int, RidgeChoice], None] | None = None,
) -> FittedDecoder:
    """Fit one reduced-rank ridge per window.

    Parameters
    ----------
    features : float32, axes (trial, window, channel), z units, finite
    latents : float32, axes (trial, latent)
    stimuli : sequence of str, axes (trial,)
        No stimulus is in two folds.
    n_folds, seed : int
        Folds of cross-validation; the same for all windows.
    progress : callable, optional
        Called with (window_idx, choice) after each window.

    Returns
    -------
    FittedDecoder

    Raises
    ------
    SessionError
        Fewer distinct stimuli than folds.
    """
    folds = folds_over_stimuli(stimuli, n_folds, seed)
    maps, choices = [], []
    for window_idx in range(features.shape[1]):
        x = features[:, window_idx].astype(np.float64)
        choice = choose(x, latents, folds)
        maps.append(_fit_window(x, latents, choice))
        choices.append(choice)
        if progress:
            progress(window_idx, choice)
    rank = max(1, max(c.rank for c in choices))
    decoder = LinearDecoder(
        down=np.stack([_padded(down, 1, rank) for down, _, _ in maps]),
        up=np.stack([_padded(up, 0, rank) for _, up, _ in maps]),
        bias=np.stack([bias for _, _, bias in maps]),
    )
    return FittedDecoder(decoder, tuple(choices))


def _fit_window(
    x: NDArray[np.float64], latents: NDArray[np.float32], choice: RidgeChoice
) -> tuple[NDArray[np.float16], NDArray[np.float16], NDArray[np.float32]]:
    path = ridge_path(x, latents)
    down, up = (f.astype(np.float16) for f in low_rank_factors(path, choice.lam, choice.rank))
    # For the rounded weights: otherwise rounding would move every latent by the same small vector.
    moved = path.feature_mean @ down.astype(np.float64) @ up.astype(np.float64)
    return down, up, (path.latent_mean - moved).astype(np.float32)


def _padded(factor: NDArray[np.float16], axis: int, rank: int) -> NDArray[np.float16]:
    width = [(0, 0), (0, 0)]
    width[axis] = (0, rank - factor.shape[axis])
    return np.pad(factor, width)
