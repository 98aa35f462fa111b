"""A device as a process, for killing and freezing: column 0 counts samples from a given moment of the LSL clock.

Started again with the same moment it goes on counting as if it had never been away.
"""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pylsl

RATE_HZ = 1000.0
CHUNK = 10


def main(name: str, n_columns: int, source_id: str, start_s: float) -> None:
    info = pylsl.StreamInfo(name, "MUA", n_columns, RATE_HZ, pylsl.cf_float32, source_id)
    outlet = pylsl.StreamOutlet(info)
    counter = int((pylsl.local_clock() - start_s) * RATE_HZ) + 1
    rows = np.ones((CHUNK, n_columns), np.float32)
    while True:
        last_s = start_s + (counter + CHUNK - 1) / RATE_HZ
        time.sleep(max(0.0, last_s - pylsl.local_clock()))
        rows[:, 0] = np.arange(counter, counter + CHUNK)
        outlet.push_chunk(rows, last_s)
        counter += CHUNK


@contextmanager
def device(name: str, start_s: float, n_columns: int = 8, source_id: str = "rig"):
    """Run the device; yields the process, ends it on leaving."""
    command = [sys.executable, __file__, name, str(n_columns), source_id, repr(start_s)]
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4]))
