"""Image towers of open_clip: the image embedding of CLIP and its relatives as one feature space, CLIP.

What a training needs to be computed rightly (the activation QuickGELU, mean, SD, interpolation, resizing) belongs to
the training's tag, not to where its file lies: it is taken from open_clip's table of tags, whether the weights come
from the library's cache or from a path. open_clip itself takes the activation from the architecture's name, and from a
path knows no tag at all (mlfoundations/open_clip#771, #915, #1068).

The embedding is what ``encode_image`` returns: after the projection, not normalised to length 1. The text tower is
neither built nor read. Nothing is downloaded.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from b2g_rt.errors import FeatureError, SetupError
from offline.features.module_network import ModuleNetwork
from offline.features.preprocessing import Preprocessing
from offline.features.random_weights import fill_randomly, random_provenance, seeded_construction
from offline.features.torchscript import is_torchscript, read_torchscript
from offline.features.torchvision_operators import import_torchvision
from offline.features.weight_files import PublishedFile, WeightFile, hugging_face_file, reason

if TYPE_CHECKING:
    import torch

LAYER = "CLIP"
PAPERS = ("ViT-L-14-336", "openai")
"""Model and tag of the paper's CLIP, named ``clip``."""

_SMALLEST_TEXT_TOWER = {
    "context_length": 4,
    "vocab_size": 4,
    "width": 8,
    "heads": 1,
    "layers": 1,
}
"""open_clip builds an image tower with a text tower only."""


@dataclass(frozen=True, slots=True)
class Training:
    """What a tag says of its training.

    Attributes
    ----------
    model, tag : str
    config : dict
        Of the architecture, as open_clip ships it.
    quick_gelu : bool
        The activation is ``x sigmoid(1.702 x)``.
    mean, sd : tuple of float, axes (rgb,)
        Of pictures 0..1.
    interpolation, resize_mode : str
    file : PublishedFile
        Of the weights, in the cache where open_clip keeps its downloads.
    """

    model: str
    tag: str
    config: Mapping[str, Any] = field(repr=False)
    quick_gelu: bool
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    interpolation: str
    resize_mode: str
    file: PublishedFile = field(repr=False)

    @property
    def name(self) -> str:
        """As the user asks for it."""
        if (self.model, self.tag) == PAPERS:
            return "clip"
        return f"open_clip:{self.model}/{self.tag}"

    @property
    def is_timm(self) -> bool:
        """Whether timm builds the tower."""
        return "timm_model_name" in self.config["vision_cfg"]


def open_clip_network(
    model: str,
    tag: str,
    weights: Path | None = None,
    device: str = "auto",
    random_seed: int | None = None,
) -> ModuleNetwork:
    """Open the image tower of an open_clip model.

    Parameters
    ----------
    model, tag : str
        As open_clip lists them: ViT-L-14-336 and openai for the paper's.
    weights : Path, optional
        Of the whole model or its image tower: safetensors, what torch saved (.pt, .bin), or OpenAI's own TorchScript
        archive; the file, or its folder. By default the file in the library's cache.
    device : str
        auto, cpu or cuda.
    random_seed : int, optional
        Random numbers instead of weights.

    Raises
    ------
    FeatureError
        There is no such model or tag, or weights are missing, broken or another network's.
    ProviderError
        There is no such device.
    SetupError
        open_clip is not installed, or does not work here.
    """
    training = training_of(model, tag)
    if random_seed is not None:
        with seeded_construction(random_seed):
            tower = _built(training).visual
        fill_randomly(tower, random_seed)
        told = random_provenance(random_seed)
    else:
        file = training.file.at_hand(training.name, weights)
        tower = _loaded(training, file)
        told = file.provenance()
    told |= {"entry": f"{training.model}/{training.tag}", "quick_gelu": training.quick_gelu}
    # Captioning models would give the tokens as well.
    tower.output_tokens = False
    return ModuleNetwork(
        training.name,
        tower,
        {LAYER: ""},
        _preprocessing(training, tower),
        told,
        device,
        ("open_clip_torch", "torchvision", *(["timm"] if training.is_timm else [])),
    )


