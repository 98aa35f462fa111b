"""Where torch draws: the device of a name."""

from __future__ import annotations

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
