"""A stranger's outlet, as a process: random chunks stamped when they are pushed, late markers, a gap, a restart.

Prints one JSON line at the end: what it sent. Column 0 counts the samples of the device, sent or not.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import pylsl

RATE_HZ = 1000.0
N_COLUMNS = 192
GAP = (2.0, 2.3)
RESTART_S = 4.5
RESTART_PAUSE_S = 0.4
END_S = 9.0
MARKERS_S = (0.8, 1.3, 1.95, 2.6, 3.2, 3.8, 6.9, 7.4, 7.9)


class Device:
    """A device that runs from ``start_s`` on and whose outlet may be replaced."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._rng = np.random.default_rng(5)
        self.open()
        self.outlet.wait_for_consumers(20)
        self.start_s = pylsl.local_clock()
        self.counter = 0
        self.n_sent = 0

    def open(self) -> None:
        info = pylsl.StreamInfo(self._name, "MUA", N_COLUMNS, RATE_HZ, pylsl.cf_float32, "stranger")
        self.outlet = pylsl.StreamOutlet(info)

    def now(self) -> float:
        return pylsl.local_clock() - self.start_s

    def step(self) -> None:
        """Wait for the next few samples and push them, unless this is the gap."""
        n = int(self._rng.integers(1, 34))
        while self.now() < (self.counter + n) / RATE_HZ:
            time.sleep(0.0005)
        first, self.counter = self.counter, self.counter + n
        if GAP[0] <= self.counter / RATE_HZ < GAP[1]:
            return
        rows = self._rng.standard_normal((n, N_COLUMNS)).astype(np.float32) * 2 + 10
        rows[:, 0] = np.arange(first, self.counter)
        self.outlet.push_chunk(rows)
        self.n_sent += n


def main(mua: str, markers: str) -> None:
    marker_info = pylsl.StreamInfo(
        markers, "Markers", 1, pylsl.IRREGULAR_RATE, pylsl.cf_string, "stranger-markers"
    )
    marker_outlet = pylsl.StreamOutlet(marker_info)
    device = Device(mua)
    marker_outlet.wait_for_consumers(20)
    late = np.random.default_rng(6).uniform(0, 0.3, len(MARKERS_S))
    waiting = sorted(zip(np.array(MARKERS_S) + late, MARKERS_S, strict=True))
    restarted = False
    while device.now() < END_S:
        device.step()
        while waiting and waiting[0][0] <= device.now():
            onset = waiting.pop(0)[1]
            marker_outlet.push_sample([f"face-{int(onset * 10):04d}"], device.start_s + onset)
        if not restarted and device.now() > RESTART_S:
            restarted = True
            device.outlet = None
            while device.now() < RESTART_S + RESTART_PAUSE_S:
                time.sleep(0.01)
            device.counter = int(device.now() * RATE_HZ)
            device.open()
    time.sleep(0.5)
    sys.stdout.write(json.dumps({"n_sent": device.n_sent, "n_markers": len(MARKERS_S)}) + "\n")
    sys.stdout.flush()
    sys.stdin.readline()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
