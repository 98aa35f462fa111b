"""Decoding windows: which are due, and what is in them.

A window is half open, [start, stop), in samples of the sample clock; its place in a trial is given relative to
the onset's sample. Both wings cut with this module, so what is trained is what runs.
Knows nothing of LSL, files, ONNX or Qt: pure functions of samples and indices.
Axes are (sample, channel); channel order is defined in channels.py, losses in samples.py.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ROIS, ChannelMap
from b2g_rt.contracts.samples import SampleStore
from b2g_rt.errors import WindowError

Anchor = Literal["marker", "free"]

STATIC_START_MS = 75.0
"""Where the paper's static ROI windows start after the onset, seen from the window that needs no lag (IT)."""


def onset_index(position: float) -> int:
    """Round a position on the sample clock (samples, may be fractional) to an index, half up."""
    return math.floor(position + 0.5)


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """Length, stride, lag per ROI, and what the windows hang on; all in samples.

    Attributes
    ----------
    rate_hz : float
        Rate of the recorded MUA, samples per second of recorded time.
    length, stride : int
        Samples.
    anchor : {'marker', 'free'}
        ``marker``: ``n_windows`` per onset, the first starting at ``first_start`` (may be negative) samples after
        the onset. ``free``: one window every ``stride`` samples for ever, no marker needed.
    first_start, n_windows : int
        Of marker-anchored windows; ignored when free.
    roi_lag : tuple of (roi, samples)
        The ROI's samples lie this much *before* the window, so a late area can close last. Absent ROIs: 0.

    Raises
    ------
    WindowError
        A length, stride, lag or count that makes no window.
    """

    rate_hz: float
    length: int
    stride: int
    anchor: Anchor
    first_start: int = 0
    n_windows: int = 1
    roi_lag: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        for name, value in (
            ("length", self.length),
            ("stride", self.stride),
            ("n_windows", self.n_windows),
        ):
            if value < 1:
                raise WindowError(f"windows.{name}: {value}, expected at least 1 sample.")
        if not self.rate_hz > 0:
            raise WindowError(f"windows.rate_hz: {self.rate_hz}, expected more than 0 Hz.")
        if self.anchor not in ("marker", "free"):
            raise WindowError(f"windows.anchor: '{self.anchor}', expected marker or free.")
        for roi, lag in self.roi_lag:
            if roi not in ROIS or lag < 0:
                raise WindowError(
                    f"windows.roi_lag.{roi}: {lag}, expected V1, V4 or IT and 0 or more."
                )

    @classmethod
    def from_ms(
        cls,
        *,
        rate_hz: float,
        length_ms: float,
        stride_ms: float,
        anchor: Anchor,
        first_start_ms: float = 0.0,
        n_windows: int = 1,
        roi_lag_ms: dict[str, float] | None = None,
    ) -> WindowSpec:
        """Build from milliseconds.

        Raises
        ------
        WindowError
            A time is not a whole number of samples at ``rate_hz``.
        """

        def samples(name: str, time_ms: float) -> int:
            exact = time_ms * rate_hz / 1000.0
            if abs(exact - round(exact)) > 1e-6:
                raise WindowError(
                    f"windows.{name}: {time_ms} ms is {exact:g} samples at {rate_hz:g} Hz, expected a whole number."
                )
            return round(exact)

        return cls(
            rate_hz=rate_hz,
            length=samples("length_ms", length_ms),
            stride=samples("stride_ms", stride_ms),
            anchor=anchor,
            first_start=samples("first_start_ms", first_start_ms),
            n_windows=n_windows,
            roi_lag=tuple(
                (roi, samples(f"roi_lag_ms.{roi}", lag))
                for roi, lag in sorted((roi_lag_ms or {}).items())
            ),
        )

    def lag_of(self, roi: str) -> int:
        """Return the ROI's lag in samples."""
        return dict(self.roi_lag).get(roi, 0)

    @property
    def max_lag(self) -> int:
        """Largest lag of any ROI, samples."""
        return max((lag for _, lag in self.roi_lag), default=0)

    def start_of(self, window_idx: int) -> int:
        """Return where window k starts, samples after the onset."""
        return self.first_start + window_idx * self.stride

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; ``from_dict`` reads it."""
        return {
            "rate_hz": self.rate_hz,
            "length": self.length,
            "stride": self.stride,
            "anchor": self.anchor,
            "first_start": self.first_start,
            "n_windows": self.n_windows,
            "roi_lag": dict(self.roi_lag),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> WindowSpec:
        """Build from plain data; WindowError names what is wrong."""
        try:
            return cls(**{**data, "roi_lag": tuple(sorted(data.get("roi_lag", {}).items()))})
        except TypeError as error:
            raise WindowError(f"windows: {error}, expected {', '.join(cls.__slots__)}.") from None


def paper_windows(rate_hz: float = 1000.0) -> WindowSpec:
    """Return the paper's nine windows: 100 ms every 25 ms, from -100 to +200 ms around the onset.

    Notes
    -----
    Window k covers samples [-100 + 25 k, 25 k) ms. Source: Brain2GAN, figure 11, doi 10.1371/journal.pcbi.1012058.
    """
    return WindowSpec.from_ms(
        rate_hz=rate_hz,
        length_ms=100,
        stride_ms=25,
        anchor="marker",
        first_start_ms=-100,
        n_windows=9,
    )


def sliding_windows(rate_hz: float = 1000.0) -> WindowSpec:
    """Return the paper's ROI windows slid freely: V1 25-125, V4 50-150, IT 75-175 ms, complete at +175 ms."""
    return WindowSpec.from_ms(
        rate_hz=rate_hz,
        length_ms=100,
        stride_ms=25,
        anchor="free",
        roi_lag_ms={"V1": 50, "V4": 25, "IT": 0},
    )


