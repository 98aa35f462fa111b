"""A fixed decoder slid over the trial: one latent per position, so that it has a curve over time like any other.

The trials' one scored window stands where the decoder was trained; here the same map, and the same memory if it has
one, reads earlier and later windows. For reports; knows no scores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.windows import WindowSpec
from offline.decoding.stepping import Decodes
from offline.evaluation.decoded_windows import decode_free
from offline.evaluation.held_out import FeatureChain
from offline.recordings.features import window_starts
from offline.recordings.features_file import Features
from offline.recordings.mua_source import MuaTrials
from offline.scheduling.resources import Resources

FIRST_STOP_MS, LAST_STOP_MS, STEP_MS = 0.0, 300.0, 25.0


@dataclass(frozen=True, slots=True, eq=False)
class SlidWindows:
    """Trials decoded at successive positions.

    Attributes
    ----------
    windows : WindowSpec
        Where they are, anchored to the onset; lags as the decoder's.
    features : float32, axes (trial, window, channel), z units; or a file of them
    decoded : float32, axes (trial, window, latent)
        NaN where too much of a window was missing.
    """

    windows: WindowSpec
    features: Features
    decoded: NDArray[np.float32]


def slid_windows(
    decoder: Decodes,
    chain: FeatureChain,
    mua: MuaTrials,
    progress: Callable[[int], None] | None = None,
    resources: Resources | None = None,
) -> SlidWindows:
    """Decode windows that close 0 to 300 ms after the onset, every 25 ms.

    Parameters
    ----------
    decoder : Decodes
        Fixed.
    chain : FeatureChain
        Of free windows.
    mua : MuaTrials
    progress : callable, optional
        Called with the number of samples done since the last call.
    resources : Resources, optional
        See ``decode_mua``.
    """
    spec = chain.windows
    stops = np.arange(FIRST_STOP_MS, LAST_STOP_MS + STEP_MS / 2, STEP_MS)
    starts = np.round(stops * spec.rate_hz / 1000.0).astype(np.int64) - spec.length
    # A window that starts elsewhere is the trained one of an onset that was elsewhere.
    shifts = starts - window_starts(spec)[0]
    features, decoded = decode_free(
        decoder, chain, mua, shifts, progress, resources, name="slid-features"
    )
    windows = WindowSpec(
        rate_hz=spec.rate_hz,
        length=spec.length,
        stride=int(starts[1] - starts[0]),
        anchor="marker",
        first_start=int(starts[0]),
        n_windows=len(starts),
        roi_lag=spec.roi_lag,
    )
    return SlidWindows(windows, features, decoded)
