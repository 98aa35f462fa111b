"""Durations of a whole session in constant memory, and of the last moments for the screen."""

from __future__ import annotations

import threading
from collections import deque

import numpy as np

from b2g_rt.contracts.messages import Quantiles

_LOWEST_MS = 1e-3
_STEP = 1.02  # bins are 2 % wide, so a quantile is known to 1 %
_N_BINS = 1200  # up to 1e-3 * 1.02**1200 ms, more than a month


class LatencyMeter:
    """Collects durations; may be read from another thread.

    Quantiles of the session come from logarithmic bins (exact to 1 %), those of the last ``n_recent`` from the values.
    """

    def __init__(self, n_recent: int = 1000) -> None:
        self._bins = np.zeros(_N_BINS, np.int64)
        self._max_ms = 0.0
        self._recent: deque[float] = deque(maxlen=n_recent)
        self._lock = threading.Lock()
        self._log_step = float(np.log(_STEP))

    def add(self, duration_s: float) -> None:
        """Count one duration, seconds; negative ones (a clock still settling) count as 0."""
        ms = max(duration_s * 1000.0, 0.0)
        position = int(np.log(max(ms, _LOWEST_MS) / _LOWEST_MS) / self._log_step)
        with self._lock:
            self._bins[min(position, _N_BINS - 1)] += 1
            self._max_ms = max(self._max_ms, ms)
            self._recent.append(ms)

    def session(self) -> Quantiles | None:
        """Return p50, p99 and maximum of everything, milliseconds; None when there was nothing."""
        with self._lock:
            bins, largest = self._bins.copy(), self._max_ms
        total = int(bins.sum())
        if not total:
            return None
        cumulated = np.cumsum(bins)

        def quantile(share: float) -> float:
            position = int(np.searchsorted(cumulated, share * total))
            return float(min(_LOWEST_MS * _STEP ** (position + 0.5), largest))

        return Quantiles(p50=quantile(0.5), p99=quantile(0.99), max=largest)

    def recent(self) -> Quantiles | None:
        """Return the same of the last ``n_recent``."""
        with self._lock:
            values = np.array(self._recent)
        if not len(values):
            return None
        p50, p99 = np.quantile(values, [0.5, 0.99])
        return Quantiles(p50=float(p50), p99=float(p99), max=float(values.max()))
