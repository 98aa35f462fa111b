"""The recorder at the rig's load: 1024 columns at 1 kHz, windows every 25 ms, real time."""

from __future__ import annotations

import time

import msgspec
import numpy as np
import pytest

from b2g_rt.contracts.channels import brain2gan_channels
from b2g_rt.contracts.messages import raw_image
from b2g_rt.contracts.session import SessionInfo
from b2g_rt.outputs.recorder import Recorder
from tests.rt.outputs import made_messages as made

SECONDS = 6.0


@pytest.mark.live
@pytest.mark.slow
def test_recording_the_rigs_load_costs_a_few_percent_of_a_core(tmp_path, rng, record_property):
    info = SessionInfo(1000.0, "uV", brain2gan_channels(1024), True, 1.0, {})
    rows = rng.standard_normal((10, 1024)).astype(np.float32)
    frame = made.frame(1, n_latents=512, image=False)
    picture = raw_image(np.kron(made.picture(16), np.ones((8, 8, 1), np.uint8)))
    pictured = made.frame(2, n_latents=512)
    pictured = msgspec.structs.replace(pictured, image=picture)
    slowest_s, sample = 0.0, 0
    with Recorder(
        tmp_path / "s.h5", info, 1024, flush_s=0.5, images="jpeg", n_latents=512
    ) as recorder:
        cpu, started = time.process_time(), time.monotonic()
        while sample < SECONDS * 1000:
            time.sleep(max(0.0, started + sample / 1000 - time.monotonic()))
            index = np.arange(sample, sample + 10)
            before = time.perf_counter()
            recorder.samples(rows, index / 1000.0, index)
            slowest_s = max(slowest_s, time.perf_counter() - before)
            if sample % 50 in (0, 20):
                recorder.frame(pictured if sample % 100 else frame)
            sample += 10
        share = (time.process_time() - cpu) / (time.monotonic() - started)
    record_property("share of a core, pacing included", share)
    record_property("slowest hand-over, ms", slowest_s * 1e3)
    assert recorder.n_samples == sample
    assert recorder.n_refused == 0
    assert share < 0.15
