"""What single parts cost at the rig's load: sample clock and recorder, each by itself."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from b2g_rt.bench.measured_service import Meter
from b2g_rt.contracts.channels import brain2gan_channels
from b2g_rt.contracts.session import SessionInfo
from b2g_rt.outputs.recorder import Recorder
from b2g_rt.sources.sample_clock import SampleClock

N_COLUMNS = 1024
RATE_HZ = 1000.0
CHUNK = 10
CLOCK_SAMPLES = 200_000


def component_load(seconds: float) -> dict[str, Any]:
    """Measure at 1024 columns, 1 kHz, 10-sample chunks.

    Returns
    -------
    dict
        ``clock_cpu_share`` of one core; ``recorder_cpu_share``, with ``recorder_hand_over_ms`` {p50, max} (what the
        ingest stage waits) and ``recorder_refused`` samples. The recorder writes to the temporary folder, in real time.
    """
    return {"clock_cpu_share": _clock_share(), **_recorder(seconds)}


def _clock_share() -> float:
    rows = np.zeros((CHUNK, 8), np.float32)
    stamps = 1000.0 + np.arange(CLOCK_SAMPLES) / RATE_HZ
    clock = SampleClock(RATE_HZ)
    started = time.process_time()
    for at in range(0, len(stamps), CHUNK):
        clock.push(stamps[at : at + CHUNK], rows)
    return (time.process_time() - started) / (CLOCK_SAMPLES / RATE_HZ)


def _recorder(seconds: float) -> dict[str, Any]:
    info = SessionInfo(RATE_HZ, "uV", brain2gan_channels(N_COLUMNS), True, 1.0, {})
    rows = np.random.default_rng(1).standard_normal((CHUNK, N_COLUMNS)).astype(np.float32)
    hand_over, meter = [], Meter()
    with (
        tempfile.TemporaryDirectory(prefix="b2g-bench-") as folder,
        Recorder(
            Path(folder) / "session.h5", info, N_COLUMNS, flush_s=0.5, images="none"
        ) as recorder,
    ):
        meter.start()
        started = time.monotonic()
        for sample in range(0, int(seconds * RATE_HZ), CHUNK):
            time.sleep(max(0.0, started + sample / RATE_HZ - time.monotonic()))
            index = np.arange(sample, sample + CHUNK)
            begun = time.perf_counter()
            recorder.samples(rows, index / RATE_HZ, index)
            hand_over.append(time.perf_counter() - begun)
        share = meter.stop()
    ms = 1000 * np.array(hand_over)
    return {
        "recorder_cpu_share": share,
        "recorder_hand_over_ms": {"p50": float(np.median(ms)), "max": float(ms.max())},
        "recorder_refused": recorder.n_refused,
    }
