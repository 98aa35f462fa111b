"""How well a generator draws what the procedural renderer draws, from latents that no training saw.

For the training's provenance and the tests. Must not know how it was trained.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from offline.stimuli.distilled.face_latents import GAIN, FaceLatents
from offline.stimuli.distilled.losses import sharpness
from offline.stimuli.peak_signal_to_noise import psnr_db

LATENTS_SEED = 77


@dataclass(frozen=True, slots=True)
class Likeness:
    """Pictures of the same faces by two generators, compared.

    Attributes
    ----------
    psi : float
        Truncation of the small generator's w: 1 stimuli, .7 the docs' faces, .5 about as decoded ones.
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


def paired_latents(
    faces: FaceLatents, n: int, psi: float, seed: int = LATENTS_SEED
) -> tuple[Tensor, Tensor]:
    """Draw faces for both generators: w of the small one, truncated by psi, and w of the renderer that shows the same.

    Returns
    -------
    (Tensor, Tensor)
        Each float32, (n, 1, latent).
    """
    plain = np.random.default_rng(seed).standard_normal((n, len(GAIN)))
    s = psi * np.tanh(GAIN * plain)
    return _rows(faces.of_bent(s)), _rows(faces.to_stimuli(s))


def _rows(w: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(w.astype(np.float32)).unsqueeze(1)


@torch.no_grad()
def pictures(synthesis: nn.Module, w: Tensor) -> Tensor:
    """Draw (N, 3, row, col), a few at a time."""
    return torch.cat([synthesis(part) for part in w.split(8)]).clamp(-1, 1)


def likeness(found: Tensor, wanted: Tensor, psi: float) -> Likeness:
    """Compare pictures (N, 3, row, col) of the same faces."""
    each = psnr_db(found, wanted)
    return Likeness(
        psi=psi,
        psnr_db=float(each.mean()),
        psnr_worst_db=float(each.min()),
        sharpness=float((sharpness(found) / sharpness(wanted)).mean()),
        variety=float(found.std(dim=0).mean() / wanted.std(dim=0).mean()),
    )
