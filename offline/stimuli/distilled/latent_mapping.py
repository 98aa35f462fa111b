"""The mapping network of the small generator: ordinary layers whose weights are computed, not trained.

The first layer's leaky ReLUs are the kinks of a broken line that follows each parameter's tanh. The second sums them
up, and the last turns the second one's own kink back: with slope 0.2 and gain sqrt(2),

    sqrt(2) f(-2.5 sqrt(2) f(-w)) = w,    f(x) = max(x, 0.2 x).

Must not know pictures.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from b2g_rt.simulation.latent_space import LatentSpace
from offline.stimuli.distilled.face_latents import GAIN, FaceLatents, bent_sd
from offline.stimuli.distilled.plan import MAPPING_LAYERS
from offline.stimuli.stylegan.mapping import GAIN as LAYER_GAIN
from offline.stimuli.stylegan.mapping import SLOPE, FullyConnected, Mapping

KINKS = (0.0, 0.3, 0.65, 1.05, 1.55, 2.3)
"""Places of the broken line's corners, in SD of a parameter; both signs."""


def bent(parameters: Tensor) -> Tensor:
    """Return face parameters (N, parameter) as the renderer saturates them, within -1..1."""
    return torch.tanh(parameters * torch.from_numpy(GAIN).to(parameters))


def broken_line(gain: float, places: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Fit ``tanh(gain x)``, x standard normal: weights of ``f(x - place)`` and what is added, least squares.

    Parameters
    ----------
    gain : float
    places : float64, (kink,)

    Returns
    -------
    (float64 (kink,), float)
    """
    x = np.linspace(-5, 5, 2001)
    # Rare values count too: far out the line must not run away.
    trust = np.sqrt(np.exp(-x * x / 2) + 0.02)
    kinked = x[:, None] - places
    columns = np.column_stack([np.maximum(kinked, SLOPE * kinked), np.ones_like(x)])
    found = np.linalg.lstsq(columns * trust[:, None], np.tanh(gain * x) * trust, rcond=None)[0]
    return found[:-1], float(found[-1])


@torch.no_grad()
def make_bent(mapping: Mapping, stimuli: LatentSpace, faces: FaceLatents) -> None:
    """Set a mapping's weights and ``w_avg`` such that z gives the face that the stimuli's latent space gives it.

    Parameters
    ----------
    mapping : Mapping
        Of ``MAPPING_LAYERS`` layers, z_dim the components of the latent space; changed.
    stimuli : LatentSpace
    faces : FaceLatents
    """
    places = np.array(sorted({sign * place for place in KINKS for sign in (-1, 1)}))
    n_parameters, n_kinks = len(GAIN), len(places)
    # Plain parameters of z: (parameter, component).
    plain = faces.stimulus_reading @ (stimuli.sd[:, None] * stimuli.basis).T
    layers = [getattr(mapping, f"fc{i}") for i in range(MAPPING_LAYERS)]
    width = layers[0].weight.shape[0]
    first, places_at = np.zeros((width, plain.shape[1])), np.zeros(width)
    summed, added = np.zeros((width, n_parameters)), np.zeros(n_parameters)
    for j in range(n_parameters):
        rows = slice(j * n_kinks, (j + 1) * n_kinks)
        first[rows], places_at[rows] = plain[j], places
        summed[rows, j], added[j] = broken_line(GAIN[j], places)
    _set(layers[0], first, -places_at)
    _set(layers[1], -(summed @ faces.own_drawing).T / LAYER_GAIN, -faces.of_bent(added))
    # Back through both kinks: 1 = LAYER_GAIN * SLOPE * factor * LAYER_GAIN.
    factor = 1.0 / (LAYER_GAIN * LAYER_GAIN * SLOPE)
    _set(layers[2], -factor * np.eye(len(faces.mean)), np.zeros(len(faces.mean)))
    mapping.w_avg.copy_(torch.from_numpy(faces.mean))


def _set(layer: object, weight: NDArray[np.float64], bias: NDArray[np.float64]) -> None:
    assert isinstance(layer, FullyConnected)  # noqa: S101
    layer.weight.copy_(torch.from_numpy(weight / layer.weight_gain))
    layer.bias.copy_(torch.from_numpy(bias / layer.bias_gain))


@torch.no_grad()
def statistics(
    mapping: Mapping, stimuli: LatentSpace, faces: FaceLatents, n: int = 20000
) -> dict[str, float]:
    """Return how far drawn w are from what they should be, for the provenance.

    Parameters
    ----------
    mapping : Mapping
    stimuli : LatentSpace
    faces : FaceLatents
    n : int
        Latents drawn.

    Returns
    -------
    dict
        ``bend_error``: RMS difference of the bent parameters from those of the stimuli's w of the same, normalised z;
        ``bend_error_max``: the largest; ``parameter_sd_min`` and ``_max``: SD of the bent parameters over that wanted;
        ``mean_error``: |mean w - w_avg| over |w - w_avg|.
    """
    z = torch.randn((n, len(stimuli.sd)), generator=torch.Generator().manual_seed(0))
    about = (mapping(z)[:, 0] - mapping.w_avg).double().numpy()  # (N, latent)
    found = about @ faces.reading.T
    length = z.double().square().mean(dim=1, keepdim=True).sqrt()
    w = stimuli.mean + ((z.double() / length).numpy() * stimuli.sd) @ stimuli.basis
    wanted = faces.bent_of_stimuli(w)
    sd = found.std(axis=0) / bent_sd()
    return {
        "bend_error": float(np.sqrt(np.mean((found - wanted) ** 2))),
        "bend_error_max": float(np.abs(found - wanted).max()),
        "parameter_sd_min": float(sd.min()),
        "parameter_sd_max": float(sd.max()),
        "mean_error": float(
            np.linalg.norm(about.mean(axis=0)) / math.sqrt(np.mean(np.sum(about**2, axis=1)))
        ),
    }
