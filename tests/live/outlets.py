"""Real outlets for tests: MUA with a sample counter in column 0, and markers."""

from __future__ import annotations

import numpy as np
import pylsl

RATE_HZ = 1000.0


class MuaOutlet:
    """Pushes rows with explicit stamps, as a good device does; ``push(n)`` sends the next n samples."""

    def __init__(
        self,
        name: str,
        n_columns: int = 192,
        *,
        rate_hz: float = RATE_HZ,
        source_id: str = "rig",
        start_s: float | None = None,
    ) -> None:
        info = pylsl.StreamInfo(name, "MUA", n_columns, rate_hz, pylsl.cf_float32, source_id)
        self._outlet = pylsl.StreamOutlet(info, chunk_size=10, max_buffered=60)
        self._n_columns = n_columns
        self._rate_hz = rate_hz
        self._rng = np.random.default_rng(1)
        self.sent = 0
        self.start_s = pylsl.local_clock() if start_s is None else start_s

    def wait_for_reader(self, timeout_s: float = 20.0) -> None:
        assert self._outlet.wait_for_consumers(timeout_s)

    def time_of(self, index: int) -> float:
        return self.start_s + index / self._rate_hz

    def rows(self, n: int) -> np.ndarray:
        rows = self._rng.standard_normal((n, self._n_columns)).astype(np.float32) * 2 + 10
        rows[:, 0] = np.arange(self.sent, self.sent + n) % 2**23
        return rows

    def push(self, n: int, rows: np.ndarray | None = None, chunk: int = 10) -> None:
        rows = self.rows(n) if rows is None else rows
        for at in range(0, n, chunk):
            part = rows[at : at + chunk]
            self.sent += len(part)
            self._outlet.push_chunk(part, self.time_of(self.sent - 1))

    def skip(self, n: int) -> None:
        """Let n samples go by without sending them: a gap."""
        self.sent += n

    def close(self) -> None:
        self._outlet = None


class MarkerOutlet:
    """Pushes stimulus ids with the stamp that they are given."""

    def __init__(self, name: str, source_id: str = "rig-markers") -> None:
        info = pylsl.StreamInfo(
            name, "Markers", 1, pylsl.IRREGULAR_RATE, pylsl.cf_string, source_id
        )
        self._outlet = pylsl.StreamOutlet(info)

    def wait_for_reader(self, timeout_s: float = 20.0) -> None:
        assert self._outlet.wait_for_consumers(timeout_s)

    def push(self, stimulus: str, time_s: float) -> None:
        self._outlet.push_sample([stimulus], time_s)

    def close(self) -> None:
        self._outlet = None
