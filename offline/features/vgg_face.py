"""VGG-Face: VGG16 trained on faces (Parkhi, Vedaldi & Zisserman, Deep Face Recognition, BMVC 2015).

The five pooling outputs are the paper's VGG1 to VGG5, the first two halved. The published network takes blue, green,
red, 0 to 255, minus its training mean; the paper's notebooks subtract that mean from red, green, blue without
swapping, which ``paper`` does. Knows neither files of features nor where pictures come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from b2g_rt.errors import FeatureError
from offline.features import preprocessing
from offline.features.halving import halved
from offline.features.module_network import ModuleNetwork, among
from offline.features.random_weights import fill_randomly, random_provenance
from offline.features.vgg_face_weights import (
    BLOCKS,
    WHERE_TO_GET,
    Numbers,
    read_weights,
    write_safetensors,
)

if TYPE_CHECKING:
    import torch

__all__ = ["LAYERS", "SIDE", "open_vgg_face", "write_safetensors"]

NAME = "vgg-face"
LAYERS = ("VGG1", "VGG2", "VGG3", "VGG4", "VGG5")
SIDE = 224

_HALVED = ("VGG1", "VGG2")
_REDUCTION = 2 ** len(BLOCKS)


def open_vgg_face(
    weights: Path | None = None,
    device: str = "auto",
    layers: Sequence[str] | None = None,
    paper: bool = False,
    random_seed: int | None = None,
    side: int | None = None,
) -> ModuleNetwork:
    """Open VGG-Face.

    Parameters
    ----------
    weights : Path, optional
        ``VGG_FACE.t7``, its folder, or the safetensors that ``write_safetensors`` made of it.
    device : str
        auto, cpu or cuda.
    layers : sequence of str, optional
        Some of VGG1 to VGG5; all by default. What lies behind the last of them is not run.
    paper : bool
        As the paper's notebooks fed it: red, green, blue.
    random_seed : int, optional
        Random numbers instead of ``weights``.
    side : int, optional
        Of the input in pixels, 224 by default; a multiple of 32.

    Raises
    ------
    FeatureError
        Weights are missing or another network's; a layer or side it does not have.
    ProviderError
        There is no such device.
    """
    names = among(NAME, layers, LAYERS)
    if not names:
        raise FeatureError(
            f"network '{NAME}': no layer is named, expected some of {', '.join(LAYERS)}. Name those."
        )
    side = SIDE if side is None else side
    if side < _REDUCTION or side % _REDUCTION:
        # The original rounds up where a pooling does not fit; here all of them fit.
        raise FeatureError(
            f"network '{NAME}': a side of {side} px, expected a multiple of {_REDUCTION}, as {SIDE} is."
        )
    if weights is not None and random_seed is not None:
        raise FeatureError(
            f"network '{NAME}': a file of weights and a seed of random ones, expected one of them."
        )
    model = _blocks(LAYERS.index(names[-1]) + 1)
    told: dict[str, Any]
    if random_seed is not None:
        fill_randomly(model, random_seed)
        told = random_provenance(random_seed)
    elif weights is not None:
        numbers, told = read_weights(weights)
        _fill(model, numbers)
    else:
        raise FeatureError(
            f"network '{NAME}': no weights, expected their file. {WHERE_TO_GET}: give it with --weights."
        )
    reads = {
        name: (_pooling(name), halved) if name in _HALVED else _pooling(name) for name in names
    }
    return ModuleNetwork(NAME, model, reads, preprocessing.vgg_face(side, paper), told, device, ())


def _pooling(layer: str) -> str:
    return f"pool{LAYERS.index(layer) + 1}"


def _blocks(n: int) -> torch.nn.Sequential:
    """Return the first blocks, without numbers; modules are called as in the paper: conv1_1, pool1."""
    from collections import OrderedDict

    from torch import nn

    modules: OrderedDict[str, nn.Module] = OrderedDict()
    n_in = 3
    for block, outputs in enumerate(BLOCKS[:n], 1):
        for position, n_out in enumerate(outputs, 1):
            name = f"{block}_{position}"
            modules[f"conv{name}"] = nn.Conv2d(n_in, n_out, 3, padding=1, device="meta")
            modules[f"relu{name}"] = nn.ReLU(inplace=True)
            n_in = n_out
        modules[f"pool{block}"] = nn.MaxPool2d(2)
    return nn.Sequential(modules)


def _fill(model: torch.nn.Sequential, numbers: Numbers) -> None:
    import torch

    state = {name: torch.from_numpy(numbers[name]) for name in model.state_dict()}
    model.load_state_dict(state, assign=True)
