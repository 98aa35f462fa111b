"""The attention decoder as plain arrays: a small network per window, pooled over the trial's windows so far.

    h[k]     = silu(silu(features @ embed + position[k]) @ mix + mix_bias)
    a[k]     = exp(SCORE_LIMIT tanh(h[k] . score))
    pooled   = sum_{j<=k} a[j] h[j] / sum_{j<=k} a[j]
    latent   = mean + slope[k] * (pooled @ readout + readout_bias)

The two sums are all it remembers, so it is causal and costs the same for every window; the limit on the scores
keeps exp in range without looking ahead for their maximum. With one window (``fixed``) nothing is remembered.
Trained by attention_training.py, after the decoders of nlinear-monkeys (arXiv 2601.11108); knows neither torch nor
ONNX.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

SCORE_LIMIT = 4.0


@dataclass(frozen=True, slots=True)
class AttentionDecoder:
    """The network's numbers; see ``Decodes`` for how it is run.

    Attributes
    ----------
    embed : float32, axes (channel, hidden)
        0 for channels that it does not read.
    position : float32, axes (window, hidden)
    mix : float32, axes (hidden, hidden)
    mix_bias : float32, axes (hidden,)
    score : float32, axes (hidden,)
    readout : float32, axes (hidden, latent)
    readout_bias : float32, axes (latent,)
    slope : float32, axes (window, latent)
        From the network's scale to that of the latents, shrunk as held-out trials say.
    mean : float32, axes (latent,)
    """

    embed: Float32
    position: Float32
    mix: Float32
    mix_bias: Float32
    score: Float32
    readout: Float32
    readout_bias: Float32
    slope: Float32
    mean: Float32

    @property
    def n_windows(self) -> int:
        """Windows of a trial, 1 for ``fixed``."""
        return len(self.position)

    @property
    def n_state(self) -> int:
        """The two sums; none with one window."""
        return len(self.score) + 1 if self.n_windows > 1 else 0

    def step(self, features: Float32, window_idx: int, state: Float32) -> tuple[Float32, Float32]:
        """Decode one window of many trials; see ``Decodes``."""
        hidden = silu(features @ self.embed + self.position[window_idx])
        hidden = silu(hidden @ self.mix + self.mix_bias)
        if self.n_state:
            weight = np.exp(SCORE_LIMIT * np.tanh(hidden @ self.score))[:, None]
            state = state + np.concatenate([weight * hidden, weight], axis=1)
            hidden = state[:, :-1] / state[:, -1:]
        moved = hidden @ self.readout + self.readout_bias
        return np.asarray(self.mean + self.slope[window_idx] * moved, np.float32), state


def silu(values: Float32) -> Float32:
    """Return x / (1 + exp(-x)), written with tanh, which never overflows."""
    return np.asarray(0.5 * values * (1.0 + np.tanh(0.5 * values)), np.float32)
