"""How well a generator draws what the procedural renderer draws, from latents that no training saw.

For the training's provenance and the tests. Must not know how it was trained.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from b2g_rt.simulation.latent_space import LatentSpace
from offline.stimuli.distilled.losses import sharpness
from offline.stimuli.peak_signal_to_noise import psnr_db

LATENTS_SEED = 77


@dataclass(frozen=True, slots=True)
class Likeness:
    """Pictures of two generators from the same w, compared.

    Attributes
    ----------
    psi : float
        Truncation of w: 1 stimuli, .7 the docs' faces, .5 about as decoded ones.
    psnr_db, psnr_worst_db : float
        Mean over pictures, and the worst.
    sharpness : float
        Gradient energy over the other generator's, mean over pictures.
    variety : float
        SD across faces over the other generator's, mean over pixels.
    """

    psi: float
    psnr_db: float
    psnr_worst_db: float
    sharpness: float
    variety: float


def latents(space: LatentSpace, n: int, psi: float, seed: int = LATENTS_SEED) -> Tensor:
    """Draw w about the mean, shrunk by psi, (n, 1, latent)."""
    w = space.draw(np.random.default_rng(seed), n)
    mean = space.mean.astype(np.float32)
    shrunk: NDArray[np.float32] = mean + np.float32(psi) * (w - mean)
    return torch.from_numpy(shrunk).unsqueeze(1)


@torch.no_grad()
def pictures(synthesis: nn.Module, w: Tensor) -> Tensor:
    """Draw (N, 3, row, col), a few at a time."""
    return torch.cat([synthesis(part) for part in w.split(8)]).clamp(-1, 1)


def likeness(found: Tensor, wanted: Tensor, psi: float) -> Likeness:
    """Compare pictures (N, 3, row, col) of the same w."""
    each = psnr_db(found, wanted)
    return Likeness(
        psi=psi,
        psnr_db=float(each.mean()),
        psnr_worst_db=float(each.min()),
        sharpness=float((sharpness(found) / sharpness(wanted)).mean()),
        variety=float(found.std(dim=0).mean() / wanted.std(dim=0).mean()),
    )
