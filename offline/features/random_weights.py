"""Seeded random weights: a network of the published form where no file is needed.

Kaiming's scale (He et al. 2015, arXiv 1502.01852): a layer's outputs vary as much as its inputs where rectified ones
follow each other, so that the last layers neither vanish nor overflow.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch


@contextmanager
def seeded_construction(seed: int) -> Iterator[None]:
    """Let a library draw what it draws while it builds a network from a seed, and leave torch's own draws alone."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def fill_randomly(model: torch.nn.Module, seed: int) -> None:
    """Draw the weights of a network.

    Each tensor has a generator of its own, seeded by the network's seed and the tensor's name: the same seed gives the
    same bits whatever else the network has, on any machine. Biases are 0, normalisations leave their input as it is.

    Parameters
    ----------
    model : torch.nn.Module
        Changed in place; weights and biases on "meta" get memory.
    seed : int
    """
    import torch

    with torch.no_grad():
        for path, module in model.named_modules():
            for name, tensor in list(module.named_parameters(recurse=False)):
                drawn = _drawn(f"{path}.{name}".strip("."), name, tensor, seed)
                if drawn is not None:
                    setattr(module, name, torch.nn.Parameter(drawn, requires_grad=False))


def _drawn(path: str, name: str, tensor: Any, seed: int) -> Any:
    """Return new values of a parameter; None where the library's own belong there."""
    import torch

    if name == "bias" or name.endswith("_bias"):
        return torch.zeros(tensor.shape)
    if tensor.ndim < 2:
        # Scales of normalisations and layers, at what the library starts them with.
        return None
    inputs = int(np.prod(tensor.shape[1:]))
    rng = np.random.default_rng([seed, zlib.crc32(path.encode())])
    values = rng.standard_normal(tuple(tensor.shape), np.float32)
    return torch.from_numpy(values * np.float32(np.sqrt(2.0 / inputs)))


def random_provenance(seed: int) -> dict[str, Any]:
    """Return what a network with random weights says of them."""
    return {"random_seed": seed, "initialisation": "kaiming normal, fan in"}
