"""Networks by name: what the command and a Python session ask for.

``vgg16`` and ``vgg-face``, the paper's, with layers VGG1 to VGG5; ``clip``, the paper's ViT-L/14@336;
``open_clip:MODEL/TAG``, ``torchvision:NAME``, ``timm:NAME``, any of these libraries; ``efficientnet-lite0``, a small
network whose weights lie in a package. Weights come from a given file or the library's own cache; nothing is
downloaded. For extraction.py and commands, which know neither torch nor where weights lie.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from b2g_rt.errors import FeatureError, SetupError
from offline.features.network import FeatureNetwork

NETWORKS = ("vgg16", "vgg-face", "clip", "efficientnet-lite0")
LIBRARIES = {
    "open_clip": "open_clip:MODEL/TAG",
    "torchvision": "torchvision:NAME",
    "timm": "timm:NAME",
}


def open_network(
    name: str,
    *,
    weights: Path | None = None,
    device: str = "auto",
    layers: Sequence[str] | None = None,
    paper: bool = False,
    random_seed: int | None = None,
    side: int | None = None,
) -> FeatureNetwork:
    """Open a network whose layers are read.

    Parameters
    ----------
    name : str
        One of ``NETWORKS``, or a library's network as in ``LIBRARIES``.
    weights : Path, optional
        File of weights, or the folder that holds it under its usual name; the library's cache by default.
    device : str
        auto, cpu or cuda.
    layers : sequence of str, optional
        Which of its layers; of networks of torchvision and timm names of modules.
    paper : bool
        VGG-Face as the paper's notebook feeds it: red, green, blue with the means of blue, green, red.
    random_seed : int, optional
        Seeded random weights instead of a file.
    side : int, optional
        Another size of input, pixels.

    Raises
    ------
    FeatureError
        There is no such network or layer, weights are missing or another network's, or options contradict each other.
    ProviderError
        There is no such device.
    SetupError
        The library is not installed.
    """
    if weights is not None and random_seed is not None:
        raise FeatureError(
            f"network '{name}': a file of weights and a seed of random ones, expected one of them. Leave out --weights "
            "or --random-weights."
        )
    if paper and name != "vgg-face":
        raise FeatureError(
            f"network '{name}': the paper's order of colours, expected only with vgg-face. Leave out --paper."
        )
    if layers is not None and not list(layers):
        raise FeatureError(f"network '{name}': no layer is named, expected at least one. Name one.")
    if side is not None and side < 1:
        raise FeatureError(
            f"network '{name}': a side of {side} px, expected at least 1. Give more."
        )
    opener = _opener(name, paper)
    with _installed(name):
        return opener(weights, device, layers, random_seed, side)


Opener = Callable[[Path | None, str, Sequence[str] | None, int | None, int | None], FeatureNetwork]


def _opener(name: str, paper: bool) -> Opener:
    """Return what opens a network; imports only what it needs."""
    library, colon, model = name.partition(":")
    if name == "vgg16":
        from offline.features.vgg16 import open_vgg16

        return open_vgg16
    if name == "vgg-face":
        from offline.features.vgg_face import open_vgg_face

        return lambda weights, device, layers, seed, side: open_vgg_face(
            weights, device, layers, paper, seed, side
        )
    if name == "efficientnet-lite0":
        from offline.features.efficientnet_lite0 import open_efficientnet_lite0

        return open_efficientnet_lite0
    if name == "clip":
        return _clip(name, "ViT-L-14-336", "openai")
    if colon and model and library == "open_clip":
        architecture, _, tag = model.partition("/")
        return _clip(name, architecture, tag)
    if colon and model and library == "torchvision":
        from offline.features.torchvision_models import open_torchvision

        return lambda *options: open_torchvision(model, *options)
    if colon and model and library == "timm":
        from offline.features.timm_models import open_timm

        return lambda *options: open_timm(model, *options)
    known = (*NETWORKS, *LIBRARIES.values())
    near = difflib.get_close_matches(name, known, 1, 0.5)
    raise FeatureError(
        f"network '{name}': unknown, expected one of {', '.join(known)}."
        + (f" Did you mean {near[0]}?" if near else " Name one.")
    )


def _clip(name: str, model: str, tag: str) -> Opener:
    from offline.features.open_clip_models import open_clip_network

    def opened(
        weights: Path | None,
        device: str,
        layers: Sequence[str] | None,
        seed: int | None,
        side: int | None,
    ) -> FeatureNetwork:
        if side is not None:
            raise FeatureError(
                f"network '{name}': another side, expected that of its positions' embedding. Leave out --side."
            )
        network = open_clip_network(model, tag, weights, device, seed)
        network.name = name
        if layers is not None and list(layers) != list(network.layers):
            raise FeatureError(
                f"network '{name}': layers {', '.join(layers)}, expected {', '.join(network.layers)}. Leave them out."
            )
        return network

    return opened


@contextmanager
def _installed(name: str) -> Iterator[None]:
    """Turn a missing library into one line."""
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or str(error)).partition(".")[0]
        raise SetupError(
            f"network '{name}': {library} is not installed, expected it. Run "
            "pip install 'b2g-rt[networks]'."
        ) from None