def training_of(model: str, tag: str) -> Training:
    """Look a tag up in open_clip's own table.

    Raises
    ------
    FeatureError
        It is not there.
    SetupError
        open_clip is not installed, or does not work here.
    """
    try:
        import_torchvision()
        import open_clip
    except (ImportError, RuntimeError) as error:
        raise SetupError(
            f"network 'open_clip:{model}/{tag}': open_clip cannot be imported ({reason(error)}), expected the package "
            "open_clip_torch. Run pip install 'b2g-rt[networks]'."
        ) from None
    asked = f"network 'open_clip:{model}/{tag}'"
    config = open_clip.get_model_config(model) if model in open_clip.list_models() else None
    if config is None:
        near = difflib.get_close_matches(model, open_clip.list_models(), 3, 0.3)
        raise FeatureError(
            f"{asked}: open_clip {open_clip.__version__} has no model {model}, expected one of its names, such as "
            f"{', '.join(near or PAPERS[:1])}."
        )
    told = open_clip.get_pretrained_cfg(model, tag)
    if not told:
        tags = open_clip.list_pretrained_tags_by_model(model)
        raise FeatureError(
            f"{asked}: open_clip {open_clip.__version__} has no tag {tag} of {model}, expected "
            f"{'one of ' + ', '.join(tags) if tags else 'a model with weights: it has none of this one'}."
        )
    repository, _, name = str(told["hf_hub"]).rpartition("/")
    # open_clip looks for safetensors first.
    names = (
        [str(Path(name).with_suffix(".safetensors")), name]
        if name
        else ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]
    )
    return Training(
        model=model,
        tag=tag,
        config=config,
        # The names that end in -quickgelu and a few others say it in the architecture.
        quick_gelu=bool(told.get("quick_gelu", False) or config.get("quick_gelu", False)),
        mean=tuple(told["mean"]),
        sd=tuple(told["std"]),
        interpolation=told["interpolation"],
        resize_mode=told["resize_mode"],
        file=_published(
            repository, names, f"open_clip's weights {model}, {tag}", told.get("url", "")
        ),
    )


def _published(repository: str, names: list[str], expected: str, address: str) -> PublishedFile:
    """Return the weights' file in Hugging Face's cache, else where open_clip and OpenAI's own package put downloads."""
    file = hugging_face_file(repository, names, expected)
    older = Path("~/.cache/clip").expanduser() / Path(address).name
    if file.cached is None and address and older.is_file():
        return replace(file, cached=older)
    return file


def _built(training: Training) -> Any:
    import open_clip

    vision = dict(training.config["vision_cfg"])
    if training.is_timm:
        # True would have timm fetch weights of its own.
        vision["timm_model_pretrained"] = False
    return open_clip.CLIP(
        embed_dim=training.config["embed_dim"],
        vision_cfg=vision,
        text_cfg=_SMALLEST_TEXT_TOWER,
        quick_gelu=training.quick_gelu,
    )


def _preprocessing(training: Training, tower: torch.nn.Module) -> Preprocessing:
    import open_clip

    size: Any = tower.image_size
    transform = open_clip.image_transform(
        size,
        is_train=False,
        mean=training.mean,
        std=training.sd,
        resize_mode=training.resize_mode,
        interpolation=training.interpolation,
    )
    told = {
        "input": list(size) if isinstance(size, tuple | list) else [size, size],
        "resize": training.resize_mode,
        "interpolation": training.interpolation,
        "antialias": True,
        "scale": "0..1",
        "order": "rgb",
        "mean": list(training.mean),
        "sd": list(training.sd),
    }
    return Preprocessing(transform, told)


def _loaded(training: Training, file: WeightFile) -> torch.nn.Module:
    """Return the tower with the numbers of a file; those of the text tower are not read."""
    import torch
    from open_clip.convert import convert_state_dict
    from open_clip.model import resize_pos_embed

    state: dict[str, Any] = (
        read_torchscript(file.path) if is_torchscript(file.path) else file.state()
    )
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    # All of its numbers come from the file: none are drawn before. timm computes some that no file holds.
    with seeded_construction(0), torch.device("cpu" if training.is_timm else "meta"):
        built = _built(training)
    with file.one_line():
        state = dict(convert_state_dict(built, state))
        resize_pos_embed(state, built)
    seen = {
        name.removeprefix("visual."): tensor
        for name, tensor in state.items()
        if name.startswith("visual.")
    }
    tower: torch.nn.Module = built.visual
    if not seen:
        raise FeatureError(
            f"network '{training.name}': {file.path}: no tensor of an image tower (visual.), expected "
            f"{file.expected}. Give the file of this network."
        )
    file.fill(tower, seen)
    return tower