def begins_anew(spec: WindowSpec, last_start: int, start: int) -> bool:
    """Return whether a free-running decoder forgets between two windows that follow each other, live and offline.

    Parameters
    ----------
    spec : WindowSpec
    last_start, start : int
        Of the last window that was decoded, and of the next one; samples on the sample clock.

    Notes
    -----
    What lies between them was lost. After more than a window's length of it, what was remembered is of the past.
    """
    return start - last_start - spec.stride > spec.length


def static_start(spec: WindowSpec) -> int:
    """Return where the window starts that a ``fixed`` decoder is trained on, samples after the onset."""
    return round(STATIC_START_MS * spec.rate_hz / 1000.0)


@dataclass(frozen=True, slots=True)
class Trial:
    """One stimulus presentation. ``trial`` counts from 0; ``onset_s`` LSL clock; ``onset_idx`` sample clock."""

    trial: int
    stimulus: str
    onset_s: float
    onset_idx: int


@dataclass(frozen=True, slots=True)
class Shown:
    """Which window a trial is scored by: ``start`` is its first sample."""

    trial: Trial
    start: int


@dataclass(frozen=True, slots=True)
class DueWindow:
    """A window whose end has passed, and whose marker has arrived: samples [start, stop).

    ``trial``: that it hangs on; None when free running. ``shows``: trials that can be scored now: of a trial's windows
    by the last one; free running by the first one that starts at or after the static position, which is this window,
    or an earlier one whose marker came late.
    """

    window_idx: int
    start: int
    stop: int
    trial: Trial | None
    late: bool
    shows: tuple[Shown, ...] = ()


