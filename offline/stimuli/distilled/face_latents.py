"""The small generator's latents: linear in the bent face parameters, where the stimuli's are linear in the plain ones.

The renderer saturates each of its parameters, ``s = tanh(gain p)``, with p read linearly off the stimuli's w. A network
reads its w linearly too, so here the bend lies between the two: w' = mean + drawing (s / SD of s). Both w have the same
mean; w' varies only in what a face shows. Must not know networks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from offline.stimuli.faces.face_parameters import PARAMETERS

GAIN = np.array([parameter.gain for parameter in PARAMETERS])
"""Slope of each parameter's saturation, (parameter,)."""

_NODES = 80


def bent_sd() -> NDArray[np.float64]:
    """Return the SD of each bent parameter over the stimuli, whose plain one is standard normal, (parameter,)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    square = np.tanh(GAIN[:, None] * nodes) ** 2 @ (weights / weights.sum())
    return np.sqrt(square)


@dataclass(frozen=True, slots=True, eq=False)
class FaceLatents:
    """Both latent spaces of the faces, and the way between them.

    Attributes
    ----------
    mean : float64, axes (latent,)
    stimulus_reading : float64, axes (parameter, latent)
        Plain parameters are ``(stimulus w - mean) @ stimulus_reading.T``.
    """

    mean: NDArray[np.float64]
    stimulus_reading: NDArray[np.float64]

    @property
    def drawing(self) -> NDArray[np.float64]:
        """What a plain parameter adds to a stimulus' w, (parameter, latent): the smallest that is read as it."""
        return np.asarray(np.linalg.pinv(self.stimulus_reading).T, dtype=np.float64)

    @property
    def own_drawing(self) -> NDArray[np.float64]:
        """What a bent parameter adds to w', (parameter, latent)."""
        return self.drawing / bent_sd()[:, None]

    @property
    def reading(self) -> NDArray[np.float64]:
        """Bent parameters are ``(w' - mean) @ reading.T``, (parameter, latent)."""
        return bent_sd()[:, None] * self.stimulus_reading

    def of_bent(self, s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return w' (N, latent) of bent parameters (N, parameter)."""
        return self.mean + s @ self.own_drawing

    def bent_of_stimuli(self, w: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the bent parameters (N, parameter) of the stimuli's w (N, latent)."""
        return np.asarray(np.tanh(GAIN * ((w - self.mean) @ self.stimulus_reading.T)), np.float64)

    def of_stimuli(self, w: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return w' (N, latent) of the stimuli's w (N, latent)."""
        return self.of_bent(self.bent_of_stimuli(w))

    def to_stimuli(self, s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a stimulus' w (N, latent) that shows the bent parameters (N, parameter); all of them within -1..1."""
        return self.mean + (np.arctanh(s) / GAIN) @ self.drawing


def shipped_face_latents() -> FaceLatents:
    """Return those of the shipped simulator's faces."""
    from b2g_rt.simulation.from_record import faces_macaque
    from offline.stimuli.faces.face_reading import face_reading

    macaque = faces_macaque()
    return FaceLatents(macaque.latents.mean, face_reading(macaque).astype(np.float64))
