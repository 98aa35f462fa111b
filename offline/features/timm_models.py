"""Any timm network, its layers by the names of its modules: ``timm:resnet18``, ``timm:resnet18.a1_in1k``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from b2g_rt.errors import FeatureError
from offline.features.module_network import ModuleNetwork, check_known
from offline.features.preprocessing import timm_transforms
from offline.features.random_weights import fill_randomly, random_provenance, seeded_construction
from offline.features.torchvision_operators import import_torchvision
from offline.features.weight_files import (
    PublishedFile,
    WeightFile,
    hugging_face_file,
    torch_hub_file,
)

if TYPE_CHECKING:
    import torch


def open_timm(
    model_name: str,
    weights: Path | None = None,
    device: str = "auto",
    layers: Sequence[str] | None = None,
    random_seed: int | None = None,
    side: int | None = None,
) -> ModuleNetwork:
    """Open one; see ``opening.open_network``.

    Parameters
    ----------
    model_name : str
        After "timm:".
    layers : sequence of str, optional
        Names of modules; by default the levels that timm itself lists for it.
    """
    import_torchvision()
    import timm

    network = f"timm:{model_name}"
    architecture, _, tag = model_name.partition(".")
    known = timm.list_models()
    check_known(network, "timm", architecture, known)
    if tag and model_name not in (tags := timm.list_pretrained(f"{architecture}.*")):
        raise FeatureError(
            f"network '{network}': no weights '{tag}', expected one of {', '.join(tags) or 'none'}. Name one."
        )
    config = timm.get_pretrained_cfg(model_name) or timm.models.PretrainedCfg()
    file = (
        None if random_seed is not None else _published(network, config).at_hand(network, weights)
    )
    model = _created(model_name, file, config, side, random_seed)
    if file is None:
        told = random_provenance(random_seed or 0)
    else:
        told = {**file.provenance(), "entry": f"{architecture}.{config.tag}"}
    names = _levels(model) if layers is None else layers
    return ModuleNetwork(
        network,
        model,
        {name: name for name in names},
        timm_transforms(model, side),
        told,
        device,
        ("timm", "torchvision"),
        unfit_left_out=layers is None,
    )


def _published(network: str, config: Any) -> PublishedFile:
    """Return the file that timm itself would download."""
    expected = f"timm's weights {config.architecture}.{config.tag}"
    if config.hf_hub_id:
        names = (
            [config.hf_hub_filename]
            if config.hf_hub_filename
            else ["model.safetensors", "pytorch_model.bin"]
        )
        return hugging_face_file(config.hf_hub_id, names, expected)
    if isinstance(config.url, str) and config.url:
        return torch_hub_file(config.url, expected)
    raise FeatureError(
        f"network '{network}': timm has no weights for it, expected some. Name another, or give --random-weights."
    )


def _created(
    name: str, file: WeightFile | None, config: Any, side: int | None, seed: int | None
) -> torch.nn.Module:
    import timm

    # Others take pictures of any size as they are.
    options: dict[str, Any] = (
        {} if side is None or not config.fixed_input_size else {"img_size": side}
    )
    if file is None:
        with seeded_construction(seed or 0):
            model: torch.nn.Module = timm.create_model(name, pretrained=False, **options)
        fill_randomly(model, seed or 0)
        return model
    with file.one_line():
        # timm's own loader, which knows what to rename, reads this file and no other, as weights only.
        given = {"file": str(file.path), "custom_load": False}
        return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=given, **options)


def _levels(model: torch.nn.Module) -> list[str]:
    """Return the modules that timm lists as a network's levels, or its outermost ones."""
    # Some of the list are names of levels that no single module computes.
    there = {name for name, _ in model.named_modules()}
    listed = dict.fromkeys(level["module"] for level in getattr(model, "feature_info", ()))
    levels = [name for name in listed if name in there]
    return levels or [name for name, _ in model.named_children()]
