"""The mapping network of the small generator: an ordinary one of two layers that reproduces the stimuli's w exactly.

The simulated stimuli's latents are linear in z: ``w = mean + (z * sd) @ basis``. Two layers with leaky ReLUs of slope
0.2 and gain sqrt(2) can be linear: the second turns the first one's kink back,

    sqrt(2) f(-2.5 sqrt(2) f(-w)) = w,    f(x) = max(x, 0.2 x),

so nothing has to be trained. Only z's normalisation remains: |w - mean| varies less than for a z of any length.
Must not know pictures.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from b2g_rt.simulation.latent_space import LatentSpace
from offline.stimuli.stylegan.mapping import GAIN, SLOPE, FullyConnected, Mapping


@torch.no_grad()
def make_linear(mapping: Mapping, latents: LatentSpace) -> None:
    """Set a mapping's weights and ``w_avg`` such that w is linear in the normalised z.

    Parameters
    ----------
    mapping : Mapping
        Two layers, z_dim and w_dim those of the latent space; changed.
    latents : LatentSpace
    """
    basis = torch.from_numpy(latents.sd[:, None] * latents.basis)  # (z, latent)
    mean = torch.from_numpy(latents.mean)
    first, second = mapping.fc0, mapping.fc1
    _set(first, -basis.t(), -mean)
    # Back through both kinks: 1 = GAIN * SLOPE * factor * GAIN.
    factor = 1.0 / (GAIN * GAIN * SLOPE)
    _set(second, -factor * torch.eye(len(mean), dtype=torch.float64), torch.zeros_like(mean))
    mapping.w_avg.copy_(mean)


def _set(layer: object, weight: Tensor, bias: Tensor) -> None:
    assert isinstance(layer, FullyConnected)  # noqa: S101
    layer.weight.copy_(weight / layer.weight_gain)
    layer.bias.copy_(bias / layer.bias_gain)


@torch.no_grad()
def statistics(
    mapping: Mapping, latents: LatentSpace, reading: Tensor, n: int = 20000
) -> dict[str, float]:
    """Return how far drawn w are from the latent space's, for the provenance.

    Parameters
    ----------
    mapping : Mapping
    latents : LatentSpace
    reading : Tensor, float32, (parameter, latent)
    n : int
        Latents drawn.

    Returns
    -------
    dict
        ``linear_error``: largest |w - (mean + (z' * sd) @ basis)| over the SD of w, z' being z normalised;
        ``parameter_sd_min`` and ``_max``: of the face parameters, 1 over the stimuli;
        ``parameter_correlation_max``: between two of them; ``mean_error``: |mean w - w_avg| over |w - w_avg|.
    """
    z = torch.randn((n, len(latents.sd)), generator=torch.Generator().manual_seed(0))
    w = mapping(z)[:, 0].double()  # (N, latent)
    length = z.double().square().mean(dim=1, keepdim=True).sqrt()
    scaled = z.double() / length * torch.from_numpy(latents.sd)
    linear = torch.from_numpy(latents.mean) + scaled @ torch.from_numpy(latents.basis)
    about = w - mapping.w_avg.double()
    parameters = about @ reading.double().t()
    sd = parameters.std(dim=0)
    correlations = torch.corrcoef(parameters.t()) - torch.eye(len(sd))
    return {
        "linear_error": float((w - linear).abs().max() / w.std()),
        "parameter_sd_min": float(sd.min()),
        "parameter_sd_max": float(sd.max()),
        "parameter_correlation_max": float(correlations.abs().max()),
        "mean_error": float(
            about.mean(dim=0).norm() / math.sqrt(float(about.square().sum(1).mean()))
        ),
    }
