"""Simulated recordings for training and evaluation: one trial per latent, made while they are read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from b2g_rt.simulation.macaque import Macaque
from b2g_rt.simulation.protocol import Protocol
from b2g_rt.simulation.stream import SimulatedStream
from offline.recordings.recording import SimulatedRecording

RATE_HZ = 1000.0
UNIT = "uV"


def simulated_recording(
    macaque: Macaque, w: NDArray[np.float32], noise_seed: int
) -> tuple[SimulatedRecording, NDArray[np.int64]]:
    """Return a recording of one trial per latent, and the onsets (int64, axes (trial,))."""
    stream = SimulatedStream(macaque, w, Protocol(), noise_seed)
    return SimulatedRecording(stream, macaque.channels), stream.onsets
