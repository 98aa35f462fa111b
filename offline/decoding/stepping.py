"""How every decoder is run: window after window of a trial, remembering no more than an array of numbers.

``step`` takes the features of one window of many trials and what is remembered, and gives latents and what to
remember. Before a trial's first window (``fixed``: before the first window of a stream) all of it is 0. A window
without features (NaN: too much was lost) gives no latent and changes nothing that is remembered. Arrays, an
ONNX file and the live service follow this one rule, so they decode alike.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from offline.recordings.features_file import Features, window_of

Float32 = NDArray[np.float32]


class Decodes(Protocol):
    """Anything that decodes: arrays, or an ONNX file."""

    @property
    def n_state(self) -> int:
        """How many numbers it remembers from window to window; 0: none."""

    def step(self, features: Float32, window_idx: int, state: Float32) -> tuple[Float32, Float32]:
        """Decode one window of many trials.

        Parameters
        ----------
        features : float32, axes (trial, channel), z units, finite
        window_idx : int
            Position in the trial; 0 for a ``fixed`` decoder.
        state : float32, axes (trial, number)
            What it gave after the trial's last window, else 0.

        Returns
        -------
        latent : float32, axes (trial, latent)
        state : float32, axes (trial, number)
        """


def decode_trials(decoder: Decodes, features: Features, *, fixed: bool = False) -> Float32:
    """Decode every window of every trial, in order.

    Parameters
    ----------
    decoder : Decodes
    features : float32, axes (trial, window, channel), or a file of them
    fixed : bool
        One map for all windows: they are successive positions of a sliding window.

    Returns
    -------
    float32, axes (trial, window, latent); NaN where the features are
    """
    n_trials, n_windows, _ = features.shape
    state = np.zeros((n_trials, decoder.n_state), np.float32)
    latents: Float32 | None = None
    for k in range(n_windows):
        window = window_of(features, k)
        seen = np.isfinite(window).all(axis=1)
        found, state[seen] = decoder.step(window[seen], 0 if fixed else k, state[seen])
        if latents is None:
            latents = np.full((n_trials, n_windows, found.shape[1]), np.nan, np.float32)
        latents[seen, k] = found
    if latents is None:
        raise ValueError(f"features of {n_windows} windows, expected at least 1.")
    return latents
