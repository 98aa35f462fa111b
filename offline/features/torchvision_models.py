"""Any torchvision network that classifies or segments pictures, its layers by the names of its modules.

``torchvision:resnet50`` means the library's default weights, ``torchvision:resnet50/IMAGENET1K_V1`` these.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from b2g_rt.errors import FeatureError
from offline.features.module_network import ModuleNetwork, check_known
from offline.features.preprocessing import torchvision_transforms
from offline.features.random_weights import fill_randomly, random_provenance, seeded_construction
from offline.features.torchvision_operators import import_torchvision
from offline.features.weight_files import WeightFile, torch_hub_file

if TYPE_CHECKING:
    import torch


def open_torchvision(
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
        After "torchvision:".
    layers : sequence of str, optional
        Names of modules; by default the network's outermost ones that give one tensor.
    """
    network = f"torchvision:{model_name}"
    models = import_torchvision().models
    architecture, _, tag = model_name.partition("/")
    known = [name for name in models.list_models() if not name.startswith("quantized_")]
    check_known(network, "torchvision", architecture, known)
    entries = models.get_model_weights(architecture)
    if tag and tag not in entries.__members__:
        raise FeatureError(
            f"network '{network}': no weights '{tag}', expected one of {', '.join(entries.__members__)}. Name one."
        )
    entry = entries[tag] if tag else entries.DEFAULT
    preprocessing = torchvision_transforms(entry.transforms, side, network)
    if random_seed is not None:
        with seeded_construction(random_seed):
            model = _build(architecture, entry, side)
        fill_randomly(model, random_seed)
        told = random_provenance(random_seed)
    else:
        file = published_file(network, entry, weights)
        state = _renamed(file.state(), architecture)
        model = _build(architecture, entry, side, state)
        file.fill(model, state)
        told = {**file.provenance(), "entry": str(entry)}
    names = [name for name, _ in model.named_children()] if layers is None else layers
    return ModuleNetwork(
        network,
        model,
        {name: name for name in names},
        preprocessing,
        told,
        device,
        unfit_left_out=layers is None,
    )


def published_file(network: str, entry: Any, given: Path | None) -> WeightFile:
    """Return the file of an entry of torchvision's tables of weights; see ``PublishedFile.at_hand``."""
    return torch_hub_file(entry.url, f"torchvision's weights {entry}").at_hand(network, given)


def _build(
    architecture: str, entry: Any, side: int | None, state: dict[str, Any] | None = None
) -> torch.nn.Module:
    """Build a network as torchvision does where it loads these weights itself."""
    models = import_torchvision().models
    options: dict[str, Any] = {}
    categories = entry.meta.get("categories")
    if categories:
        options["num_classes"] = len(categories)
    if architecture in ("googlenet", "inception_v3"):
        options |= {"transform_input": True, "init_weights": False}
    if architecture.startswith("vit_"):
        options["image_size"] = side or entry.meta["min_size"][0]
    if architecture.startswith(("deeplab", "fcn", "lraspp")):
        options["weights_backbone"] = None
        if state is not None and not architecture.startswith("lraspp"):
            options["aux_loss"] = any(name.startswith("aux_classifier.") for name in state)
    model: torch.nn.Module = models.get_model(architecture, weights=None, **options)
    return model


def _renamed(state: dict[str, torch.Tensor], architecture: str) -> dict[str, torch.Tensor]:
    """Return tensors under today's names: files of DenseNets have dots that torch no longer allows in them."""
    if not architecture.startswith("densenet"):
        return state
    old = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\.")
    return {old.sub(r"\1\2.", name): tensor for name, tensor in state.items()}
