"""Responses as encoding takes them: single training trials, test stimuli averaged over repeats, the noise ceiling.

From recordings of any format: the ROI windows of the paper, and where asked for its nine windows, of which these are
three; cut by the functions that cut them live, in the paper's z units. Matrices of one row per stimulus are taken as
they are. Stimuli are known by their ids. Knows no features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.bundle import Normalisation
from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.contracts.windows import WindowSpec, paper_windows, sliding_windows
from b2g_rt.errors import EncodingError
from b2g_rt.mua.normaliser import Normaliser
from offline.recordings.features import window_features, window_starts
from offline.recordings.formats.reader import RecordingReader
from offline.recordings.formats.trial_table import UNKNOWN_DAY
from offline.recordings.noise_ceiling import variance_components
from offline.recordings.normalisation import paper_normalised
from offline.recordings.recording import BLOCK_SAMPLES, Block
from offline.recordings.reliability import repetitions
from offline.recordings.statistics import ChannelStatistics, merged_statistics
from offline.recordings.stimulus_responses import is_test_trial, window_means

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

TVSD_REPETITIONS = "test_MUA_reps"
AS_IT_IS = "as the file has it: one row per stimulus"
MIN_TRIALS = 3


@dataclass(frozen=True, slots=True, eq=False)
class WindowResponses:
    """Responses window by window.

    Attributes
    ----------
    windows : WindowSpec
        Anchored to the marker.
    train : float32, axes (training trial, window, channel)
    test : float32, axes (test stimulus, window, channel)
        Means over repeats.
    ceiling : float64, axes (window, channel)
        Of ``test``; NaN where nothing was repeated.
    """

    windows: WindowSpec
    train: Float32 = field(repr=False)
    test: Float32 = field(repr=False)
    ceiling: Float64 = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class LiveUnits:
    """From the paper's z units, in which encoders are fitted, to those of a live normaliser that is frozen.

    The former are of window means of test trials, the latter of all samples: another scale, electrode by electrode.

    Attributes
    ----------
    scale, offset : float64, axes (channel,)
        live = scale * z + offset; over several days on average.
    """

    scale: Float64 = field(repr=False)
    offset: Float64 = field(repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class EncodingResponses:
    """Responses in each ROI's window.

    Attributes
    ----------
    channels : ChannelMap
    train_ids : tuple of str, axes (training trial,)
        A stimulus that was shown several times comes several times.
    train : float32, axes (training trial, channel)
        Finite.
    test_ids : tuple of str, axes (test stimulus,)
    test : float32, axes (test stimulus, channel)
        Means over repeats; NaN where none has a value.
    repetitions : float32, axes (repetition, test stimulus, channel)
        In the order of presentation; NaN beyond a stimulus's last.
    ceiling : float64, axes (channel,)
        Of ``test``; NaN where nothing was repeated.
    n_left_out : int
        Training trials without a response of every electrode.
    note : str
        How responses came into z units.
    over_time : WindowResponses, optional
    live : LiveUnits, optional
        Of recordings with samples.
    """

    channels: ChannelMap
    train_ids: tuple[str, ...] = field(repr=False)
    train: Float32 = field(repr=False)
    test_ids: tuple[str, ...] = field(repr=False)
    test: Float32 = field(repr=False)
    repetitions: Float32 = field(repr=False)
    ceiling: Float64 = field(repr=False)
    n_left_out: int = 0
    note: str = AS_IT_IS
    over_time: WindowResponses | None = None
    live: LiveUnits | None = None

    @property
    def repeats(self) -> tuple[int, int]:
        """How often a test stimulus was shown, at least and at most."""
        counts = np.isfinite(self.repetitions).any(axis=2).sum(axis=0)
        return int(counts.min()), int(counts.max())


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


def trial_responses(
    values: Float32,
    stimulus: Sequence[str],
    is_test: NDArray[np.bool_],
    channels: ChannelMap,
    *,
    note: str,
    where: str,
) -> EncodingResponses:
    """Sort the responses of trials.

    Parameters
    ----------
    values : float32, axes (trial, channel) or (trial, window, channel)
        In z units; of ROI windows, or of the paper's nine windows, of which these are three.
    stimulus : sequence of str, axes (trial,)
    is_test : bool, axes (trial,)
    channels : ChannelMap
    note : str
        How they came into z units.
    where : str
        Opens the error's line.

    Raises
    ------
    EncodingError
        Too few trials with a response of every electrode.
    """
    shown = np.array(stimulus)
    by_window = values.ndim == 3
    kept = ~is_test & np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    n_train = int((~is_test).sum())
    if kept.sum() < MIN_TRIALS:
        absent = ~np.isfinite(values[~is_test]).reshape(n_train, -1, channels.n_channels)
        worst = int(absent.any(axis=1).sum(axis=0).argmax())
        raise EncodingError(
            f"{where}: {int(kept.sum())} of {n_train} training trials have a response of every electrode (electrode "
            f"{worst} lacks most), expected at least {MIN_TRIALS}. Leave broken electrodes out of the channel map."
        )
    roi = roi_windows(values, channels) if by_window else values
    repeated = repetitions(roi[is_test], shown[is_test].tolist(), at_least=1)
    over_time = _over_time(values, kept, is_test, shown) if by_window else None
    return EncodingResponses(
        channels,
        tuple(shown[kept].tolist()),
        roi[kept].astype(np.float32),
        repeated.stimuli,
        repeated.averaged.astype(np.float32),
        repeated.values.astype(np.float32),
        ceiling_of(repeated.values),
        n_train - int(kept.sum()),
        note,
        over_time,
    )


def roi_windows(values: NDArray[np.floating], channels: ChannelMap) -> Float32:
    """Pick each electrode's response in its ROI's window from the paper's nine, float32, axes (trial, channel)."""
    return np.asarray(
        values[:, roi_window_of(channels), np.arange(channels.n_channels)], np.float32
    )


