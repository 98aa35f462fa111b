"""The published networks of feature metrics: layers, input size, scaling, and the file that holds their weights.

Numbers only; feature_networks.py opens them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_IMAGENET_MEAN, _IMAGENET_SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
_CLIP_SD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """A published network as a metric uses it.

    Attributes
    ----------
    name : str
    model : str
        As its library calls it.
    modules : tuple of str
        What must be importable besides torchvision, which all of them import; the library that has the network first.
    packages : str
        What pip calls them.
    weights : str
        File name in the folder of weights.
    origin : str
        Whose file that is, for the line that says what is missing.
    side : int
        Shorter side of its input, pixels; pictures are not cropped.
    mean, sd : (float, float, float)
        Taken from and divided out of RGB 0..1; for a distance, which does that itself, 0 and 1.
    layers : dict of layer name to module name
        What is read from it: of vgg16 and alexnet a position in their convolutional part, "" for the output; empty
        for a distance between two pictures.
    """

    name: str
    model: str
    modules: tuple[str, ...]
    packages: str
    weights: str
    origin: str
    side: int
    mean: tuple[float, float, float]
    sd: tuple[float, float, float]
    layers: Mapping[str, str]

    @property
    def preprocessing(self) -> str:
        """One sentence for the report."""
        text = f"RGB 0..1, bilinear with antialiasing to {self.side} px (shorter side), no crop"
        if self.sd == (1.0, 1.0, 1.0):
            return f"{text}; the library's own scaling"
        return f"{text}; minus {list(self.mean)}, divided by {list(self.sd)}"


_ORIGIN = "torchvision's IMAGENET1K_V1 file"
_UNSCALED = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)

NETWORKS: Mapping[str, NetworkSpec] = {
    spec.name: spec
    for spec in (
        # The five pooling outputs, the paper's VGG1 to VGG5.
        NetworkSpec(
            "vgg16",
            "vgg16",
            ("torchvision",),
            "torchvision",
            "vgg16-397923af.pth",
            _ORIGIN,
            224,
            _IMAGENET_MEAN,
            _IMAGENET_SD,
            {f"VGG{i + 1}": str(at) for i, at in enumerate((4, 9, 16, 23, 30))},
        ),
        # Layers and sizes of MindEye (Scotti et al. 2023): AlexNet(2), AlexNet(5), Inception, CLIP.
        NetworkSpec(
            "alexnet",
            "alexnet",
            ("torchvision",),
            "torchvision",
            "alexnet-owt-7be5be79.pth",
            _ORIGIN,
            256,
            _IMAGENET_MEAN,
            _IMAGENET_SD,
            {"AlexNet(2)": "4", "AlexNet(5)": "11"},
        ),
        NetworkSpec(
            "inception",
            "inception_v3",
            ("torchvision",),
            "torchvision",
            "inception_v3_google-0cc3c7bd.pth",
            _ORIGIN,
            342,
            _IMAGENET_MEAN,
            _IMAGENET_SD,
            {"Inception": "avgpool"},
        ),
        NetworkSpec(
            "clip",
            # OpenAI's weights were trained with QuickGELU; the plain name gives other features (users.md, 43).
            "ViT-L-14-quickgelu",
            ("open_clip", "safetensors"),
            "open_clip_torch",
            "clip_vit_l_14_openai.safetensors",
            "open_clip_model.safetensors of timm/vit_large_patch14_clip_224.openai",
            224,
            _CLIP_MEAN,
            _CLIP_SD,
            {"CLIP": ""},
        ),
        NetworkSpec(
            "lpips",
            "alex",
            ("torchmetrics", "torchvision"),
            "torchmetrics torchvision",
            "alexnet-owt-7be5be79.pth",
            _ORIGIN,
            256,
            *_UNSCALED,
            {},
        ),
        NetworkSpec(
            "dists",
            "vgg16",
            ("torchmetrics", "torchvision"),
            "torchmetrics torchvision",
            "vgg16-397923af.pth",
            _ORIGIN,
            256,
            *_UNSCALED,
            {},
        ),
    )
}
