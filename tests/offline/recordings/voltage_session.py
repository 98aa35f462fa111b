"""A small session of voltage at 30 kHz: noise whose strength follows what is shown."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.contracts.session import GrowingColumn, SessionInfo, TextColumn, write_header
from offline.recordings.formats.gaps import GapPolicy
from offline.recordings.formats.reader import ReaderOptions

N_COLUMNS = 64
CHANNELS = ChannelMap(N_COLUMNS, (ArraySlot(0, "V1", 0, dead_electrodes=(4, 40)),))
OPTIONS = ReaderOptions(gaps=GapPolicy("segment"))
START_S = 7000.0
FIRST_INDEX = 17
GAP_AT, GAP = 33_000, 4500


def voltage_session(
    path: Path, *, rate_hz: float = 30_000.0, n: int = 60_000, gap: int = GAP, seed: int = 3
) -> Path:
    """Write two seconds with a gap; four markers, which fall between MUA samples."""
    rng = np.random.default_rng(seed)
    index = FIRST_INDEX + np.arange(n, dtype=np.int64)
    index[GAP_AT:] += gap
    activity = 1.0 + 0.5 * np.sin(2 * np.pi * 4.0 * index / rate_hz)
    rows = rng.standard_normal((n, N_COLUMNS)).astype(np.float32) * activity[:, None] * 10
    places = np.array([0.1, 0.4, 0.8, 0.9]) * n
    write_voltage(
        path,
        rows,
        index,
        ["a", "b", "a", "b"],
        index[places.astype(np.int64)] + np.array([0, 13, 15, 29]),
        rate_hz,
    )
    return path


def write_voltage(
    path: Path,
    rows: np.ndarray,
    index: np.ndarray,
    stimuli: list[str],
    onsets: np.ndarray,
    rate_hz: float = 30_000.0,
    latents: dict[str, np.ndarray] | None = None,
    channels: ChannelMap = CHANNELS,
) -> Path:
    """Write a session whose onset markers lie at ``onsets`` on the sample clock."""
    with h5py.File(path, "w", libver="latest") as file:
        write_header(file, SessionInfo(rate_hz, "uV", channels, True, 1.0, {}), "2026-01-01")
        mua, markers = file.create_group("mua"), file.create_group("markers")
        GrowingColumn(mua, "data", "f4", (rows.shape[1],)).append(rows.astype("f4"))
        GrowingColumn(mua, "time_s", "f8").append(START_S + index / rate_hz)
        GrowingColumn(mua, "index", "i8").append(index)
        GrowingColumn(markers, "time_s", "f8").append(START_S + onsets / rate_hz)
        TextColumn(markers, "text").append([s.encode() for s in stimuli])
        if latents is not None:
            shown = file.create_group("stimuli")
            shown["id"] = np.array([s.encode() for s in latents])
            shown["latent"] = np.stack(list(latents.values()))
    return path
