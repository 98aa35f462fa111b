"""A trial's response out of its decoding windows: of each ROI the window that the encoder was trained on.

The windows are those that are decoded anyway, so nothing is cut twice. Free running, a trial's response is the window
by which its decoding is scored: the first one at or after the static position, up to a stride later than trained.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.bundle import ModelBundle
from b2g_rt.contracts.encoder import FittedEncoder
from b2g_rt.contracts.windows import DueWindow, Trial, WindowFeatures, WindowSpec, static_start
from b2g_rt.errors import BundleError

MAX_RECENT = 400
"""Free-running windows that are kept for markers that come late: ten seconds of the paper's."""
MAX_TRIALS = 256
"""Trials whose responses are incomplete; windows of so many never interleave."""

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class ObservedResponse:
    """A trial's response: float32, axes (channel,), z units; NaN for bad electrodes and missing windows."""

    trial: Trial
    values: Float32 = field(repr=False)


def windows_of_encoder(encoder: FittedEncoder, bundle: ModelBundle) -> dict[str, int]:
    """Return by ROI which of the bundle's windows the encoder's responses are; 0 for free-running ones.

    Raises
    ------
    BundleError
        An ROI's window is none of the bundle's.
    """
    spec = bundle.windows
    rois = sorted(set(bundle.channels.roi))
    return {roi: _window_of_roi(encoder, bundle, spec, roi) for roi in rois}


def _window_of_roi(encoder: FittedEncoder, bundle: ModelBundle, spec: WindowSpec, roi: str) -> int:
    wanted = encoder.manifest.windows[roi]
    per_ms = spec.rate_hz / 1000.0
    starts = (
        [static_start(spec)]
        if spec.anchor == "free"
        else [spec.start_of(k) for k in range(spec.n_windows)]
    )
    for k, start in enumerate(starts):
        begins = start - spec.lag_of(roi)
        found = begins / per_ms, (begins + spec.length) / per_ms
        if np.allclose(found, (wanted.start_ms, wanted.stop_ms), rtol=0, atol=1e-6):
            return k
    first = (starts[0] - spec.lag_of(roi)) / per_ms
    last = (starts[-1] - spec.lag_of(roi)) / per_ms
    raise BundleError(
        f"encoder {encoder.path}: responses of {roi} over {wanted.start_ms:g} to {wanted.stop_ms:g} ms, expected one "
        f"of the windows of bundle '{bundle.manifest.name}': {spec.length / per_ms:g} ms long, starting at {first:g} "
        f"to {last:g} ms. Fit an encoder on these windows."
    )


class ObservedResponses:
    """Collects windows, and gives the responses that a window completes.

    Parameters
    ----------
    bundle : ModelBundle
    window_of_roi : dict
        See ``windows_of_encoder``.
    """

    def __init__(self, bundle: ModelBundle, window_of_roi: dict[str, int]) -> None:
        roi = np.array(bundle.channels.roi)
        self._n_channels = bundle.channels.n_channels
        self._channels: dict[int, NDArray[np.intp]] = {
            k: np.flatnonzero([window_of_roi[r] == k for r in roi])
            for k in sorted(set(window_of_roi.values()))
        }
        self._last = max(self._channels)
        self._open: OrderedDict[int, Float32] = OrderedDict()
        self._recent: OrderedDict[int, Float32 | None] = OrderedDict()

    def needs(self, window: DueWindow) -> bool:
        """Whether a window is part of a response."""
        return window.trial is None or window.window_idx in self._channels

    def take(self, window: DueWindow, features: WindowFeatures) -> list[ObservedResponse]:
        """Take a window, in the order in which windows close; one that is not needed gives nothing."""
        values = _with_holes(features)
        if window.trial is None:
            return self._free(window, values)
        columns = self._channels.get(window.window_idx)
        if columns is None:
            return []
        response = self._of_trial(window.trial.trial)
        if values is not None:
            response[columns] = values[columns]
        if window.window_idx != self._last:
            return []
        del self._open[window.trial.trial]
        return [ObservedResponse(window.trial, response)]

    def _of_trial(self, trial: int) -> Float32:
        response = self._open.get(trial)
        if response is None:
            response = self._open[trial] = np.full(self._n_channels, np.nan, np.float32)
            while len(self._open) > MAX_TRIALS:
                self._open.popitem(last=False)
        return response

    def _free(self, window: DueWindow, values: Float32 | None) -> list[ObservedResponse]:
        self._recent[window.start] = values
        while len(self._recent) > MAX_RECENT:
            self._recent.popitem(last=False)
        nothing = np.full(self._n_channels, np.nan, np.float32)
        responses = []
        for shown in window.shows:
            found = self._recent.get(shown.start)
            responses.append(ObservedResponse(shown.trial, nothing if found is None else found))
        return responses


def _with_holes(features: WindowFeatures) -> Float32 | None:
    """Return the values with NaN for bad channels, which the cutter gives as exactly 0."""
    values = features.values
    if values is None or not features.n_bad_channels:
        return values
    return np.where(values == 0, np.float32(np.nan), values)