def roi_window_of(channels: ChannelMap, rate_hz: float = 1000.0) -> NDArray[np.intp]:
    """Return which of the paper's nine windows is each electrode's ROI window, int, axes (channel,)."""
    spec = sliding_windows(rate_hz)
    (start,) = window_starts(spec)
    position = {int(s): k for k, s in enumerate(window_starts(paper_windows(rate_hz)))}
    return np.array([position[int(start) - spec.lag_of(roi)] for roi in channels.roi], np.intp)


def ceiling_of(values: NDArray[np.floating]) -> Float64:
    """Return the noise ceiling of means over repetitions.

    Parameters
    ----------
    values : float, axes (repetition, stimulus, channel)

    Returns
    -------
    float64, axes (channel,)
        For the mean of 1 / repetitions over stimuli; NaN where nothing was repeated.
    """
    counts = np.isfinite(values).sum(axis=0).astype(np.float64)
    there = counts > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        n = there.sum(axis=0) / np.where(there, 1.0 / counts, 0.0).sum(axis=0)
        found = variance_components(values)
        total = found.signal + found.noise / n
        share = found.signal / np.where(total > 0, total, 1.0)
    return np.asarray(np.sqrt(share))


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


def _over_time(
    values: Float32,
    kept: NDArray[np.bool_],
    is_test: NDArray[np.bool_],
    shown: NDArray[np.str_],
) -> WindowResponses:
    n_windows = values.shape[1]
    test, ceiling = [], []
    for window in range(n_windows):
        repeated = repetitions(values[is_test, window], shown[is_test].tolist(), at_least=1)
        test.append(repeated.averaged.astype(np.float32))
        ceiling.append(ceiling_of(repeated.values))
    return WindowResponses(
        paper_windows(1000.0), values[kept], np.stack(test, axis=1), np.stack(ceiling)
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
