"""The peer: an inlet of plain pylsl that does nothing but receive, as a process of its own.

``python -m b2g_rt.bench.bare_receipt --seconds 30`` prints one JSON line: stamp of the last sample to return of the
pull (ms), and the share of a core it took.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np


def main() -> None:
    """Receive for so many seconds of samples, then print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="mua")
    parser.add_argument("--seconds", type=float, default=30.0)
    arguments = parser.parse_args()
    import pylsl
    from pylsl.util import LostError

    (info,) = pylsl.resolve_byprop("name", arguments.name, timeout=20)
    inlet = pylsl.StreamInlet(
        info, max_buflen=60, recover=False, processing_flags=pylsl.proc_clocksync
    )
    inlet.open_stream(timeout=10)
    buffer = np.empty((1000, info.channel_count()), np.float32)
    # The first sample, however long it takes to come, is not measured.
    inlet.pull_chunk(timeout=30, max_samples=1, dest_obj=buffer)
    latencies: list[float] = []
    received = 0
    cpu, wall = time.process_time(), time.monotonic()
    try:
        while received < arguments.seconds * 1000:
            _, first = inlet.pull_chunk(timeout=1.0, max_samples=1, dest_obj=buffer)
            if not first:
                break
            _, rest = inlet.pull_chunk(timeout=0.0, max_samples=999, dest_obj=buffer)
            stamps = rest or first
            latencies.append(pylsl.local_clock() - stamps[-1])
            received += 1 + len(rest)
    except LostError:
        pass
    share = (time.process_time() - cpu) / (time.monotonic() - wall)
    ms = np.array(latencies) * 1000
    quantiles = {"p50": np.quantile(ms, 0.5), "p99": np.quantile(ms, 0.99), "max": ms.max()}
    print(  # noqa: T201  its output is its result
        json.dumps(
            {
                "receipt_ms": {k: float(v) for k, v in quantiles.items()},
                "cpu_share": share,
                "n_samples": received,
            }
        )
    )


if __name__ == "__main__":
    main()
