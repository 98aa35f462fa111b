"""The three golden networks: what the original programs gave, and our specification of the same network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from offline.stimuli.stylegan.directory import assembled
from offline.stimuli.stylegan.generator import Generator
from offline.stimuli.stylegan.schedule import Widths, stylegan3, superresolution
from offline.stimuli.stylegan.specification import GeneratorSpec, MappingSpec

GOLDENS = Path(__file__).parents[2] / "goldens"
NAMES = ("sg3t", "sg3r", "sgxl")
IMAGE_TOLERANCE = 5e-5  # of the image's SD; the facts ask for 2e-4


@dataclass(frozen=True, eq=False)
class Golden:
    """One golden file."""

    name: str
    spec: GeneratorSpec
    meta: dict[str, Any]
    tensors: dict[str, Tensor]
    arrays: dict[str, NDArray[Any]]

    @property
    def z(self) -> Tensor:
        return torch.from_numpy(self.arrays["z"])

    @property
    def classes(self) -> Tensor | None:
        classes = self.arrays["classes"]
        return torch.from_numpy(classes) if len(classes) else None

    def error(self, image: Tensor, key: str) -> float:
        """Largest error of an image, in SDs of the golden one."""
        expected = self.arrays[key]
        return float(np.abs(image.numpy() - expected).max() / expected.std())


@cache
def golden(name: str) -> Golden:
    """Load a golden file, once per process."""
    with np.load(GOLDENS / f"{name}_golden.npz") as file:
        arrays = {key: file[key] for key in file.files}
    meta = json.loads(str(arrays.pop("meta")))
    tensors = {
        key.removeprefix("param/"): torch.from_numpy(arrays.pop(key))
        for key in list(arrays)
        if key.startswith("param/")
    }
    return Golden(name, golden_spec(name), meta, tensors, arrays)


@cache
def golden_generator(name: str) -> Generator:
    """The golden network with the golden weights; do not change it."""
    one = golden(name)
    return assembled(one.spec, {k: v.clone() for k, v in one.tensors.items()}, name)


@cache
def golden_drawing(name: str, key: str) -> Tensor:
    """Our pictures of the golden rows of w (``w_psi1.0``, ``w_psi0.7``, ``wplus``), drawn once per process."""
    with torch.no_grad():
        image: Tensor = golden_generator(name).synthesis(torch.from_numpy(golden(name).arrays[key]))
    return image


def golden_spec(name: str) -> GeneratorSpec:
    """The network by our schedule."""
    if name == "sg3t":
        return stylegan3(name, Widths(64, 1024, 32))
    if name == "sg3r":
        return stylegan3(name, Widths(64, 1024, 32, conv_kernel=1, radial=True))
    stem = stylegan3(
        name,
        Widths(16, 1024, 32, n_layers=10, conv_kernel=1, radial=True),
        z_dim=64,
        n_classes=1000,
        mapping=MappingSpec(embedding="table", embedding_size=320),
    )
    head = Widths(64, 512, 32, conv_kernel=1, radial=True)
    return superresolution(stem, head, 7, name)
