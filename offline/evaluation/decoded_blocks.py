"""Trials decoded in blocks: pieces of work, for threads or the workers of a cluster, however many trials there are.

A trial's memory is its own, so blocks know nothing of each other. Of features in a file, no more than the blocks
under way are in memory; blocks are the same whoever does them, so are the latents. Knows no recordings or scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from offline.decoding.stepping import Decodes, decode_trials
from offline.recordings.features_file import Features, trial_blocks
from offline.scheduling.workers import Workers

Float32 = NDArray[np.float32]
Block = tuple[NDArray[np.intp], Float32]
"""Positions of trials, and something about each of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Silence:
    """Channels that say the same at every trial.

    Attributes
    ----------
    channels : bool, axes (channel,)
    fill : float32, axes (window, channel)
        What they say.
    """

    channels: NDArray[np.bool_]
    fill: Float32


@dataclass(frozen=True, slots=True, eq=False)
class _Way:
    decoder: Decodes
    fixed: bool
    silence: Silence | None
    last_window: bool


def decode_blocks(
    decoder: Decodes,
    features: Features,
    workers: Workers,
    *,
    fixed: bool = False,
    silence: Silence | None = None,
    last_window: bool = False,
) -> Float32:
    """Decode every window of every trial, block by block; otherwise as ``decode_trials``.

    Parameters
    ----------
    decoder : Decodes
        Goes to every worker.
    features : float32, axes (trial, window, channel), or a file of them
        A file is read here alone.
    workers : Workers
    fixed : bool
        One map for all windows.
    silence : Silence, optional
    last_window : bool
        Return the last window alone; finite features are expected then. Earlier ones are decoded where the decoder
        remembers something of them.

    Returns
    -------
    float32, axes (trial, window, latent); NaN where the features are
    """
    way = _Way(decoder, fixed, silence, last_window)
    n_trials = features.shape[0]
    latents: Float32 | None = None
    for trials, found in workers.run(_decoded, trial_blocks(features), shared=way):
        if latents is None:
            latents = np.empty((n_trials, *found.shape[1:]), np.float32)
        latents[trials] = found
    if latents is None:
        nothing = np.empty(features.shape, np.float32)
        return _decoded(way, (np.empty(0, np.intp), nothing))[1]
    return latents


def _decoded(way: _Way, block: Block) -> Block:
    trials, features = block
    if way.silence is not None:
        features = np.where(way.silence.channels, way.silence.fill, features)
    if way.last_window and not way.decoder.n_state:
        k = 0 if way.fixed else features.shape[1] - 1
        nothing = np.empty((len(features), 0), np.float32)
        return trials, way.decoder.step(features[:, -1], k, nothing)[0][:, None]
    found = decode_trials(way.decoder, features, fixed=way.fixed)
    return trials, found[:, -1:] if way.last_window else found
