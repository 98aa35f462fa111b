"""A whole generator: mapping and synthesis, built from a specification."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from offline.stimuli.stylegan.mapping import Mapping
from offline.stimuli.stylegan.specification import GeneratorSpec
from offline.stimuli.stylegan.synthesis import Synthesis


class Generator(nn.Module):
    """StyleGAN3 or StyleGAN-XL.

    Parameters
    ----------
    spec : GeneratorSpec
        Weights are random until some are loaded.
    """

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__()
        self.spec = spec
        self.mapping = Mapping(spec)
        self.synthesis = Synthesis(spec)

    def forward(
        self,
        z: Tensor,
        class_id: Tensor | None = None,
        psi: float | Tensor = 1.0,
        cutoff: int | None = None,
    ) -> Tensor:
        """Draw pictures (N, 3, row, col), float32, nominally within -1..1; see ``Mapping.forward``."""
        image: Tensor = self.synthesis(self.mapping(z, class_id, psi, cutoff))
        return image


def to_uint8(image: Tensor) -> Tensor:
    """Return pictures as bytes: ``clip(x * 127.5 + 128, 0, 255)``, truncated.

    Parameters
    ----------
    image : Tensor, float32, (N, 3, row, col)

    Returns
    -------
    Tensor, uint8, (N, row, col, rgb)
    """
    levels = (image * 127.5 + 128.0).clamp(0, 255).to(torch.uint8)
    return levels.permute(0, 2, 3, 1).contiguous()  # (N, row, col, rgb)
