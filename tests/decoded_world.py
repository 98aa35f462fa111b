"""A small animal with a linear code, in sessions on disk: what every kind of decoder can be fitted on in seconds."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from b2g_rt.contracts.session import (
    GrowingColumn,
    SessionInfo,
    TextColumn,
    write_header,
)
from tests.tiny_bundle import CHANNELS, N_LATENTS, SIZE, generator_onnx

RATE_HZ = 1000.0
FIRST_ONSET, SPACING = 425, 400
NOISE = 30.0
LATENCY_MS = {"V1": 40, "V4": 65, "IT": 90}

_RNG = np.random.default_rng(11)
ENCODING = _RNG.standard_normal((N_LATENTS, CHANNELS.n_channels)) / 2
GENERATOR = generator_onnx(
    (_RNG.standard_normal((N_LATENTS, SIZE * SIZE * 3)) / 4).astype(np.float32)
)


def onsets(n_trials: int) -> np.ndarray:
    """Return the sample of each onset."""
    return FIRST_ONSET + SPACING * np.arange(n_trials)


def draw(prefix: str, n: int, seed: int) -> dict[str, np.ndarray]:
    """Return latents of new stimuli by id; no two seeds share one."""
    w = 1 + np.random.default_rng(seed).standard_normal((n, N_LATENTS))
    return {f"{prefix}-{i:03d}": row for i, row in enumerate(w.astype(np.float32))}


def write(path: Path, stimuli: dict[str, np.ndarray], order: list[str], seed: int) -> Path:
    """Write a session in which the stimuli are shown in this order, without a pause, and change each channel's rate."""
    n_samples = FIRST_ONSET + SPACING * len(order)
    rows = (
        NOISE * np.random.default_rng(seed).standard_normal((n_samples, CHANNELS.n_channels)) + 10
    )
    lag = np.array([LATENCY_MS[roi] for roi in CHANNELS.roi])
    for onset, stimulus in zip(onsets(len(order)), order, strict=True):
        response = (stimuli[stimulus] - 1) @ ENCODING
        for roi_lag in np.unique(lag):
            at = lag == roi_lag
            rows[onset + roi_lag : onset + roi_lag + SPACING, at] += response[at]
    times = 7000.0 + np.arange(n_samples) / RATE_HZ
    with h5py.File(path, "w", libver="latest") as file:
        write_header(file, SessionInfo(RATE_HZ, "uV", CHANNELS, True, 1.0, {}), "2026-01-01")
        mua, markers = file.create_group("mua"), file.create_group("markers")
        GrowingColumn(mua, "data", "f4", (CHANNELS.n_stream_channels,)).append(rows.astype("f4"))
        GrowingColumn(mua, "time_s", "f8").append(times)
        GrowingColumn(mua, "index", "i8").append(np.arange(n_samples))
        GrowingColumn(markers, "time_s", "f8").append(times[onsets(len(order))])
        TextColumn(markers, "text").append([s.encode() for s in order])
        shown = file.create_group("stimuli")
        shown["id"] = np.array([s.encode() for s in stimuli])
        shown["latent"] = np.stack(list(stimuli.values()))
    return path
