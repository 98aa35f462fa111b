"""VGG16 of objects (Simonyan & Zisserman 2014, arXiv 1409.1556), trained on ImageNet: torchvision's.

The five pooling outputs are the paper's VGG1 to VGG5, the first two halved. Only the convolutional part is run, as far
as the last layer that is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from offline.features.halving import halved
from offline.features.module_network import ModuleNetwork, among
from offline.features.preprocessing import imagenet
from offline.features.random_weights import fill_randomly, random_provenance
from offline.features.torchvision_models import published_file
from offline.features.torchvision_operators import import_torchvision

if TYPE_CHECKING:
    import torch

POOLS = {"VGG1": "4", "VGG2": "9", "VGG3": "16", "VGG4": "23", "VGG5": "30"}
"""Their positions in the convolutional part."""

HALVED = ("VGG1", "VGG2")
_PART = "features."


def open_vgg16(
    weights: Path | None = None,
    device: str = "auto",
    layers: Sequence[str] | None = None,
    random_seed: int | None = None,
    side: int | None = None,
) -> ModuleNetwork:
    """Open it; see ``opening.open_network``."""
    import torch

    names = among("vgg16", layers, tuple(POOLS))
    models = import_torchvision().models
    n_run = int(POOLS[names[-1]]) + 1
    with torch.device("meta"):
        model = models.vgg16(weights=None).features[:n_run]
    if random_seed is not None:
        fill_randomly(model, random_seed)
        told = random_provenance(random_seed)
    else:
        file = published_file("vgg16", models.VGG16_Weights.IMAGENET1K_V1, weights)
        file.fill(model, _convolutions(file.state(), n_run))
        told = file.provenance()
    reads = {n: (POOLS[n], halved) if n in HALVED else POOLS[n] for n in names}
    return ModuleNetwork("vgg16", model, reads, imagenet(side or 224), told, device)


def _convolutions(state: Mapping[str, torch.Tensor], n_run: int) -> dict[str, torch.Tensor]:
    """Return the tensors of the first modules of the convolutional part, under its own names."""
    part = {
        name.removeprefix(_PART): tensor for name, tensor in state.items() if name.startswith(_PART)
    }
    return {
        name: tensor
        for name, tensor in part.items()
        if not (at := name.partition(".")[0]).isdigit() or int(at) < n_run
    }
