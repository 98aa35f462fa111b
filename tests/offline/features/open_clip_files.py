"""Files of weights as open_clip's downloads are: whole models with numbers of a seed, in a cache of Hugging Face."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file


def whole_model(name: str, *, quick_gelu: bool = True, seed: int = 0) -> torch.nn.Module:
    """A model with both towers, every parameter drawn so that it matters."""
    chance = torch.Generator().manual_seed(seed)
    config: Any = open_clip.get_model_config(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = open_clip.CLIP(**(config | {"quick_gelu": quick_gelu}))
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if parameter.ndim > 1:
                scale = (8 if "c_proj" in key else 1.4) / parameter[0].numel() ** 0.5
                parameter.copy_(torch.randn(parameter.shape, generator=chance) * scale)
            elif "bias" in key:
                # As trained networks have it: most activations lie where the two kinds differ, below zero.
                mean = -2.0 if "c_fc" in key else 0.0
                parameter.copy_(mean + torch.randn(parameter.shape, generator=chance) * 0.1)
            else:
                parameter.copy_(1 + 0.1 * torch.randn(parameter.shape, generator=chance))
    return model.eval()


def in_cache(cache: Path, repository: str, name: str) -> Path:
    """Where a cache has a file of a repository; its folders are made."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    commit = "0123456789abcdef0123456789abcdef01234567"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text(commit)
    snapshot = folder / "snapshots" / commit
    snapshot.mkdir(parents=True)
    return snapshot / name


def save_safetensors(model: torch.nn.Module, path: Path) -> Path:
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path)
    return path


class _Published(torch.nn.Module):
    """As OpenAI's archives: the image tower, and numbers beside it."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.visual: torch.nn.Module = model.visual
        self.register_buffer("input_resolution", torch.tensor(32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.visual(x)
        return found


def save_torchscript(model: torch.nn.Module, path: Path, side: int) -> Path:
    with warnings.catch_warnings():
        # torch would rather have other programs; published archives stay what they are.
        warnings.simplefilter("ignore")
        program = torch.jit.trace(_Published(model), torch.zeros(1, 3, side, side))
        torch.jit.save(program, path)
    return path
