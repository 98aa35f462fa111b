"""The sample clock of a recording: indices are known, the line is fitted to the stamps as it was live."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from b2g_rt.sources.placed import Placed
from b2g_rt.sources.placer import Placer
from b2g_rt.sources.sample_clock import MAX_BACKWARD_S, MAX_WAIT_S
from b2g_rt.sources.slot_memory import SlotMemory
from b2g_rt.sources.stamp_jitter import StampJitter
from b2g_rt.sources.time_axis import TimeAxis


class RecordedClock:
    """Fits time to given indices; a function of the samples alone, whatever the chunks.

    Parameters
    ----------
    rate_hz : float
        Of the stamps, samples per second of the recording's clock.
    """

    def __init__(self, rate_hz: float) -> None:
        memory = round((MAX_BACKWARD_S + 2 * MAX_WAIT_S) * rate_hz) + 1
        self._axis = TimeAxis(rate_hz, StampJitter(1.0 / rate_hz, None, 0.0))
        self._placer = Placer(self._axis, SlotMemory(memory))
        self._period_s = 1.0 / rate_hz
        self._last_stamp = 0.0
        self._last_index = 0

    @property
    def stop(self) -> int:
        """Index after the newest placed sample."""
        return self._axis.stop

    @property
    def started(self) -> bool:
        """Whether any sample was placed."""
        return self._axis.started

    @property
    def rate_hz(self) -> float:
        """Fitted rate, samples per second of the recording's clock."""
        return 1.0 / self._axis.line.period_s

    def time_of(self, index: float) -> float:
        """Return the fitted time of an index, s; WindowNotReady before the first sample."""
        return self._axis.time_of(index)

    def position_of(self, time_s: float) -> float:
        """Return the fractional index at a time; WindowNotReady before the first sample."""
        return self._axis.position_of(time_s)

    def place(
        self, index: NDArray[np.int64], stamps: NDArray[np.float64], rows: NDArray[np.float32]
    ) -> list[Placed]:
        """Place the next samples of the recording.

        Parameters
        ----------
        index : int64, axes (sample,)
        stamps : float64, axes (sample,)
            Where they jump by more than a second against the index, their clock stepped.
        rows : float32, axes (sample, stream column)
        """
        placed: list[Placed] = []
        if not len(index):
            return placed
        if not self._axis.started:
            self._axis.start(int(index[0]), float(stamps[0]))
            self._last_stamp, self._last_index = float(stamps[0]), int(index[0])
        before_s = np.concatenate([[self._last_stamp], stamps[:-1]])
        before = np.concatenate([[self._last_index], index[:-1]])
        jumps_s = stamps - before_s - (index - before) * self._period_s
        steps = (np.abs(jumps_s) > MAX_BACKWARD_S) & (index > before)
        edges = np.flatnonzero((np.diff(index) != 1) | steps[1:]) + 1
        for a, b in zip([0, *edges], [*edges, len(index)], strict=True):
            step_s = float(jumps_s[a]) if steps[a] else 0.0
            if step_s:
                self._axis.new_piece(int(index[a]), float(stamps[a]))
            self._placer.put(placed, int(index[a]), stamps[a:b], rows[a:b], step_s=step_s)
        self._last_stamp, self._last_index = float(stamps[-1]), int(index[-1])
        return placed
