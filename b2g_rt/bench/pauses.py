"""The first window after a pause: nothing may have gone to sleep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from b2g_rt.bench.children import Child
from b2g_rt.bench.live_load import stream_sets
from b2g_rt.bench.measured_service import bench_config, running, wait_for
from b2g_rt.contracts.messages import FrameMessage, Message

BURST = 4


def first_after_pause(n_pauses: int, pause_s: float, channels: Path) -> dict[str, Any]:
    """Stream on, markers in bursts of four with pauses between them.

    Returns
    -------
    dict
        ``first_ms`` {median, max} of the first window after each pause, ``steady_ms`` {p50, p99} of all others;
        decode latency: return of the pull to latent.
    """
    first: list[float] = []
    steady: list[float] = []

    def see(message: Message) -> None:
        if not isinstance(message, FrameMessage) or message.stamps.decoded is None:
            return
        latency = 1000 * (message.stamps.decoded - message.stamps.received)
        is_first = (
            message.trial is not None and message.trial % BURST == 0 and message.window_idx == 0
        )
        (first if is_first else steady).append(latency)

    seconds = 3 + (n_pauses + 1) * (BURST * 0.4 + pause_s)
    with (
        Child(
            "b2g_rt.bench.noise_outlet",
            *("--seconds", seconds, "--burst", BURST, "--pause", pause_s),
        ) as outlet,
        running(bench_config(*stream_sets(channels)), see),
    ):
        wait_for(lambda: not outlet.running, seconds + 60)
    # The first burst comes after no pause.
    after, others = np.array(first[1:]), np.array(steady)
    return {
        "n_pauses": len(after),
        "pause_s": pause_s,
        "first_ms": {"median": float(np.median(after)), "max": float(after.max())},
        "steady_ms": {
            "p50": float(np.quantile(others, 0.5)),
            "p99": float(np.quantile(others, 0.99)),
        },
    }
