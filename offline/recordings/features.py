"""Feature windows of a recording: cut by the very functions that cut them live, a block at a time.

Samples pass through ``Normaliser`` and windows through ``WindowCutter``, both of the hall, so the features of a
replayed session are those that the service sees, bit for bit, whatever the block size (here) or chunk size
(there). In memory: one block and the samples that open windows still need.
A late sample counts for the windows that close after it came; live, chunks decide which those are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.contracts.samples import SampleArray, Samples
from b2g_rt.contracts.windows import MissingLimits, WindowCutter, WindowSpec, static_start
from b2g_rt.mua.normaliser import Normaliser
from offline.recordings.features_file import FeaturesFile, write_features
from offline.recordings.recording import BLOCK_SAMPLES, Block


def window_starts(spec: WindowSpec) -> NDArray[np.int64]:
    """Return where each window starts, samples after the onset, int64, axes (window,).

    Notes
    -----
    Marker-anchored: the nine of the paper, say. Free: one window, at the static position of the paper
    (V1 25-125, V4 50-150, IT 75-175 ms), because that is where a ``fixed`` decoder is trained.
    """
    if spec.anchor == "free":
        return np.array([static_start(spec)], np.int64)
    return np.array([spec.start_of(k) for k in range(spec.n_windows)], np.int64)


def window_features(
    blocks: Iterable[Block],
    onsets: NDArray[np.int64],
    spec: WindowSpec,
    channels: ChannelMap,
    normaliser: Normaliser,
    limits: MissingLimits | None = None,
    progress: Callable[[int], None] | None = None,
) -> NDArray[np.float32]:
    """Cut every window of every trial.

    Parameters
    ----------
    blocks : iterable of Block
        In order, in the recording's unit; see ``Recording.blocks``.
    onsets : int64, axes (trial,)
        Sample-clock index of each onset, in any order.
    spec : WindowSpec
    channels : ChannelMap
    normaliser : Normaliser
        Fresh: its state follows the blocks.
    limits : MissingLimits, optional
        What may be missing; the service's defaults.
    progress : callable, optional
        Called with the number of samples done since the last call.

    Returns
    -------
    float32, axes (trial, window, channel), z units
        A window that the service would drop (too much missing, or beyond the recording) is NaN throughout.
    """
    shape = (len(onsets), len(window_starts(spec)), channels.n_channels)
    features = np.full(shape, np.nan, np.float32)
    for trial, window, values in cut_windows(
        blocks, onsets, spec, channels, normaliser, limits, progress
    ):
        if values is not None:
            features[trial, window] = values
    return features


def window_features_file(
    path: Path,
    blocks: Iterable[Block],
    onsets: NDArray[np.int64],
    spec: WindowSpec,
    channels: ChannelMap,
    normaliser: Normaliser,
    limits: MissingLimits | None = None,
    progress: Callable[[int], None] | None = None,
) -> FeaturesFile:
    """Cut every window of every trial into a file, for more of them than fit in memory.

    Parameters and values are those of ``window_features``, bit for bit; see features_file.py.
    """
    windows = cut_windows(blocks, onsets, spec, channels, normaliser, limits, progress)
    n_windows = len(window_starts(spec))
    return write_features(path, windows, onsets, n_windows, channels.n_channels)


def features_bytes(n_trials: int, spec: WindowSpec, n_channels: int) -> int:
    """Return how large the features of some trials are, as an array or a file."""
    return 4 * n_trials * len(window_starts(spec)) * n_channels


def cut_windows(
    blocks: Iterable[Block],
    onsets: NDArray[np.int64],
    spec: WindowSpec,
    channels: ChannelMap,
    normaliser: Normaliser,
    limits: MissingLimits | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[tuple[int, int, NDArray[np.float32] | None]]:
    """Yield (trial, window, values) in order of time, as ``window_features`` gathers them.

    Values are float32, axes (channel,), z units; None for a window that the service would drop. Windows beyond the end
    do not come.
    """
    cutter = WindowCutter(spec, channels, limits)
    starts = onsets[:, None] + window_starts(spec)[None, :]
    lags = [spec.lag_of(roi) for roi in channels.rois()]
    before, after = max(lags), spec.length - min(lags)
    order = np.argsort(starts, axis=None, kind="stable")
    position = 0
    held: Samples | None = None
    for piece in _pieces(blocks, normaliser, progress):
        if held is not None and piece.start < held.start + len(held.lost):
            _fill(held, piece)
            continue
        held = _joined(held, piece)
        store = SampleArray(held.values, held.start, held.lost)
        while position < len(order):
            trial, window = (int(i) for i in np.unravel_index(order[position], starts.shape))
            start = int(starts[trial, window])
            if start + after > store.stop:
                break
            whole = start - before >= store.start
            yield trial, window, cutter.cut(store, start).values if whole else None
            position += 1
        if position == len(order):
            break
        held = _kept_from(held, int(starts.flat[order[position]]) - before)


def _pieces(
    blocks: Iterable[Block], normaliser: Normaliser, progress: Callable[[int], None] | None
) -> Iterator[Samples]:
    """Yield stretches of the sample clock, z units: new ones and gaps in order, late ones when they came.

    As live: new samples are learned from (``push``), late and doubled ones are not (``apply``).
    """
    stop: int | None = None
    for block in blocks:
        edges = np.flatnonzero(np.diff(block.index) != 1) + 1
        for index, rows in zip(
            np.split(block.index, edges), np.split(block.values, edges), strict=True
        ):
            if not len(index):
                continue
            start = int(index[0])
            n_late = 0 if stop is None else min(max(stop - start, 0), len(index))
            if n_late:
                yield Samples(start, normaliser.apply(rows[:n_late]), np.zeros(n_late, np.bool_))
            if n_late < len(index):
                yield from _lost(stop, start, rows.shape[1])
                normaliser.skip(0 if stop is None else start - stop)
                stop = int(index[-1]) + 1
                values = normaliser.push(rows[n_late:])
                yield Samples(start + n_late, values, np.zeros(len(values), np.bool_))
        if progress:
            progress(len(block.index))


def _fill(held: Samples, late: Samples) -> None:
    """Put late samples where they belong; windows that are already cut stay as they are, as live."""
    first = max(late.start, held.start)
    slots = slice(first - held.start, late.start + len(late.lost) - held.start)
    if slots.stop > slots.start:
        missing = held.lost[slots]
        held.values[slots][missing] = late.values[first - late.start :][missing]
        held.lost[slots] = False


def _lost(start: int | None, stop: int, n_channels: int) -> Iterator[Samples]:
    """Yield the gap [start, stop), in pieces: a pause of an hour is not held either."""
    for first in range(stop if start is None else start, stop, BLOCK_SAMPLES):
        n = min(BLOCK_SAMPLES, stop - first)
        yield Samples(first, np.full((n, n_channels), np.nan, np.float32), np.ones(n, np.bool_))


def _joined(held: Samples | None, piece: Samples) -> Samples:
    if held is None or not len(held.lost):
        return piece
    return Samples(
        held.start,
        np.concatenate([held.values, piece.values]),
        np.concatenate([held.lost, piece.lost]),
    )


def _kept_from(held: Samples, start: int) -> Samples:
    """Drop what no open window needs."""
    n = min(max(start - held.start, 0), len(held.lost))
    return Samples(held.start + n, held.values[n:].copy(), held.lost[n:].copy())
