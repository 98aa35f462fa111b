"""What is found of a recording's electrodes: dead, bursting, and how well each repeats where stimuli were repeated.

Reads a recording of any format in blocks; of voltage it judges the MUA that the live chain makes of it. Of responses
without a time axis nothing bursts, an electrode is dead that hardly varies, and repetitions are those the file keeps.
For `inspect` and whoever wants a channel map of what is worth decoding from; knows no latents or decoders.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.errors import SessionError
from b2g_rt.mua.filter_design import MuaSpec
from offline.recordings.electrode_quality import (
    RELIABILITY_THRESHOLD,
    Array,
    ElectrodeQuality,
    Mask,
    QualityLimits,
    electrode_quality,
    select_electrodes,
)
from offline.recordings.formats.reader import RecordingReader
from offline.recordings.formats.responses import ResponsesReader
from offline.recordings.formats.trial_table import TrialTable
from offline.recordings.mua_source import mua_of
from offline.recordings.noise_ceiling import variance_components
from offline.recordings.normalisation import paper_normalised
from offline.recordings.recording import Recording
from offline.recordings.reliability import repetitions, split_half_reliability
from offline.recordings.stimulus_responses import TEST, window_means
from offline.stages import Stage

MIN_STIMULI = 10
"""Fewer repeated stimuli say little: correlations over ten have a standard error of a third."""

RESPONSE_LIMITS = QualityLimits(
    min_roughness_share=0.0, burst_spreads=np.inf, max_spread_share=np.inf
)
"""Of one value per stimulus: what is strong there is an answer, no burst, and there is no noise to measure."""

_CHANNELS_AT_ONCE = 64


@dataclass(frozen=True, slots=True, eq=False)
class Repeatability:
    """How well responses repeat.

    Attributes
    ----------
    reliability : float64, axes (channel,), -1 to 1
        Pearson's r over stimuli between means of two random halves of the repetitions, mean over 100 splits;
        uncorrected. NaN where nothing varies.
    ceiling, ceiling_averaged : float64, axes (channel,), 0 to 1
        The highest correlation that a prediction can have with single trials, and with means over all repetitions.
    n_stimuli : int
    n_repetitions : (int, int)
        Fewest and most.
    of_test : bool
        Whether they come from test stimuli: a selection by them looks at test responses.
    """

    reliability: Array
    ceiling: Array
    ceiling_averaged: Array
    n_stimuli: int
    n_repetitions: tuple[int, int]
    of_test: bool


@dataclass(frozen=True, slots=True, eq=False)
class ElectrodeFindings:
    """What was found.

    Attributes
    ----------
    channels : ChannelMap
        The electrodes; all axes (channel,) are in its order.
    judged : str
        What the electrodes were judged by.
    quality : ElectrodeQuality
    repeats : Repeatability or None
    no_repeats : str
        Why there is none.
    """

    channels: ChannelMap
    judged: str
    quality: ElectrodeQuality
    repeats: Repeatability | None
    no_repeats: str = ""

    def kept(self, threshold: float | None = None) -> Mask:
        """Return the electrodes that are neither dead nor bursting nor, with a threshold, unreliable.

        Raises
        ------
        SessionError
            A threshold, but nothing was repeated.
        """
        if threshold is None:
            return self.quality.good
        if self.repeats is None:
            raise SessionError(
                f"reliability above {threshold:g}: {self.no_repeats}, expected a recording with repeated stimuli. "
                "Leave --reliability out, or name another recording of these electrodes."
            )
        return select_electrodes(self.repeats.reliability, self.quality, threshold)

    def share_reliable(self, threshold: float = RELIABILITY_THRESHOLD) -> float:
        """Return the share of the good electrodes that are above the threshold; 0 where nothing was repeated."""
        good = self.quality.good
        if self.repeats is None or not good.any():
            return 0.0
        return float((self.repeats.reliability[good] > threshold).mean())


def electrode_findings(reader: RecordingReader, stage: Stage) -> ElectrodeFindings:
    """Read a recording and judge its electrodes; a recording with a time axis is read three times.

    Parameters
    ----------
    reader : RecordingReader
    stage : Stage
        Progress.

    Raises
    ------
    SessionError
        No rows, or rows that cannot be read.

    Notes
    -----
    In memory: a block, 20,000 samples of every electrode, and the responses to repeated stimuli.
    """
    if not reader.n_samples:
        raise SessionError(f"{reader.info.path}: no samples, expected some to judge electrodes by.")
    if reader.info.rate_hz is None:
        return _of_responses(reader, stage)
    table, spec = reader.trials(), MuaSpec()
    voltage = reader.info.rate_hz == spec.raw_rate_hz
    rate_hz = spec.rate_hz if voltage else reader.info.rate_hz
    mua = mua_of(reader, table.onset_idx, rate_hz)
    n = mua.recording.n_samples
    quality = electrode_quality(mua.recording, progress=stage("electrodes", 2 * n))
    judged = f"{n} samples at {rate_hz:g} Hz" + (", causal MUA of the voltage" if voltage else "")
    chosen, why = _repeated(table)
    if why:
        return ElectrodeFindings(reader.channels, judged, quality, None, why)
    values = _day_by_day(
        _responses(mua.recording, mua.onsets[chosen], rate_hz, stage), table.day[chosen]
    )
    found = repetitions(values, [table.stimulus[i] for i in chosen])
    of_test = any(table.split[i] == TEST for i in chosen)
    repeats = repeatability(found.values, of_test, stage)
    return ElectrodeFindings(reader.channels, judged, quality, repeats)


def repeatability(values: NDArray[np.floating], of_test: bool, stage: Stage) -> Repeatability:
    """Return how well responses repeat.

    Parameters
    ----------
    values : float, axes (repetition, stimulus, channel)
        NaN beyond a stimulus's last repetition.
    of_test : bool
        Whether the stimuli are test stimuli.
    stage : Stage
    """
    n_channels = values.shape[2]
    done = stage("reliability", n_channels)
    counts = np.isfinite(values).any(axis=2).sum(axis=0)
    parts: list[tuple[Array, Array, Array]] = []
    for first in range(0, n_channels, _CHANNELS_AT_ONCE):
        own = np.asarray(values[:, :, first : first + _CHANNELS_AT_ONCE], np.float64)
        variance = variance_components(own)
        ceilings = variance.noise_ceiling(), variance.noise_ceiling(float(counts.mean()))
        parts.append((split_half_reliability(own), *ceilings))
        done(own.shape[2])
    reliability, ceiling, averaged = (np.concatenate(p) for p in zip(*parts, strict=True))
    return Repeatability(
        reliability,
        ceiling,
        averaged,
        values.shape[1],
        (int(counts.min()), int(counts.max())),
        of_test,
    )


def _of_responses(reader: RecordingReader, stage: Stage) -> ElectrodeFindings:
    quality = electrode_quality(reader, RESPONSE_LIMITS, stage("electrodes", 2 * reader.n_samples))
    judged = f"{reader.n_samples} responses; bursts do not show in them"
    kept = reader.quality("test_MUA_reps") if isinstance(reader, ResponsesReader) else None
    if kept is None:
        why = "the file keeps no repetitions (test_MUA_reps)"
        return ElectrodeFindings(reader.channels, judged, quality, None, why)
    if kept.ndim != 3:
        raise SessionError(
            f"{reader.info.path}: test_MUA_reps {kept.shape}, expected (repetition, stimulus, channel)."
        )
    # A stimulus that was shown once says nothing of repetition.
    kept = kept[:, np.isfinite(kept).any(axis=2).sum(axis=0) >= 2]
    if why := _too_few(kept.shape[1]):
        return ElectrodeFindings(reader.channels, judged, quality, None, why)
    return ElectrodeFindings(
        reader.channels, judged, quality, repeatability(kept, of_test=True, stage=stage)
    )


def _too_few(n_stimuli: int) -> str:
    if n_stimuli >= MIN_STIMULI:
        return ""
    return f"{n_stimuli} stimuli were shown more than once, reliability takes {MIN_STIMULI}"


def _repeated(table: TrialTable) -> tuple[NDArray[np.intp], str]:
    """Return the trials of repeated stimuli, of test stimuli where these are enough; or why there are none."""
    counts = Counter(table.stimulus)
    repeated = [i for i in range(table.n_trials) if counts[table.stimulus[i]] >= 2]
    test = [i for i in repeated if table.split[i] == TEST]
    if not _too_few(len({table.stimulus[i] for i in test})):
        repeated = test
    return np.array(repeated, np.intp), _too_few(len({table.stimulus[i] for i in repeated}))


def _responses(
    recording: Recording, onsets: NDArray[np.int64], rate_hz: float, stage: Stage
) -> NDArray[np.float32]:
    done = stage("responses to repeated stimuli", recording.n_samples)
    return window_means(recording, onsets, rate_hz, done)


def _day_by_day(values: NDArray[np.float32], day: NDArray[np.int64]) -> NDArray[np.float32]:
    """Bring each day's responses to that day's units: between days gains and offsets differ, not the electrode."""
    if len(np.unique(day)) < 2:
        return values
    counts = Counter(day.tolist())
    # A day's units take two trials to know.
    lone = np.array([counts[d] < 2 for d in day.tolist()])
    out = np.full_like(values, np.nan)
    kept = values[~lone]
    out[~lone] = paper_normalised(kept, day[~lone], np.ones(len(kept), np.bool_)).values
    return out
