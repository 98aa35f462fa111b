"""Linear decoders as plain arrays: one map per window.

``per_window`` has one map per window position after the onset, ``fixed`` a single one for the ROI windows; they
differ in nothing else. The weights are rounded to float16 when they are made, because these are the very weights
that ship: whoever predicts, scores or exports uses them. Knows nothing of files or ONNX.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from offline.decoding.methods import WindowMap, reduced_rank_map
from offline.decoding.ridge import RidgeChoice
from offline.regression.folds import N_FOLDS, folds_by_stimulus

DecoderKind = Literal["per_window", "fixed"]
Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LinearDecoder:
    """Latent = features @ down @ up + bias, one of each per window.

    Attributes
    ----------
    down : float16, axes (window, channel, component)
    up : float16, axes (window, component, latent), or None
        Components beyond a window's rank are 0. None: of full rank, and ``down`` is (window, channel, latent).
    bias : float32, axes (window, latent)
        Holds the training means, computed for the rounded weights.
    """

    down: NDArray[np.float16]
    up: NDArray[np.float16] | None
    bias: Float32
    n_state: ClassVar[int] = 0

    @property
    def n_windows(self) -> int:
        """Number of maps."""
        return len(self.down)

    def predict(self, features: Float32, window_idx: int) -> Float32:
        """Decode one window of many trials.

        Parameters
        ----------
        features : float32, axes (trial, channel), z units
        window_idx : int

        Returns
        -------
        float32, axes (trial, latent)
        """
        moved = features @ self.down[window_idx].astype(np.float32)
        if self.up is not None:
            moved = moved @ self.up[window_idx].astype(np.float32)
        return np.asarray(moved + self.bias[window_idx], np.float32)

    def step(self, features: Float32, window_idx: int, state: Float32) -> tuple[Float32, Float32]:
        """Decode one window of many trials; remembers nothing. See ``Decodes``."""
        return self.predict(features, window_idx), state


def linear_decoder(
    maps: Sequence[WindowMap], channel_idx: NDArray[np.integer] | None = None, n_channels: int = 0
) -> LinearDecoder:
    """Round the maps of all windows to what ships.

    Parameters
    ----------
    maps : sequence of WindowMap, one per window
        All with ``up``, or all without.
    channel_idx : int, axes (map's channel,), optional
        Which channels the maps read; the others get the weight 0. All by default.
    n_channels : int
        Of the decoder, where ``channel_idx`` is given.
    """
    rounded = [_rounded(one) for one in maps]
    down = [np.asarray(d) for d, _, _ in rounded]
    up = [u for _, u, _ in rounded if u is not None]
    bias = np.stack([b for _, _, b in rounded])
    if channel_idx is not None:
        down = [_scattered(d, channel_idx, n_channels) for d in down]
    if not up:
        return LinearDecoder(np.stack(down), None, bias)
    rank = max(1, max(len(u) for u in up))
    return LinearDecoder(
        down=np.stack([_padded(d, 1, rank) for d in down]),
        up=np.stack([_padded(u, 0, rank) for u in up]),
        bias=bias,
    )


@dataclass(frozen=True, slots=True)
class FittedDecoder:
    """A decoder and what cross-validation chose for each of its windows."""

    decoder: LinearDecoder
    choices: tuple[RidgeChoice, ...]


def fit_decoder(
    features: Float32,
    latents: Float32,
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
    folds = folds_by_stimulus(stimuli, n_folds, seed)
    maps, choices = [], []
    for window_idx in range(features.shape[1]):
        found, choice = reduced_rank_map(features[:, window_idx], latents, folds)
        maps.append(found)
        choices.append(choice)
        if progress:
            progress(window_idx, choice)
    return FittedDecoder(linear_decoder(maps), tuple(choices))


def _rounded(
    one: WindowMap,
) -> tuple[NDArray[np.float16], NDArray[np.float16] | None, Float32]:
    down = one.down.astype(np.float16)
    up = None if one.up is None else one.up.astype(np.float16)
    # For the rounded weights: otherwise rounding would move every latent by the same small vector.
    moved = one.feature_mean @ down.astype(np.float64)
    if up is not None:
        moved = moved @ up.astype(np.float64)
    return down, up, (one.latent_mean - moved).astype(np.float32)


def _padded(factor: NDArray[np.float16], axis: int, rank: int) -> NDArray[np.float16]:
    width = [(0, 0), (0, 0)]
    width[axis] = (0, rank - factor.shape[axis])
    return np.pad(factor, width)


def _scattered(
    down: NDArray[np.float16], channel_idx: NDArray[np.integer], n_channels: int
) -> NDArray[np.float16]:
    whole = np.zeros((n_channels, down.shape[1]), np.float16)
    whole[channel_idx] = down
    return whole
