"""How many pictures fit at once, and what is said where they do not.

Counted from specifications: what a backward keeps per picture is 0.6 GiB for a slim network of 128 px, 11 GiB for
StyleGAN3-T's widths at 256 px, and with ``recomputed_layers`` 12 to 15 GiB at 512 px and 13 (T) to 24 GiB (R) at
1024 px.
"""

from __future__ import annotations

import torch

from b2g_rt.errors import GeneratorError
from offline.stimuli.generators import PictureGenerator

_MOST_PICTURES = {
    "cpu": ((128, 4), (256, 2)),
    "cuda": ((128, 8), (512, 2)),
}
"""Per device: up to this resolution, so many pictures; one beyond."""


def default_batch(resolution: int, device: torch.device) -> int:
    """Return the pictures at once for pictures of a size on a device."""
    for most, n in _MOST_PICTURES[device.type]:
        if resolution <= most:
            return n
    return 1


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of the CPU or of the GPU: for the CPU's, torch has no error of its own."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator: " in str(error)


def out_of_memory(generator: PictureGenerator, batch: int) -> GeneratorError:
    """Return the line for a batch that did not fit."""
    size, device = generator.resolution, generator.w_avg.device
    pictures = f"{batch} picture{'s' if batch > 1 else ''} of {size} px"
    found = f"generator {generator.name}: no memory left on {device} with {pictures} at once"
    if batch == 1:
        return GeneratorError(
            f"{found}, expected room for one. Take a device with more memory, or a smaller generator."
        )
    return GeneratorError(
        f"{found}, expected room for them. Give --batch {batch // 2}; the same command goes on."
    )
