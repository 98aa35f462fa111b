"""What each ROI contributes to a fitted decoder: its channels silenced, and all others silenced.

A silenced channel says its training mean at every trial, which in z units is 0; the decoder stays as it is. What an
ROI could do with a decoder of its own is another question: fit one on ``channels.channels_of(roi)``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.errors import ChannelMapError
from offline.evaluation.held_out import Predicts
from offline.evaluation.metrics import Interval, bootstrap_mean


@dataclass(frozen=True, slots=True)
class RoiShare:
    """One ROI's part in a score.

    Attributes
    ----------
    roi : str
    n_channels : int
    without : Interval
        The score with this ROI silenced.
    drop : Interval
        How much is lost by that, trial by trial.
    only : Interval
        The score with everything else silenced.
    """

    roi: str
    n_channels: int
    without: Interval
    drop: Interval
    only: Interval


@dataclass(frozen=True, slots=True)
class RoiAblation:
    """Scores of a decoder with and without each ROI.

    Attributes
    ----------
    whole : Interval
        Nothing silenced.
    nothing : Interval
        Everything silenced: what the decoder says without looking at the brain.
    rois : tuple of RoiShare
    n_trials : int
    """

    whole: Interval
    nothing: Interval
    rois: tuple[RoiShare, ...]
    n_trials: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)


def silenced(
    features: NDArray[np.float32],
    channels: ChannelMap,
    rois: Collection[str],
    fill: NDArray[np.floating] | float = 0.0,
) -> NDArray[np.float32]:
    """Return features with the channels of some ROIs replaced.

    Parameters
    ----------
    features : float32, axes (..., channel), z units
    channels : ChannelMap
    rois : collection of str
    fill : float or float, axes (channel,)
        What silenced channels say: their training mean.

    Raises
    ------
    ChannelMapError
        An ROI without channels, or features of other channels.
    """
    if features.shape[-1] != channels.n_channels:
        raise ChannelMapError(
            f"ROI ablation: features of {features.shape[-1]} channels, the channel map has {channels.n_channels}."
        )
    return np.where(channels_in(channels, rois), np.asarray(fill, np.float32), features)


def channels_in(channels: ChannelMap, rois: Collection[str]) -> NDArray[np.bool_]:
    """Return which channels are in some ROIs, axes (channel,).

    Raises
    ------
    ChannelMapError
        An ROI without channels.
    """
    if unknown := sorted(set(rois) - set(channels.rois())):
        raise ChannelMapError(
            f"ROI ablation: no channel in '{unknown[0]}', expected one of {', '.join(channels.rois())}."
        )
    return np.isin(np.array(channels.roi), sorted(rois))


def roi_ablation(
    decoder: Predicts,
    features: NDArray[np.float32],
    channels: ChannelMap,
    score: Callable[[NDArray[np.float32]], NDArray[np.float64]],
    groups: NDArray[np.integer],
    window_idx: int = 0,
    fill: NDArray[np.floating] | float = 0.0,
) -> RoiAblation:
    """Score a decoder with each ROI silenced, and with each ROI alone.

    Parameters
    ----------
    decoder : Predicts
        Already fitted.
    features : float32, axes (trial, channel), z units
        One window of held-out trials, without NaN.
    channels : ChannelMap
    score : callable
        From decoded latents, axes (trial, latent), to one figure per trial, axes (trial,).
    groups : int, axes (trial,)
        Stimulus of each trial, for intervals.
    window_idx : int
    fill : float or float, axes (channel,)
    """

    def scored(rois: Collection[str]) -> NDArray[np.float64]:
        return score(decoder.predict(silenced(features, channels, rois, fill), window_idx))

    return roi_shares(scored, channels, groups)


def roi_shares(
    scored: Callable[[Collection[str]], NDArray[np.float64]],
    channels: ChannelMap,
    groups: NDArray[np.integer],
) -> RoiAblation:
    """Compare scores with each ROI silenced, and with each ROI alone, whoever decoded.

    Parameters
    ----------
    scored : callable
        From the ROIs that are silenced to one figure per trial, float64, axes (trial,).
    channels : ChannelMap
    groups : int, axes (trial,)
        Stimulus of each trial, for intervals.
    """
    everywhere = channels.rois()
    whole = scored(())
    shares = []
    for roi in everywhere:
        without = scored((roi,))
        only = scored([r for r in everywhere if r != roi])
        shares.append(
            RoiShare(
                roi=roi,
                n_channels=len(channels.channels_of(roi)),
                without=bootstrap_mean(without, groups),
                drop=bootstrap_mean(whole - without, groups),
                only=bootstrap_mean(only, groups),
            )
        )
    return RoiAblation(
        whole=bootstrap_mean(whole, groups),
        nothing=bootstrap_mean(scored(everywhere), groups),
        rois=tuple(shares),
        n_trials=len(groups),
    )
