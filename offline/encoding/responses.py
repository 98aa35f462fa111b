"""Responses as encoding takes them: single training trials, test stimuli averaged over repeats, the noise ceiling.

In each ROI's window, and where asked for in the paper's nine windows, of which these are three. Stimuli are known by
their ids. Knows neither recordings nor features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.contracts.windows import WindowSpec, paper_windows, sliding_windows
from b2g_rt.errors import EncodingError
from offline.recordings.features import window_starts
from offline.recordings.noise_ceiling import variance_components
from offline.recordings.reliability import repetitions

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

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
