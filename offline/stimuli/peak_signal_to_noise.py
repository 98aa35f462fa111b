"""The peak signal-to-noise ratio of pictures, as projection and distillation state it."""

from __future__ import annotations

import torch
from torch import Tensor


def psnr_db(picture: Tensor, target: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio of each picture in dB, (N,): peak 2, as both lie within -1..1.

    Parameters
    ----------
    picture : Tensor, float32, (N, 3, row, col)
        Cut to -1..1 first, as a display would.
    target : Tensor, float32, (N, 3, row, col)
        Within -1..1.
    """
    mse = (picture.clamp(-1.0, 1.0) - target).square().mean(dim=(1, 2, 3))
    return 10.0 * torch.log10(4.0 / mse.clamp_min(1e-12))
