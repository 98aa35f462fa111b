"""From a picture to a network's input, exactly as each network was trained or as the paper did it.

Every network sees the same part of a picture: its shorter side is resized, then the middle square is cut out. Pictures
that are square, as all of the paper's are, lose nothing. Libraries' own transforms are used where a network has one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from b2g_rt.errors import FeatureError
from offline.features.network import Picture
from offline.features.torchvision_operators import import_torchvision

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

IMAGENET_MEAN, IMAGENET_SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

VGG_FACE_MEAN = (93.5940, 104.7624, 129.1863)
"""Blue, green, red, 0..255: the published network takes pictures in that order."""


@dataclass(frozen=True, slots=True, eq=False)
class Preprocessing:
    """A network's input.

    Attributes
    ----------
    transform : callable
        Takes an RGB picture of PIL, returns float32, axes (rgb, row, col).
    description : dict
        For the provenance: plain data.
    """

    transform: Callable[[Image], torch.Tensor] = field(repr=False)
    description: Mapping[str, Any]

    def batch(self, pictures: Sequence[Picture]) -> torch.Tensor:
        """Return the input for pictures, uint8, axes (row, col, rgb): float32, axes (picture, rgb, row, col)."""
        import torch
        from PIL.Image import fromarray

        return torch.stack([self.transform(fromarray(np.ascontiguousarray(p))) for p in pictures])


def imagenet(side: int = 224) -> Preprocessing:
    """Return what the paper's VGG16 of objects sees: ``Resize(side)`` of torchvision, the usual mean and SD."""
    return scaled(side, IMAGENET_MEAN, IMAGENET_SD)


def scaled(side: int, mean: Sequence[float], sd: Sequence[float]) -> Preprocessing:
    """Return bilinear resizing with antialiasing, and a mean and SD of RGB 0..1."""
    import_torchvision()
    from torchvision.transforms import CenterCrop, Compose, Normalize, Resize, ToTensor

    return Preprocessing(
        Compose([Resize(side), CenterCrop(side), ToTensor(), Normalize(mean, sd)]),
        {
            "resize": side,
            "crop": side,
            "interpolation": "bilinear",
            "antialias": True,
            "scale": "0..1",
            "order": "rgb",
            "mean": list(mean),
            "sd": list(sd),
        },
    )


def vgg_face(side: int = 224, paper: bool = False) -> Preprocessing:
    """Return what VGG-Face sees: Lanczos, 0..255 without scaling, minus the mean of each colour.

    Parameters
    ----------
    side : int
    paper : bool
        As in the paper's notebook, which takes the means of blue, green and red from red, green and blue. The
        published network wants blue first, the default.
    """
    import torch
    from PIL.Image import Resampling

    mean = torch.tensor(VGG_FACE_MEAN)[:, None, None]

    def transform(picture: Image) -> torch.Tensor:
        width, height = (int(side * n / min(picture.size)) for n in picture.size)
        resized = picture.resize((width, height), Resampling.LANCZOS)
        # As torchvision's CenterCrop rounds.
        left, top = round((width - side) / 2), round((height - side) / 2)
        cut = np.asarray(resized.crop((left, top, left + side, top + side)), np.float32)
        colours = cut if paper else cut[..., ::-1]
        return torch.from_numpy(np.ascontiguousarray(colours.transpose(2, 0, 1))) - mean

    return Preprocessing(
        transform,
        {
            "resize": side,
            "crop": side,
            "interpolation": "lanczos",
            "antialias": True,
            "scale": "0..255",
            "order": "rgb" if paper else "bgr",
            "mean": list(VGG_FACE_MEAN),
            "sd": [1.0, 1.0, 1.0],
        },
    )


def torchvision_transforms(transforms: Any, side: int | None, network: str) -> Preprocessing:
    """Return what torchvision's weights come with.

    Parameters
    ----------
    transforms : callable
        ``weights.transforms``: builds their preprocessing.
    side : int, optional
        Another size of input; what is cut off stays the same share.
    network : str
        For the error's line.

    Raises
    ------
    FeatureError
        The network does not take single pictures, or not one tensor of them.
    """
    import_torchvision()
    from torchvision.transforms import CenterCrop, Compose
    from torchvision.transforms._presets import ImageClassification, SemanticSegmentation

    preset = transforms()
    if isinstance(preset, ImageClassification):
        crop, resize = preset.crop_size[0], preset.resize_size[0]
        if side is not None and side != crop:
            crop, resize = side, max(side, round(resize * side / crop))
            preset = transforms(crop_size=crop, resize_size=resize)
        transform: Any = preset
    elif isinstance(preset, SemanticSegmentation):
        # It keeps the whole picture, so that the shape of features would depend on the picture's.
        crop = resize = side or preset.resize_size[0]
        transform = Compose([transforms(resize_size=resize), CenterCrop(crop)])
    else:
        raise FeatureError(
            f"network '{network}': its input is no single picture ({type(preset).__name__}), expected a network that "
            "classifies or segments pictures. Name another."
        )
    return Preprocessing(
        transform,
        {
            "resize": resize,
            "crop": crop,
            "interpolation": preset.interpolation.value,
            "antialias": bool(preset.antialias),
            "scale": "0..1",
            "order": "rgb",
            "mean": list(preset.mean),
            "sd": list(preset.std),
        },
    )


def timm_transforms(model: Any, side: int | None) -> Preprocessing:
    """Return what timm does for one of its models when it is tested.

    Parameters
    ----------
    model : torch.nn.Module
        From ``timm.create_model``.
    side : int, optional
        Another size of input; what is cut off stays the same share.
    """
    import_torchvision()
    from timm.data.config import resolve_data_config
    from timm.data.transforms_factory import create_transform

    config = resolve_data_config(
        {} if side is None else {"input_size": (3, side, side)}, model=model
    )
    _, rows, cols = config["input_size"]
    told = {
        "input": [rows, cols],
        "interpolation": config["interpolation"],
        "crop_share": config["crop_pct"],
        "crop_mode": config["crop_mode"],
        "scale": "0..1",
        "order": "rgb",
        "mean": list(config["mean"]),
        "sd": list(config["std"]),
    }
    return Preprocessing(create_transform(**config), told)
