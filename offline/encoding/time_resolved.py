"""Encoding window by window: when each feature space begins to predict each electrode.

The windows are those of decoding. A space's kernel depends on its stimuli alone, so one serves all windows and all
electrodes: a target is a window of an electrode. Knows nothing of recordings: responses come cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.contracts.windows import WindowSpec
from b2g_rt.errors import WindowError
from offline.encoding.scores import plain
from offline.encoding.statistics import Array, n_scored, normalised, pearson, t_test_p
from offline.recordings.features import window_starts


@dataclass(frozen=True, slots=True, eq=False)
class TimeResolvedScores:
    """Scores on held-out stimuli, one per window.

    Attributes
    ----------
    spaces : tuple of str, axes (space,)
        Lowest of the hierarchy first.
    channels : ChannelMap
    windows : WindowSpec
        Anchored to the marker.
    n_test : int
    r : float64, axes (space, window, channel)
        Pearson's r over test stimuli; 0 where prediction or response does not vary.
    p : float64, axes (space, window, channel)
        Two-sided t test of ``r`` against 0, not corrected.
    ceiling : float64, axes (window, channel)
        Noise ceiling of the test responses; NaN where it is not known.
    regularisation : float64, axes (space, window, channel)
    """

    spaces: tuple[str, ...]
    channels: ChannelMap
    windows: WindowSpec
    n_test: int
    r: Array = field(repr=False)
    p: Array = field(repr=False)
    ceiling: Array = field(repr=False)
    regularisation: Array = field(repr=False)

    @property
    def stop_ms(self) -> Array:
        """When each window closes, milliseconds after the onset, float64, axes (window,)."""
        return _milliseconds(window_starts(self.windows) + self.windows.length, self.windows)

    @property
    def centre_ms(self) -> Array:
        """The middle of each window, milliseconds after the onset, float64, axes (window,)."""
        return self.stop_ms - self.length_ms / 2.0

    @property
    def length_ms(self) -> float:
        """How long a window is, milliseconds."""
        return 1000.0 * self.windows.length / self.windows.rate_hz

    @property
    def normalised_r(self) -> Array:
        """``r`` as a share of ``ceiling``; NaN where that is unknown or below .1, axes (space, window, channel)."""
        return normalised(self.r, self.ceiling)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, NaN as None; ``from_dict`` reads it."""
        return {
            "spaces": list(self.spaces),
            "channels": self.channels.to_dict(),
            "windows": self.windows.to_dict(),
            "n_test": self.n_test,
            **{name: plain(getattr(self, name)) for name in _ARRAYS},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TimeResolvedScores:
        """Build from plain data.

        Raises
        ------
        KeyError
            Something is missing; its name is the argument.
        """
        return cls(
            tuple(data["spaces"]),
            ChannelMap.from_dict(data["channels"]),
            WindowSpec.from_dict(data["windows"]),
            int(data["n_test"]),
            **{name: np.array(data[name], np.float64) for name in _ARRAYS},
        )


_ARRAYS = ("r", "p", "ceiling", "regularisation")


def flattened(responses: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return responses, axes (stimulus, window, channel), as targets, axes (stimulus, target); window by window."""
    return responses.reshape(len(responses), -1)


def score_over_time(
    spaces: Sequence[str],
    predicted: Iterable[NDArray[np.floating]],
    observed: NDArray[np.floating],
    channels: ChannelMap,
    windows: WindowSpec,
    regularisation: Iterable[NDArray[np.floating]],
    ceiling: NDArray[np.floating] | None = None,
) -> TimeResolvedScores:
    """Score predictions of test stimuli.

    Parameters
    ----------
    spaces : sequence of str, axes (space,)
    predicted : iterable of float, axes (stimulus, target)
        One per space, taken one after the other: they need not be held together. A target is what ``flattened``
        makes one.
    observed : float, axes (stimulus, window, channel)
        Means over repeats. NaN: a missing response.
    channels : ChannelMap
    windows : WindowSpec
    regularisation : iterable of float, axes (target,)
        One per space.
    ceiling : float, axes (window, channel), optional

    Raises
    ------
    WindowError
        Free windows, or another number of them.
    ValueError
        Shapes that do not fit each other.
    """
    n_stimuli = len(observed)
    shape = (windows.n_windows, channels.n_channels)
    check_windows(windows, observed, channels)
    truth = flattened(observed)
    r, p = [], []
    for found in predicted:
        if found.shape != truth.shape:
            raise ValueError(f"predicted of shape {found.shape}, expected {truth.shape}.")
        r.append(pearson(found, truth))
        p.append(t_test_p(r[-1], n_scored(found, truth)))
    lam = [np.asarray(values, np.float64).reshape(shape) for values in regularisation]
    if not len(r) == len(lam) == len(spaces):
        raise ValueError(f"{len(r)} predictions and {len(lam)} lambdas of {len(spaces)} spaces.")
    if ceiling is None:
        ceiling = np.full(shape, np.nan)
    return TimeResolvedScores(
        spaces=tuple(spaces),
        channels=channels,
        windows=windows,
        n_test=n_stimuli,
        r=np.stack(r).reshape(-1, *shape),
        p=np.stack(p).reshape(-1, *shape),
        ceiling=np.asarray(ceiling, np.float64).reshape(shape),
        regularisation=np.stack(lam),
    )


def check_windows(
    windows: WindowSpec, responses: NDArray[np.floating], channels: ChannelMap
) -> None:
    """Refuse responses, axes (stimulus, window, channel), that are not of these windows and electrodes.

    Raises
    ------
    WindowError
        Free windows, or another number of windows or electrodes.
    """
    if windows.anchor != "marker":
        raise WindowError(
            "time-resolved encoding: free windows, expected windows anchored to the marker: others have no time "
            "after the onset. Take the nine of paper_windows()."
        )
    shape = (windows.n_windows, channels.n_channels)
    if responses.shape[1:] != shape:
        raise WindowError(
            f"time-resolved encoding: responses of {responses.shape[1]} windows and {responses.shape[2]} electrodes, "
            f"expected {shape[0]} and {shape[1]}. Cut them with these windows and this channel map."
        )


def _milliseconds(samples: NDArray[np.int64], windows: WindowSpec) -> Array:
    return np.asarray(samples * (1000.0 / windows.rate_hz))
