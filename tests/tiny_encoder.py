"""A small fitted encoder for the tiny bundle's electrodes: two spaces, one of them in dual form."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from b2g_rt.contracts.bundle import Normalisation
from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.contracts.encoder import FittedEncoder
from offline.export.encoder_onnx import NO_SPACE, FittedSpace, predict_responses, write_encoder
from tests.tiny_bundle import CHANNELS, N_STIMULI

N_UNPREDICTED = 3
"""The last electrodes: no space predicts them."""
N_TRAINING = 8
"""The first stimuli: it is said to be fitted to them."""


def tiny_spaces(n_channels: int, n_stimuli: int = N_STIMULI, seed: int = 5) -> list[FittedSpace]:
    """Return a space of features and one of kernel rows, with the inputs of the tiny bundle's stimuli."""
    rng = np.random.default_rng(seed)

    def space(name: str, kind: Literal["features", "kernel"], n_inputs: int) -> FittedSpace:
        return FittedSpace(
            name,
            kind,
            (rng.standard_normal((n_inputs, n_channels)) / np.sqrt(n_inputs)).astype(np.float32),
            rng.standard_normal(n_channels),
            rng.standard_normal((n_stimuli, n_inputs)).astype(np.float32),
            {"network": "made up"},
        )

    return [space("w", "features", 16), space("VGG1", "kernel", 40)]


def tiny_space_of(n_channels: int) -> np.ndarray:
    """Return the space of each electrode, by turns; the last ones have none."""
    space_of = np.arange(n_channels) % 2
    space_of[n_channels - N_UNPREDICTED :] = NO_SPACE
    return space_of


def write_tiny_encoder(
    path: Path,
    *,
    channels: ChannelMap = CHANNELS,
    windows_ms: dict[str, tuple[float, float]] | None = None,
    kind: Literal["frozen", "running"] = "frozen",
    seed: int = 5,
) -> FittedEncoder:
    """Write it and load it."""
    n = channels.n_channels
    write_encoder(
        path,
        tiny_spaces(n, seed=seed),
        tiny_space_of(n),
        name="tiny encoder",
        channels=channels,
        stimulus_ids=[f"face-{i:04d}" for i in range(N_STIMULI)],
        training_ids={f"face-{i:04d}" for i in range(N_TRAINING)},
        normalisation=Normalisation(kind=kind),
        held_out_r=np.linspace(-0.1, 0.8, n),
        noise_ceiling=np.where(np.arange(n) == 0, np.nan, 0.7),
        training={"n_stimuli": 40},
        simulated=True,
        windows_ms=windows_ms,
    )
    return FittedEncoder(path)


def tiny_responses(n_channels: int, seed: int = 5) -> np.ndarray:
    """Return what the tiny encoder predicts, computed in numpy, axes (stimulus, channel)."""
    space_of = tiny_space_of(n_channels)
    responses = predict_responses(tiny_spaces(n_channels, seed=seed), space_of)
    responses[:, space_of == NO_SPACE] = np.nan
    return responses
