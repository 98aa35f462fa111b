"""Where torch computes: the device of a name, and the settings under which the same work gives the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from b2g_rt.errors import ProviderError


def device_named(name: str) -> torch.device:
    """Return the device of a name: cpu, cuda (or cuda:1), auto (cuda where there is one).

    Raises
    ------
    ProviderError
        There is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ProviderError(f"--device {name}: expected auto, cpu or cuda.") from None
    if device.type not in ("cpu", "cuda"):
        raise ProviderError(f"--device {name}: expected auto, cpu or cuda.")
    if device.type == "cuda" and not (device.index or 0) < (n := torch.cuda.device_count()):
        there = "no CUDA device" if n == 0 else f"{n} CUDA devices"
        raise ProviderError(
            f"--device {name}: torch finds {there}, expected it. Give --device cpu, or install the "
            "CUDA build of torch."
        )
    return device


@contextmanager
def reproducible(n_threads: int | None) -> Iterator[None]:
    """Yield with the same algorithms every time, on CUDA with full float32; ``n_threads``: within an operation."""
    tf32, before = torch.backends.cuda.matmul.allow_tf32, torch.get_num_threads()
    cudnn = torch.backends.cudnn
    with cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        try:
            set_reproducible(n_threads)
            yield
        finally:
            torch.backends.cuda.matmul.allow_tf32 = tf32
            torch.set_num_threads(before)


def set_reproducible(n_threads: int | None) -> None:
    """Set what ``reproducible`` does, for good: in the process of a worker, and in a thread that was started before."""
    torch.backends.cuda.matmul.allow_tf32 = False
    cudnn = torch.backends.cudnn
    cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32 = False, True, False
    if n_threads is not None:
        torch.set_num_threads(n_threads)
