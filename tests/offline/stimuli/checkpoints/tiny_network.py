"""A generator of a few kilobytes and its checkpoint, for the many files that tests damage."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from offline.stimuli.stylegan.generator import Generator
from offline.stimuli.stylegan.schedule import Widths, stylegan3
from offline.stimuli.stylegan.specification import GeneratorSpec
from tests.offline.stimuli.checkpoints.official_layout import checkpoint, dumped, network

HOLE = b"@@@HERE@@@"


@cache
def tiny() -> tuple[GeneratorSpec, dict[str, Tensor]]:
    """A network of 16 px, 4 channels and 6 layers."""
    torch.manual_seed(5)
    spec = stylegan3(
        "tiny", Widths(16, 64, 4, n_layers=5, conv_kernel=1, radial=True), z_dim=4, w_dim=4
    )
    return spec, dict(Generator(spec).state_dict())


def tiny_bytes(canary: Path, protocol: int = 4, **changes: Any) -> bytes:
    """The network as a checkpoint."""
    spec, tensors = tiny()
    return dumped(checkpoint(spec, tensors, canary, **changes), protocol)


def with_opcodes(opcodes: bytes, canary: Path, inside: str = "G_ema") -> bytes:
    """Put opcodes that leave one value in the place of a number, in G_ema or in D.

    Protocol 3: it has no frames, whose lengths would be wrong afterwards.
    """
    spec, tensors = tiny()
    content = checkpoint(spec, tensors, canary)
    holder = content[inside]
    holder.state["hole"] = HOLE
    raw = dumped(content, 3)
    filled = raw.replace(b"C" + bytes([len(HOLE)]) + HOLE, opcodes)
    assert filled.count(HOLE) == 0
    assert filled != raw
    return filled


def alone(canary: Path) -> bytes:
    """The generator itself, without a dictionary around it."""
    spec, tensors = tiny()
    return dumped(network(spec, tensors, canary))
