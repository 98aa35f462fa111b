"""Windows of a recording, cut and decoded: those of each trial, or those of the one stream that a decoder runs on.

Features that are too many for memory go to a file while they are cut, and are decoded from there. Knows nothing of
stimuli, truth or scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from offline.decoding.stepping import Decodes, decode_trials
from offline.evaluation.decoded_blocks import decode_blocks
from offline.evaluation.free_running import decode_stream, stream_starts, windows_of_trials
from offline.evaluation.held_out import FeatureChain
from offline.recordings.features import window_starts
from offline.recordings.features_file import Features, write_features
from offline.recordings.mua_source import MuaTrials
from offline.scheduling.resources import Resources

Float32 = NDArray[np.float32]
Cut = tuple[int, int, Float32 | None]
"""Trial, window, features of one window, axes (channel,); None for one of which too much is missing."""


def decode_mua(
    decoder: Decodes,
    chain: FeatureChain,
    mua: MuaTrials,
    progress: Callable[[int], None] | None = None,
    resources: Resources | None = None,
) -> tuple[Features, Float32]:
    """Cut and decode the windows of some trials of MUA at the chain's rate.

    Parameters
    ----------
    decoder : Decodes
    chain : FeatureChain
    mua : MuaTrials
    progress : callable, optional
        Called with the number of samples done since the last call.
    resources : Resources, optional
        Workers that decode, and the memory above which features go to a file of its scratch folder; without, they
        are an array.

    Returns
    -------
    features : float32, axes (trial, window, channel), or a file of them
    decoded : float32, axes (trial, window, latent)

    Notes
    -----
    Of a free-running decoder a trial's one window is that of the stream by which the service scores the trial. If it
    remembers something, the whole stream is decoded in order, a window at a time.
    """
    if chain.windows.anchor == "free":
        return decode_free(decoder, chain, mua, np.zeros(1, np.int64), progress, resources)
    windows = chain.cut(mua.recording, mua.onsets, progress, mua.day_starts)
    shape = (len(mua.onsets), chain.windows.n_windows, chain.channels.n_channels)
    features = _gathered(windows, mua.onsets, shape, resources, "features")
    return features, decode_cut(decoder, features, resources)


def decode_free(
    decoder: Decodes,
    chain: FeatureChain,
    mua: MuaTrials,
    shifts: NDArray[np.int64],
    progress: Callable[[int], None] | None = None,
    resources: Resources | None = None,
    name: str = "features",
) -> tuple[Features, Float32]:
    """Cut and decode windows of a free-running decoder at some places around each onset.

    Parameters
    ----------
    decoder : Decodes
    chain : FeatureChain
        Of free windows.
    mua : MuaTrials
    shifts : int64, axes (window,)
        From where the decoder was trained, in samples.
    progress : callable, optional
    resources : Resources, optional
        See ``decode_mua``.
    name : str
        Of the file, if there is one.

    Returns
    -------
    features : float32, axes (trial, window, channel), or a file of them
    decoded : float32, axes (trial, window, latent)
    """
    spec = chain.windows
    starts = stream_starts(spec, mua.first, mua.stop)
    onsets = (mua.onsets[:, None] + shifts).ravel()
    at = windows_of_trials(starts, onsets, spec)
    static = window_starts(spec)[0]
    n = len(shifts)
    shape = (len(mua.onsets), n, chain.channels.n_channels)
    if not decoder.n_state:
        # Trials without a window are asked for one beyond the end.
        found = np.where(at < 0, mua.stop, starts[at]) if len(starts) else onsets
        cut = chain.cut(mua.recording, found - static, progress, mua.day_starts)
        placed = ((row // n, row % n, values) for row, _, values in cut)
        features = _gathered(placed, mua.onsets, shape, resources, name)
        return features, decode_cut(decoder, features, resources, fixed=True)
    latents = np.full((len(onsets), n_latents_of(decoder, shape[2])), np.nan, np.float32)
    cut = chain.cut(mua.recording, starts - static, progress, mua.day_starts)
    stream = decode_stream(decoder, ((i, values) for i, _, values in cut), starts, spec)
    windows = ((row // n, row % n, values) for row, values in _kept(stream, at, latents))
    features = _gathered(windows, mua.onsets, shape, resources, name)
    return features, latents.reshape(*shape[:2], -1)


def decode_cut(
    decoder: Decodes, features: Features, resources: Resources | None, *, fixed: bool = False
) -> Float32:
    """Decode windows that are cut, in blocks where there are workers; see ``decode_trials``."""
    if resources is None:
        return decode_trials(decoder, features, fixed=fixed)
    return decode_blocks(decoder, features, resources.workers, fixed=fixed)


def n_latents_of(decoder: Decodes, n_channels: int) -> int:
    """Return how many latents a decoder decodes."""
    nothing = np.empty((0, n_channels), np.float32), np.empty((0, decoder.n_state), np.float32)
    return decoder.step(nothing[0], 0, nothing[1])[0].shape[1]


def _kept(
    stream: Iterable[tuple[int, Float32 | None, Float32 | None]],
    at: NDArray[np.intp],
    latents: Float32,
) -> Iterator[tuple[int, Float32 | None]]:
    """Yield (row, features) of the windows that rows ask for, in order of time; put their latents in place."""
    order = np.argsort(at, kind="stable")
    for i, features, latent in stream:
        first, last = np.searchsorted(at, (i, i + 1), sorter=order)
        for row in order[first:last]:
            if latent is not None:
                latents[row] = latent
            yield int(row), features


def _gathered(
    windows: Iterable[Cut],
    onsets: NDArray[np.int64],
    shape: tuple[int, int, int],
    resources: Resources | None,
    name: str,
) -> Features:
    """Gather windows as they come; axes (trial, window, channel)."""
    if resources is not None and 4 * int(np.prod(shape)) > resources.held_features:
        path = resources.scratch / f"{name}.h5"
        return write_features(path, windows, onsets, shape[1], shape[2])
    features = np.full(shape, np.nan, np.float32)
    for trial, window, values in windows:
        if values is not None:
            features[trial, window] = values
    return features
