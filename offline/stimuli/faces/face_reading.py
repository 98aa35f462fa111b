"""How face parameters are read from a macaque's latents: each from dimensions that its ROI is tuned to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from b2g_rt.simulation.macaque import Macaque, parameter_reading
from offline.stimuli.faces.face_parameters import PARAMETERS


def face_reading(macaque: Macaque) -> NDArray[np.float32]:
    """Return how face parameters are read from latents, float32, axes (parameter, latent)."""
    return parameter_reading(macaque, [(p.name, p.roi) for p in PARAMETERS])
