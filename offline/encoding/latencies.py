"""When an electrode begins to be predicted: two measures of latency, and their medians per ROI.

A window of 100 ms that closes at t holds the last 100 ms before t, so a latency is a time by which something is
known, not the neuron's. Whether an electrode encodes anything is another question, which layer assignment answers;
only where it does is it asked when.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ChannelMap
from offline.encoding.scores import plain
from offline.encoding.statistics import Array, Correction, corrected
from offline.encoding.time_resolved import TimeResolvedScores
from offline.resampling import N_RESAMPLES, Rows, bootstrap


@dataclass(frozen=True, slots=True, eq=False)
class Latencies:
    """Latency of each electrode, from the r of its best space.

    Attributes
    ----------
    channels : ChannelMap
    length_ms : float
        Of a window: its middle is half of that before its end.
    alpha : float
    correction : {'bonferroni', 'fdr', 'none'}
        Over windows.
    best : int64, axes (channel,)
        The space that was followed.
    stop_ms : float64, axes (channel,)
        End of the first window that is significant and whose next one is too; NaN where there is none.
    half_maximum_ms : float64, axes (channel,)
        When r, interpolated between the ends of windows, last rises through half of its maximum before it reaches
        that; NaN without a ``stop_ms``, and where r never lies below half.
    significant : bool, axes (window, channel)
    """

    channels: ChannelMap
    length_ms: float
    alpha: float
    correction: Correction
    best: NDArray[np.int64] = field(repr=False)
    stop_ms: Array = field(repr=False)
    half_maximum_ms: Array = field(repr=False)
    significant: NDArray[np.bool_] = field(repr=False)

    @property
    def centre_ms(self) -> Array:
        """Middle of the window of ``stop_ms``, float64, axes (channel,)."""
        return self.stop_ms - self.length_ms / 2.0

    @property
    def n_before_onset(self) -> int:
        """Electrodes whose window closes before anything was shown: all of them false."""
        return int((self.stop_ms <= 0.0).sum())

    def to_dict(self, n_resamples: int = N_RESAMPLES, seed: int = 0) -> dict[str, Any]:
        """Return plain data for JSON, with medians per ROI; NaN as None."""
        measures = {name: getattr(self, name) for name in _MEASURES}
        return {
            "alpha": self.alpha,
            "correction": self.correction,
            "best": plain(self.best),
            "significant": plain(self.significant),
            **{name: plain(values) for name, values in measures.items()},
            "n_before_onset": self.n_before_onset,
            "rois": {
                roi: {
                    name: median_interval(values[self.channels.channels_of(roi)], n_resamples, seed)
                    for name, values in measures.items()
                }
                for roi in self.channels.rois()
            },
        }


_MEASURES = ("stop_ms", "centre_ms", "half_maximum_ms")


def latencies(
    time: TimeResolvedScores,
    *,
    best: NDArray[np.integer] | None = None,
    among: NDArray[np.bool_] | None = None,
    alpha: float = 0.05,
    correction: Correction = "bonferroni",
) -> Latencies:
    """Find the latency of each electrode.

    Parameters
    ----------
    time : TimeResolvedScores
    best : int, axes (channel,), optional
        The space to follow, the layer assignment's say; by default the one with the highest r at any window.
    among : bool, axes (channel,), optional
        Electrodes that encode something, the layer assignment's significant ones say; all by default. The others
        have no latency.
    alpha : float
    correction : {'bonferroni', 'fdr', 'none'}
        Over windows. The best of several spaces was chosen, so p is first multiplied by their number.

    Raises
    ------
    ValueError
        There is no such correction.
    """
    if best is None:
        best = time.r.max(axis=1).argmax(axis=0)
    chosen = np.asarray(best, np.int64)
    r, p = (np.take_along_axis(v, chosen[None, None], axis=0)[0] for v in (time.r, time.p))
    if correction != "none":
        p = np.minimum(p * len(time.spaces), 1.0)
    significant = (corrected(p.T, correction).T < alpha) & (r > 0)
    lasting = significant[:-1] & significant[1:]
    found = lasting.any(axis=0)
    if among is not None:
        found &= among
    first = lasting.argmax(axis=0)
    return Latencies(
        channels=time.channels,
        length_ms=time.length_ms,
        alpha=alpha,
        correction=correction,
        best=chosen,
        stop_ms=np.where(found, time.stop_ms[first], np.nan),
        half_maximum_ms=np.where(found, half_maximum(r, time.stop_ms), np.nan),
        significant=significant,
    )


def half_maximum(r: Array, at_ms: Array) -> Array:
    """Return when curves last rise through half of their maximum before it.

    Parameters
    ----------
    r : float64, axes (window, channel)
    at_ms : float64, axes (window,)

    Returns
    -------
    float64, axes (channel,)
        Linear between windows; NaN where the maximum is not above 0, or nothing before it lies below half of it.
    """
    top = r.argmax(axis=0)
    highest = r.max(axis=0)
    before = np.arange(len(r))[:, None] < top
    below = before & (r < highest / 2.0)
    # Of the last one below: the distance from the end.
    k = len(r) - 1 - below[::-1].argmax(axis=0)
    there = below.any(axis=0) & (highest > 0)
    k = np.where(there, k, 0)
    following = np.minimum(k + 1, len(r) - 1)
    low, high = (np.take_along_axis(r, i[None], axis=0)[0] for i in (k, following))
    share = (highest / 2.0 - low) / np.where(there, high - low, 1.0)
    found = at_ms[k] + share * (at_ms[following] - at_ms[k])
    return np.asarray(np.where(there, found, np.nan))


@dataclass(frozen=True, slots=True, eq=False)
class _Median:
    values: Array

    def __call__(self, rows: Rows) -> float:
        return float(np.median(self.values[rows]))


def median_interval(values: Array, n_resamples: int = N_RESAMPLES, seed: int = 0) -> dict[str, Any]:
    """Return a median over electrodes and its 95 % interval, resampling electrodes.

    Parameters
    ----------
    values : float64, axes (channel,)
        NaN does not count.
    n_resamples, seed : int

    Returns
    -------
    dict
        ``n``, ``median``, ``low``, ``high``; None where no electrode has a value. Electrodes are taken for independent,
        which those of an array, with noise in common, are not quite.
    """
    there = values[np.isfinite(values)]
    if not len(there):
        return {"n": 0, "median": None, "low": None, "high": None}
    found = bootstrap(_Median(there), np.arange(len(there)), n_resamples, seed)
    return {
        "n": len(there),
        "median": float(found.value),
        "low": float(found.low),
        "high": float(found.high),
    }