class WindowScheduler:
    """Says which windows are due, each exactly once, in the order in which they closed.

    Time is an argument: ``stop`` is the sample clock's newest index plus one, lost samples counted in. Free-running
    windows need no marker; which of them shows a trial is told with the first one that is due after both have come.
    """

    def __init__(self, spec: WindowSpec) -> None:
        self._spec = spec
        self._order = 0
        self._waiting: list[tuple[int, int, DueWindow]] = []
        self._next_free_stop = spec.length + spec.max_lag
        self._to_show: list[Shown] = []

    def add_trial(self, trial: Trial, stop: int) -> None:
        """Register a trial's windows; those that closed at or before ``stop`` will be flagged late."""
        if self._spec.anchor == "free":
            self._to_show.append(Shown(trial, self._static_window(trial.onset_idx)))
            return
        for k in range(self._spec.n_windows):
            start = trial.onset_idx + self._spec.start_of(k)
            end = start + self._spec.length
            shows = (Shown(trial, start),) if k == self._spec.n_windows - 1 else ()
            window = DueWindow(k, start, end, trial, end <= stop, shows)
            heapq.heappush(self._waiting, (end, self._order, window))
            self._order += 1

    def due(self, stop: int) -> list[DueWindow]:
        """Return the windows that end at or before ``stop`` and were not returned yet."""
        windows = []
        while self._waiting and self._waiting[0][0] <= stop:
            windows.append(heapq.heappop(self._waiting)[2])
        if self._spec.anchor == "free":
            while self._next_free_stop <= stop:
                end = self._next_free_stop
                start = end - self._spec.length
                windows.append(DueWindow(0, start, end, None, False, self._shown_by(start)))
                self._next_free_stop += self._spec.stride
        return windows

    def _static_window(self, onset_idx: int) -> int:
        """Return the first start of a free-running window at or after a trial's static position."""
        first, stride = self._spec.max_lag, self._spec.stride
        n = -(-(onset_idx + static_start(self._spec) - first) // stride)
        return first + max(n, 0) * stride

    def _shown_by(self, start: int) -> tuple[Shown, ...]:
        """Return the trials whose free-running window is this one or over, and forget them."""
        ready = tuple(shown for shown in self._to_show if shown.start <= start)
        if ready:
            self._to_show = [shown for shown in self._to_show if shown.start > start]
        return ready

    @property
    def n_waiting(self) -> int:
        """Marker-anchored windows that have not closed yet."""
        return len(self._waiting)


@dataclass(frozen=True, slots=True)
class MissingLimits:
    """How much of a window may be missing before there is no latent; shares, 0 to 1."""

    max_lost_share: float = 0.2
    max_bad_channel_share: float = 0.2


@dataclass(frozen=True, slots=True)
class WindowFeatures:
    """What a decoder sees of one window.

    Attributes
    ----------
    values : float32, axes (channel,), z units, or None
        Mean over the window's samples; bad channels 0. None when too much is missing.
    n_lost : int
        Samples of the hull of all ROI windows that never arrived.
    n_bad_channels : int
        Channels with too few finite samples.
    reason : str
        Why there are no values, else "".
    """

    values: NDArray[np.float32] | None
    n_lost: int
    n_bad_channels: int
    reason: str = ""


class WindowCutter:
    """Cuts windows of one specification from a ring or an array.

    Parameters
    ----------
    spec : WindowSpec
    channels : ChannelMap
        Gives each channel's ROI, hence its lag.
    limits : MissingLimits, optional
    """

    def __init__(
        self, spec: WindowSpec, channels: ChannelMap, limits: MissingLimits | None = None
    ) -> None:
        self._spec = spec
        self._limits = limits or MissingLimits()
        self._n_channels = channels.n_channels
        lags = np.array([spec.lag_of(roi) for roi in channels.roi])
        self._groups = [
            (int(lag), _as_slice(np.flatnonzero(lags == lag))) for lag in np.unique(lags)
        ]
        self._max_lag = int(lags.max())
        self._min_lag = int(lags.min())

    def cut(self, store: SampleStore, start: int) -> WindowFeatures:
        """Average the samples of one window, channel by channel.

        Parameters
        ----------
        store : SampleStore
            Normalised samples, float32, axes (sample, channel).
        start : int
            First sample of the window (lag 0) on the sample clock.

        Returns
        -------
        WindowFeatures

        Raises
        ------
        WindowNotReady
            Its last sample has not arrived.
        WindowOverwritten
            Its first sample has left the store.

        Notes
        -----
        Summed in float64 over a C-ordered copy: the result depends neither on chunk sizes nor on wrap points.
        """
        length = self._spec.length
        hull = store.read(start - self._max_lag, start - self._min_lag + length)
        n_lost = int(np.count_nonzero(hull.lost))
        values = np.empty(self._n_channels, np.float32)
        n_bad = 0
        for lag, columns in self._groups:
            rows = slice(self._max_lag - lag, self._max_lag - lag + length)
            block = np.ascontiguousarray(hull.values[rows, columns])
            if n_lost:
                lost = hull.lost[rows]
                share = float(np.count_nonzero(lost)) / length
                if share > self._limits.max_lost_share:
                    return WindowFeatures(None, n_lost, 0, f"{share:.0%} of its samples lost")
                block = block[~lost]
            values[columns], bad = self._mean(block)
            n_bad += bad
        if n_bad > self._limits.max_bad_channel_share * self._n_channels:
            return WindowFeatures(None, n_lost, n_bad, f"{n_bad} bad channels")
        return WindowFeatures(values, n_lost, n_bad)

    def _mean(self, block: NDArray[np.float32]) -> tuple[NDArray[np.float64], int]:
        mean = np.asarray(block.mean(axis=0, dtype=np.float64))
        if np.isfinite(mean).all():
            return mean, 0
        finite = np.isfinite(block)
        count = finite.sum(axis=0)
        total = np.where(finite, block, np.float32(0)).sum(axis=0, dtype=np.float64)
        needed = (1.0 - self._limits.max_lost_share) * self._spec.length
        good = (count >= needed) & (count > 0)
        mean = np.where(good, total / np.maximum(count, 1), 0.0)
        return mean, int(np.count_nonzero(~good))


def _as_slice(columns: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    if len(columns) and columns[-1] - columns[0] + 1 == len(columns):
        return slice(int(columns[0]), int(columns[-1]) + 1)
    return columns
