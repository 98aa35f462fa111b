"""Electrodes that should not be decoded from: dead, bursting, or unreliable; and the channel map without them.

Dead: no signal (missing, frozen, or hardly any noise). Bursting: rare samples far beyond the electrode's own spread
while its array is quiet. Both are judged from the stream itself, block by block, in bounded memory; reliability comes
from repetitions (see reliability.py). Knows no files, decoders or latents.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ARRAY_COLS, ELECTRODES_PER_ARRAY, ChannelMap
from b2g_rt.errors import ChannelMapError
from offline.recordings.recording import Recording

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Brain2GAN, doi 10.1371/journal.pcbi.1012058, and TVSD keep electrodes above .3; MonkeySee above .4.
RELIABILITY_THRESHOLD = 0.3
# Medians and spreads are estimated from this many samples, evenly spaced: twice 41 MB for 1024 channels.
_SAMPLES_FOR_SPREAD = 10_000
# An array with fewer electrodes is too small to tell an event of the array from one of an electrode.
_ELECTRODES_TO_COMPARE = 4
# Median absolute deviation to SD of a normal distribution.
_SD_PER_MAD = 1.4826


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """Where an electrode stops being one.

    Attributes
    ----------
    max_missing_share : float
        Dead: more of its samples are NaN or infinite.
    max_frozen_share : float
        Dead: more of its samples equal the one before.
    min_roughness_share : float
        Dead: its roughness is below this share of the upper quartile of all electrodes.
    burst_spreads : float
        A sample this many spreads from the electrode's median belongs to a burst, unless most electrodes of the array
        are as far away: that is a movement or a saturated amplifier.
    max_burst_share : float
        Bursting: more of its samples belong to bursts.
    max_spread_share : float
        Bursting: its spread is beyond this multiple of the upper quartile of all electrodes.

    Notes
    -----
    The numbers are ours. MUA of a quiet or driven electrode stays within 10 spreads (10 SDs of its noise).
    """

    max_missing_share: float = 0.5
    max_frozen_share: float = 0.5
    min_roughness_share: float = 0.25
    burst_spreads: float = 10.0
    max_burst_share: float = 1e-3
    max_spread_share: float = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class ElectrodeQuality:
    """What was found of each electrode; all axes (channel,).

    Attributes
    ----------
    missing_share, frozen_share, burst_share : float64, 0 to 1
        Samples that are not finite; equal to the one before; in bursts.
    shared_share : float64, 0 to 1
        Samples that would be in bursts, were not most of the array as far away.
    median, spread : float64
        Of its samples, the recording's unit; the spread is the median absolute deviation, scaled to an SD.
    roughness : float64
        Spread of the second differences between samples: noise without hum, drift and responses, which would hide
        that an electrode has no signal of its own.
    limits : QualityLimits
    """

    missing_share: Array
    frozen_share: Array
    burst_share: Array
    shared_share: Array
    median: Array
    spread: Array
    roughness: Array
    limits: QualityLimits

    @property
    def dead(self) -> Mask:
        """Electrodes without signal."""
        limits = self.limits
        return (
            (self.missing_share > limits.max_missing_share)
            | (self.frozen_share > limits.max_frozen_share)
            | ~(self.roughness > limits.min_roughness_share * _usual(self.roughness))
        )

    @property
    def bursting(self) -> Mask:
        """Electrodes with bursts; never those that are dead."""
        limits = self.limits
        high = self.spread > limits.max_spread_share * _usual(self.spread)
        return ~self.dead & ((self.burst_share > limits.max_burst_share) | high)

    @property
    def good(self) -> Mask:
        """Electrodes that are neither dead nor bursting."""
        return ~(self.dead | self.bursting)


def electrode_quality(
    recording: Recording,
    limits: QualityLimits | None = None,
    progress: Callable[[int], None] | None = None,
) -> ElectrodeQuality:
    """Judge every electrode of a recording, which is read twice.

    Parameters
    ----------
    recording : Recording
    limits : QualityLimits, optional
    progress : callable, optional
        Called with the number of samples done since the last call; twice ``recording.n_samples`` in all.

    Notes
    -----
    First pass: medians, spreads and roughness from evenly spaced samples, missing and frozen shares from all. Second
    pass: bursts. Samples are taken in order of reception, as if there were no gaps.
    """
    limits = limits or QualityLimits()
    n_channels = recording.channels.n_channels
    missing, frozen = np.zeros(n_channels), np.zeros(n_channels)
    every = max(1, -(-recording.n_samples // _SAMPLES_FOR_SPREAD))
    kept: list[NDArray[np.float32]] = []
    rough: list[NDArray[np.float32]] = []
    n_samples = 0
    tail = np.full((2, n_channels), np.nan, np.float32)
    for block in recording.blocks():
        x = np.concatenate([tail, block.values])
        missing += np.count_nonzero(~np.isfinite(block.values), axis=0)
        frozen += np.count_nonzero(x[2:] == x[1:-1], axis=0)
        chosen = slice(-n_samples % every, None, every)
        kept.append(x[2:][chosen].copy())
        rough.append(x[2:][chosen] - 2 * x[1:-1][chosen] + x[:-2][chosen])
        tail = x[-2:].copy()
        n_samples += len(block.values)
        if progress:
            progress(len(block.values))
    median, spread = _median_and_spread(np.concatenate(kept) if kept else tail)
    _, roughness = _median_and_spread(np.concatenate(rough) if rough else tail)
    bursts, shared = np.zeros(n_channels), np.zeros(n_channels)
    for block in recording.blocks():
        with np.errstate(invalid="ignore"):
            far = np.abs(block.values - median) > limits.burst_spreads * spread
        far &= np.isfinite(block.values)
        with_array = far & _most_of_the_array(far, recording.channels)
        shared += np.count_nonzero(with_array, axis=0)
        bursts += np.count_nonzero(far & ~with_array, axis=0)
        if progress:
            progress(len(block.values))
    n = max(1, n_samples)
    return ElectrodeQuality(
        missing_share=missing / n if n_samples else np.ones(n_channels),
        frozen_share=frozen / n,
        burst_share=bursts / n,
        shared_share=shared / n,
        median=median,
        spread=spread,
        roughness=roughness,
        limits=limits,
    )


def select_electrodes(
    reliability: NDArray[np.floating],
    quality: ElectrodeQuality | None = None,
    threshold: float = RELIABILITY_THRESHOLD,
) -> Mask:
    """Return the electrodes to decode from, bool, axes (channel,).

    Parameters
    ----------
    reliability : float, axes (channel,)
        Mean over pairs or split halves of the repetitions; NaN is not selected.
    quality : ElectrodeQuality, optional
        Dead and bursting electrodes are not selected either.
    threshold : float
        Selected are those above it.

    Notes
    -----
    Repeated stimuli are the test stimuli, so a selection by their reliability looks at test responses, though never
    at their latents: the paper's way, and to be said in a report. Select on other days' repetitions to avoid it.
    """
    chosen = np.asarray(reliability) > threshold
    return chosen if quality is None else chosen & quality.good


def without_electrodes(channels: ChannelMap, dropped: Mask) -> ChannelMap:
    """Return the channel map without some of its channels.

    Parameters
    ----------
    channels : ChannelMap
    dropped : bool, axes (channel,)

    Returns
    -------
    ChannelMap
        Of the same stream; the dropped ones are dead electrodes of their array, an array without any other is dead.

    Raises
    ------
    ChannelMapError
        Another number of channels than the map has, or none would be left.
    """
    if len(dropped) != channels.n_channels:
        raise ChannelMapError(
            f"dropped electrodes: a mask of {len(dropped)}, the channel map has {channels.n_channels} channels."
        )
    electrode = channels.row * ARRAY_COLS + channels.col
    slots = []
    for slot in channels.slots:
        gone = electrode[dropped & (channels.array == slot.array)]
        dead = sorted({*slot.dead_electrodes, *(int(e) for e in gone)})
        slots.append(
            replace(
                slot,
                dead=slot.dead or len(dead) == ELECTRODES_PER_ARRAY,
                dead_electrodes=tuple(dead),
            )
        )
    return ChannelMap(channels.n_stream_channels, tuple(slots))


def _usual(values: Array) -> float:
    """Return the upper quartile: that of a living electrode, even where half of the arrays are dead."""
    finite = values[np.isfinite(values)]
    return float(np.quantile(finite, 0.75)) if len(finite) else 0.0


def _most_of_the_array(far: Mask, channels: ChannelMap) -> Mask:
    """Return at which samples more than half of a channel's array is far, axes (sample, channel)."""
    most = np.zeros_like(far)
    if not far.any():
        return most
    for array in np.unique(channels.array):
        own = np.flatnonzero(channels.array == array)
        if len(own) >= _ELECTRODES_TO_COMPARE:
            most[:, own] = (far[:, own].mean(axis=1) > 0.5)[:, None]
    return most


def _median_and_spread(samples: NDArray[np.float32]) -> tuple[Array, Array]:
    """Return both of each column, axes (sample, channel) to (channel,); NaN for one without a finite sample."""
    finite = np.isfinite(samples)
    empty = ~finite.any(axis=0)
    # A column of zeros has a median without a warning; its true one is put back below.
    known = np.where(finite | empty, np.where(finite, samples, 0.0), np.nan).astype(np.float64)
    median = np.nanmedian(known, axis=0)
    spread = _SD_PER_MAD * np.nanmedian(np.abs(known - median), axis=0)
    return np.where(empty, np.nan, median), np.where(empty, np.nan, spread)
