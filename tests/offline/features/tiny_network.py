"""A real torch network of two layers, small enough to be opened again and again; can be told to stop on the way."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from offline.features.network import Picture

LAYERS = ("conv1", "conv2", "fc")
SIDE = 16


class TinyNetwork:
    """Convolutions with seeded weights; layers (4, 8, 8), (6, 4, 4) and (10,)."""

    name = "tiny"

    def __init__(self, seed: int = 0, version: str = "1") -> None:
        chance = torch.Generator().manual_seed(seed)
        self.layers: tuple[str, ...] = LAYERS
        self._one = torch.randn(4, 3, 3, 3, generator=chance)
        self._two = torch.randn(6, 4, 3, 3, generator=chance)
        self._full = torch.randn(10, 96, generator=chance)
        self._provenance = {"weights": {"seed": seed}, "versions": {"tiny": version}}

    @property
    def provenance(self) -> Mapping[str, Any]:
        return self._provenance

    def shape(self, layer: str) -> tuple[int, ...]:
        return {"conv1": (4, 8, 8), "conv2": (6, 4, 4), "fc": (10,)}[layer]

    def features(self, pictures: Sequence[Picture]) -> dict[str, NDArray[np.float32]]:
        with torch.inference_mode():
            batch = torch.stack([_input(picture) for picture in pictures])
            one = functional.max_pool2d(functional.conv2d(batch, self._one, padding=1).relu(), 2)
            two = functional.max_pool2d(functional.conv2d(one, self._two, padding=1).relu(), 2)
            full = two.flatten(1) @ self._full.T
        return {k: v.flatten(1).numpy() for k, v in zip(LAYERS, (one, two, full), strict=True)}


class StoppingNetwork(TinyNetwork):
    """Says so at a batch, and waits for a line, or the end, of its standard input before it goes on."""

    def __init__(self, after: int, seed: int = 0) -> None:
        super().__init__(seed)
        self._left = after

    def features(self, pictures: Sequence[Picture]) -> dict[str, NDArray[np.float32]]:
        if self._left == 0:
            sys.stdout.write("stopped\n")
            sys.stdout.flush()
            sys.stdin.readline()
        self._left -= 1
        return super().features(pictures)


class OpeningsNoted(TinyNetwork):
    """Leaves a file in a folder for each time it is opened."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        (Path(folder) / f"{os.getpid()}-{uuid.uuid4().hex}").touch()


def _input(picture: Picture) -> torch.Tensor:
    values = torch.from_numpy(picture.astype(np.float32)).permute(2, 0, 1) / 255
    return functional.interpolate(values[None], (SIDE, SIDE), mode="area")[0]
