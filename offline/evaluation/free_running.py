"""A recording decoded as the free-running service does: a window every stride, one state for the whole stream.

A ``fixed`` decoder that remembers something cannot be asked for a trial by itself: what it says depends on what it
saw before the onset. So the stream is decoded from its first sample, and a trial's latent is that of the first
window that starts where the decoder was trained, or up to a stride later. Knows nothing of files or scores.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.windows import WindowSpec, begins_anew
from offline.decoding.stepping import Decodes
from offline.recordings.features import window_starts

Float32 = NDArray[np.float32]


def stream_starts(spec: WindowSpec, first: int, stop: int) -> NDArray[np.int64]:
    """Return where the windows of a stream start, int64, axes (window,), samples on the sample clock.

    Parameters
    ----------
    spec : WindowSpec
        Free running.
    first, stop : int
        The stream's first sample, and the one after its last: [first, stop).
    """
    return np.arange(first + spec.max_lag, stop - spec.length + 1, spec.stride, dtype=np.int64)


def decode_stream(
    decoder: Decodes, features: Float32, starts: NDArray[np.int64], spec: WindowSpec
) -> Float32:
    """Decode the windows of a stream in order.

    Parameters
    ----------
    decoder : Decodes
    features : float32, axes (window, channel)
        NaN where too much of a window was lost: it gives no latent and changes nothing that is remembered.
    starts : int64, axes (window,)
    spec : WindowSpec

    Returns
    -------
    float32, axes (window, latent); NaN where the features are
    """
    blank = np.zeros((1, decoder.n_state), np.float32)
    state, last = blank, 0
    latents: Float32 | None = None
    for i in np.flatnonzero(np.isfinite(features).all(axis=1)):
        start = int(starts[i])
        if latents is None or begins_anew(spec, last, start):
            state = blank
        latent, state = decoder.step(features[i : i + 1], 0, state)
        if latents is None:
            latents = np.full((len(features), latent.shape[1]), np.nan, np.float32)
        latents[i], last = latent[0], start
    if latents is None:
        n_latents = decoder.step(features[:0], 0, blank[:0])[0].shape[1]
        return np.full((len(features), n_latents), np.nan, np.float32)
    return latents


def windows_of_trials(
    starts: NDArray[np.int64], onsets: NDArray[np.int64], spec: WindowSpec
) -> NDArray[np.intp]:
    """Return each trial's window, as position among ``starts``, int, axes (trial,); -1 where there is none.

    Parameters
    ----------
    starts : int64, axes (window,), ascending
    onsets : int64, axes (trial,)
    spec : WindowSpec
    """
    if not len(starts):
        return np.full(len(onsets), -1)
    wanted = onsets + window_starts(spec)[0]
    found = np.searchsorted(starts, wanted)
    last = len(starts) - 1
    near = (found <= last) & (starts[np.minimum(found, last)] - wanted < spec.stride)
    return np.where(near, found, -1)
