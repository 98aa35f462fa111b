"""One session decoded three ways gives the same windows and latents, bit for bit on one machine."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from b2g_rt.bench.equality import compare, decoded_by_the_service, decoded_in_one_go
from b2g_rt.bench.measured_service import bench_config
from b2g_rt.contracts.session import (
    GrowingColumn,
    SessionFile,
    SessionInfo,
    TextColumn,
    write_header,
)
from b2g_rt.service.models import load_models
from tests.tiny_bundle import CHANNELS, write_tiny_bundle

pytestmark = [pytest.mark.live, pytest.mark.slow]
N_SAMPLES, N_TRIALS = 4000, 8


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("session") / "session.h5"
    rng = np.random.default_rng(3)
    times = 7000.0 + np.arange(N_SAMPLES) / 1000
    with h5py.File(path, "w", libver="latest") as file:
        write_header(file, SessionInfo(1000.0, "uV", CHANNELS, True, 1.0, {}), "2026-01-01")
        mua, markers = file.create_group("mua"), file.create_group("markers")
        rows = rng.standard_normal((N_SAMPLES, CHANNELS.n_stream_channels)) * 2 + 10
        GrowingColumn(mua, "data", "f4", (CHANNELS.n_stream_channels,)).append(
            rows.astype(np.float32)
        )
        GrowingColumn(mua, "time_s", "f8").append(times)
        GrowingColumn(mua, "index", "i8").append(np.arange(N_SAMPLES))
        # Onsets between two samples too: the nearest is meant.
        onsets = times[400 + 420 * np.arange(N_TRIALS)] + rng.uniform(-0.0004, 0.0004, N_TRIALS)
        GrowingColumn(markers, "time_s", "f8").append(onsets)
        TextColumn(markers, "text").append([f"face-{i:04d}".encode() for i in range(N_TRIALS)])
    return path


@pytest.mark.parametrize("speed", ["1", "max"], ids=["real time", "top speed"])
def test_replayed_through_lsl_it_decodes_as_offline_in_one_go(session, tmp_path, speed):
    bundle = write_tiny_bundle(tmp_path / "tiny")
    sets = (f"bundle={bundle.path}", "outlets.enabled=false")
    with SessionFile(session) as file:
        offline = decoded_in_one_go(file, load_models(bench_config(*sets)))
    assert len(offline) == 9 * N_TRIALS
    replayed = decoded_by_the_service(session, speed, len(offline), 40.0, *sets)
    assert compare(offline, replayed) == {
        "windows": 9 * N_TRIALS,
        "in_one_only": 0,
        "same_samples": 9 * N_TRIALS,
        "bit_identical": 9 * N_TRIALS,
        "largest_difference": 0.0,
    }
