"""A recording decoded as the free-running service does: a window every stride, one state for the whole stream.

A ``fixed`` decoder that remembers something cannot be asked for a trial by itself: what it says depends on what it
saw before the onset. So the stream is decoded from its first sample, and a trial's latent is that of the first
window that starts where the decoder was trained, or up to a stride later. Knows nothing of files or scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

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
    decoder: Decodes,
    windows: Iterable[tuple[int, Float32 | None]],
    starts: NDArray[np.int64],
    spec: WindowSpec,
) -> Iterator[tuple[int, Float32 | None, Float32 | None]]:
    """Decode the windows of a stream as they come; one is in memory.

    Parameters
    ----------
    decoder : Decodes
    windows : iterable of (window, features)
        In order; features are float32, axes (channel,). One of which too much was lost is None, or has NaN: it gives
        no latent and changes nothing that is remembered.
    starts : int64, axes (window,)
    spec : WindowSpec

    Yields
    ------
    window : int
    features : float32, axes (channel,), or None
    latent : float32, axes (latent,), or None
    """
    blank = np.zeros((1, decoder.n_state), np.float32)
    state = blank
    last: int | None = None
    for i, features in windows:
        if features is None or not np.isfinite(features).all():
            yield i, None, None
            continue
        start = int(starts[i])
        if last is None or begins_anew(spec, last, start):
            state = blank
        latent, state = decoder.step(features[None], 0, state)
        last = start
        yield i, features, latent[0]


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
