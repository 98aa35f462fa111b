"""A process that streams noise like an amplifier: ``python -m b2g_rt.bench.noise_outlet --help``.

Chunks leave when their last sample's time has come and carry that time as their stamp, so "stamp to received" means
what it says. Markers are pushed at their own time. Waits for readers before it starts.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

MAX_SLEEP_S = 0.001


def main() -> None:
    """Stream until the end, or until killed."""
    arguments = _arguments()
    import pylsl

    rate = 1000.0
    info = pylsl.StreamInfo(
        arguments.name, "MUA", arguments.columns, rate, pylsl.cf_float32, f"noise-{arguments.name}"
    )
    outlet = pylsl.StreamOutlet(info, chunk_size=arguments.chunk, max_buffered=60)
    marker_info = pylsl.StreamInfo(
        arguments.markers,
        "Markers",
        1,
        pylsl.IRREGULAR_RATE,
        pylsl.cf_string,
        f"noise-{arguments.markers}",
    )
    marker_outlet = pylsl.StreamOutlet(marker_info)
    deadline = time.monotonic() + 30
    while not outlet.have_consumers() and time.monotonic() < deadline:
        time.sleep(0.01)
    if arguments.readers > 1:
        # LSL tells that there is a reader, not how many: give the others time to connect.
        time.sleep(1.0)
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((1000, arguments.columns), np.float32) * 5 + 12
    start = pylsl.local_clock() + 0.1
    markers = _marker_times(arguments)
    sent = 0
    while sent < arguments.seconds * rate:
        stop = sent + arguments.chunk
        stamp = start + (stop - 1) / rate
        _wait_until(stamp, pylsl.local_clock)
        at = sent % (len(rows) - arguments.chunk)
        outlet.push_chunk(rows[at : at + arguments.chunk], stamp)
        while markers and start + markers[0] <= stamp:
            marker_outlet.push_sample([arguments.stimulus], start + markers.pop(0))
        sent = stop
    time.sleep(arguments.linger)


def _wait_until(when: float, clock: object) -> None:
    assert callable(clock)
    while (left := when - clock()) > 0:
        time.sleep(min(left, MAX_SLEEP_S) if left < 2 * MAX_SLEEP_S else left - MAX_SLEEP_S)


def _marker_times(arguments: argparse.Namespace) -> list[float]:
    if not arguments.burst:
        return []
    times, at = [], 1.0
    while at < arguments.seconds - 1.0:
        times += [at + 0.4 * i for i in range(arguments.burst)]
        at = times[-1] + 0.4 + arguments.pause
    return [t for t in times if t < arguments.seconds - 1.0]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="mua")
    parser.add_argument("--markers", default="stimuli")
    parser.add_argument("--columns", type=int, default=1024)
    parser.add_argument("--chunk", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--burst", type=int, default=0, help="markers in a row, 400 ms apart")
    parser.add_argument("--pause", type=float, default=5.0, help="seconds between bursts")
    parser.add_argument("--stimulus", default="face-0001")
    parser.add_argument("--readers", type=int, default=1)
    parser.add_argument("--linger", type=float, default=1.0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
