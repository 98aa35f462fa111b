"""Responses of recordings of any format: cut by the functions that cut them live, in the paper's z units.

Matrices of one row per stimulus are taken as they are. A recording is read once: on its way to the windows, the
statistics of all its samples are taken, from which the units of a live normaliser follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.bundle import Normalisation
from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.contracts.windows import paper_windows
from b2g_rt.errors import EncodingError
from b2g_rt.mua.normaliser import Normaliser
from offline.encoding.responses import (
    AS_IT_IS,
    EncodingResponses,
    LiveUnits,
    ceiling_of,
    roi_windows,
    trial_responses,
)
from offline.recordings.features import window_features
from offline.recordings.formats.reader import RecordingReader
from offline.recordings.formats.trial_table import UNKNOWN_DAY
from offline.recordings.normalisation import paper_normalised
from offline.recordings.recording import BLOCK_SAMPLES, Block
from offline.recordings.statistics import ChannelStatistics, merged_statistics
from offline.recordings.stimulus_responses import is_test_trial, window_means

Float32 = NDArray[np.float32]

TVSD_REPETITIONS = "test_MUA_reps"


def encoding_responses(
    readers: Sequence[RecordingReader],
    *,
    over_time: bool = False,
    progress: Callable[[int], None] | None = None,
) -> EncodingResponses:
    """Gather the responses of recordings.

    Parameters
    ----------
    readers : sequence of RecordingReader
        Of the same electrodes; one a day, unless their trials say which day it was.
    over_time : bool
        Whether the nine windows are wanted too.
    progress : callable, optional
        Called with the number of samples done since the last call.

    Raises
    ------
    EncodingError
        Other electrodes, several matrices, a matrix where windows are asked for, or too few trials with a response of
        every electrode.
    SessionError
        No training or no test stimuli, or a day with too few test trials.
    """
    first = readers[0]
    for reader in readers:
        if reader.channels.to_dict() != first.channels.to_dict():
            raise EncodingError(
                f"{reader.info.path}: other electrodes than {first.info.path}, expected the same. Encode them apart."
            )
    if any(reader.info.rate_hz is None for reader in readers):
        return _of_matrix(readers, over_time)
    parts: list[Float32] = []
    statistics: list[ChannelStatistics] = []
    stimulus: list[str] = []
    split: list[str] = []
    day: list[int] = []
    for number, reader in enumerate(readers, start=1):
        trials = reader.trials()
        passing = _Passing(reader)
        parts.append(_cut(passing, reader, trials.onset_idx, over_time, progress))
        statistics.append(passing.whole_statistics())
        stimulus += trials.stimulus
        split += trials.split
        day += [number if d == UNKNOWN_DAY else d for d in trials.day.tolist()]
    is_test = is_test_trial(stimulus, split, readers)
    raw = np.concatenate(parts)
    z = paper_normalised(raw, day, is_test)
    found = trial_responses(
        z.values, stimulus, is_test, first.channels, note=z.note, where=str(first.info.path)
    )
    return replace(found, live=_live_units(raw, z.values, first.channels, statistics))


class _Passing:
    """A recording on its way to the windows, and the statistics of all its samples."""

    def __init__(self, reader: RecordingReader) -> None:
        blank = np.zeros(reader.channels.n_channels)
        self.channels = reader.channels
        self.n_samples = reader.n_samples
        self._reader = reader
        self._statistics = ChannelStatistics(blank, blank, blank)
        self._left: Iterator[Block] | None = None

    def blocks(self, n_samples: int = BLOCK_SAMPLES) -> Iterator[Block]:
        self._left = self._watched(n_samples)
        return self._left

    def _watched(self, n_samples: int) -> Iterator[Block]:
        for block in self._reader.blocks(n_samples):
            self._statistics = self._statistics.merged(ChannelStatistics.of(block.values))
            yield block

    def whole_statistics(self) -> ChannelStatistics:
        """Return those of the whole recording: the windows need not have read its end."""
        for _ in self._left or ():
            pass
        return self._statistics


def _live_units(
    raw: Float32, z: Float32, channels: ChannelMap, statistics: Sequence[ChannelStatistics]
) -> LiveUnits:
    whole = merged_statistics(statistics)
    if raw.ndim == 3:
        raw, z = roi_windows(raw, channels), roi_windows(z, channels)
    x = np.asarray(z, np.float64)
    y = (raw - whole.mean) / np.where(whole.sd > 0, whole.sd, 1.0)
    there = np.isfinite(x) & np.isfinite(y)
    n = np.maximum(there.sum(axis=0), 1)
    mean_x, mean_y = (np.where(there, v, 0.0).sum(axis=0) / n for v in (x, y))
    dx, dy = (np.where(there, v - m, 0.0) for v, m in ((x, mean_x), (y, mean_y)))
    square = np.square(dx).sum(axis=0)
    scale = np.where(square > 0, (dx * dy).sum(axis=0) / np.where(square > 0, square, 1.0), 0.0)
    return LiveUnits(scale, mean_y - scale * mean_x)


def _cut(
    passing: _Passing,
    reader: RecordingReader,
    onsets: NDArray[np.int64],
    over_time: bool,
    progress: Callable[[int], None] | None,
) -> Float32:
    rate_hz = reader.info.rate_hz
    assert rate_hz is not None
    if not over_time:
        return window_means(passing, onsets, rate_hz, progress)
    n = reader.channels.n_channels
    as_it_is = Normaliser(Normalisation(kind="frozen"), np.zeros(n), np.ones(n), rate_hz)
    return window_features(
        passing.blocks(),
        onsets,
        paper_windows(rate_hz),
        reader.channels,
        as_it_is,
        progress=progress,
    )


def _of_matrix(readers: Sequence[RecordingReader], over_time: bool) -> EncodingResponses:
    reader = readers[0]
    where = str(reader.info.path)
    if len(readers) > 1:
        raise EncodingError(
            f"{where}: one row per stimulus, and {len(readers)} recordings, expected one such file alone. Name one."
        )
    if over_time:
        raise EncodingError(
            f"{where}: one row per stimulus and no time axis, expected a recording with samples for time-resolved "
            "encoding. Leave out --time."
        )
    trials = reader.trials()
    is_test = is_test_trial(trials.stimulus, trials.split, readers)
    values = reader.read(0, reader.n_samples)
    found = trial_responses(
        values, trials.stimulus, is_test, reader.channels, note=AS_IT_IS, where=where
    )
    quality = getattr(reader, "quality", lambda name: None)(TVSD_REPETITIONS)
    if quality is None:
        return found
    order = np.argsort(np.array(trials.stimulus)[is_test], kind="stable")
    repeated = np.asarray(quality, np.float32)[:, order]
    return replace(found, repetitions=repeated, ceiling=ceiling_of(repeated))
