"""Write checkpoints in the official layout with Python's own pickler, from any specification and its tensors.

The classes that the originals' files name are stood in for while the pickler runs; the source text beside each
module would create a file (the canary) if anything executed it.
"""

from __future__ import annotations

import collections
import contextlib
import math
import pickle
import sys
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from offline.stimuli.stylegan.specification import GeneratorSpec, LayerSpec

VERSION = 6


def _reconstruct_persistent_obj(meta: Any) -> Any:
    raise AssertionError("executed")


class EasyDict(dict):
    """Stands in for the originals' dictionary."""


class Persistent:
    """A module as the originals pickle it."""

    def __init__(self, class_name: str, state: dict[str, Any], source: str) -> None:
        self.class_name, self.state, self.source = class_name, state, source

    def __reduce__(self) -> Any:
        meta = EasyDict(
            type="class",
            version=VERSION,
            module_src=self.source,
            class_name=self.class_name,
            state=self.state,
        )
        return _reconstruct_persistent_obj, (meta,)


def source_text(canary: Path) -> str:
    """Source that leaves a trace when it is executed; as long as a real one, so that it stays in the file."""
    return f"open({str(canary)!r}, 'w').write('executed')\n" + "# padding\n" * 2000


@contextlib.contextmanager
def stand_ins(foreign: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Make the originals' modules importable while something is pickled; ``foreign``: module name -> class."""
    made: dict[str, types.ModuleType] = {}

    def module(name: str) -> types.ModuleType:
        parts = name.split(".")
        for i in range(1, len(parts) + 1):
            path = ".".join(parts[:i])
            if path not in made:
                made[path] = types.ModuleType(path)
        return made[name]

    _reconstruct_persistent_obj.__module__ = "torch_utils.persistence"
    module("torch_utils.persistence").__dict__["_reconstruct_persistent_obj"] = (
        _reconstruct_persistent_obj
    )
    EasyDict.__module__ = "dnnlib.util"
    module("dnnlib.util").__dict__["EasyDict"] = EasyDict
    for name, cls in (foreign or {}).items():
        cls.__module__ = name
        cls.__qualname__ = cls.__name__
        module(name).__dict__[cls.__name__] = cls
    # Another test may have imported the real one (timm).
    real = {name: sys.modules[name] for name in made if name in sys.modules}
    sys.modules.update(made)
    try:
        yield
    finally:
        for name in made:
            del sys.modules[name]
        sys.modules.update(real)


def dumped(content: Any, protocol: int = 4, foreign: Mapping[str, Any] | None = None) -> bytes:
    """Pickle with the stand-ins in place."""
    with stand_ins(foreign):
        return pickle.dumps(content, protocol=protocol)


def checkpoint(
    spec: GeneratorSpec, tensors: Mapping[str, Tensor], canary: Path, **changes: Any
) -> dict[str, Any]:
    """A snapshot's dictionary: G, D, G_ema and what else the originals store."""
    return {
        "training_set_kwargs": EasyDict(class_name="training.dataset.ImageFolderDataset"),
        "G": network(spec, tensors, canary),
        "D": discriminator(canary),
        "G_ema": network(spec, tensors, canary, **changes),
        "augment_pipe": None,
    }


def discriminator(canary: Path) -> Persistent:
    """Some other network of the originals, not a generator."""
    state = _module_state({"weight": torch.randn(3, 4)}, {"c_dim": 0, "img_resolution": 64})
    return Persistent("Discriminator", state, source_text(canary))


def network(
    spec: GeneratorSpec, tensors: Mapping[str, Tensor], canary: Path, **changes: Any
) -> Persistent:
    """A generator in the originals' layout.

    ``changes``: numbers of the generator's own state that are set or replaced; ``modules``: a function that gets
    (name, class name, state) of every module and may change the state.
    """
    hook = changes.pop("modules", None)
    source = source_text(canary)

    def persistent(name: str, class_name: str, state: dict[str, Any]) -> Persistent:
        if hook is not None:
            hook(name, class_name, state)
        return Persistent(class_name, state, source)

    def connected(name: str, lr_multiplier: float = 1.0, activation: str = "linear") -> Persistent:
        own = _own(tensors, name)
        n_out, n_in = own["weight"].shape
        numbers = {
            "in_features": n_in,
            "out_features": n_out,
            "activation": activation,
            "weight_gain": np.float64(lr_multiplier / math.sqrt(n_in)),
            "bias_gain": lr_multiplier,
        }
        return persistent(name, "FullyConnectedLayer", _module_state(own, numbers))

    layers = collections.OrderedDict()
    for layer in spec.layers:
        name = f"synthesis.{layer.name}"
        state = _module_state(_own(tensors, name), _layer_numbers(layer, spec.w_dim))
        state["_modules"]["affine"] = connected(f"{name}.affine")
        layers[layer.name] = persistent(name, "SynthesisLayer", state)

    given = _module_state(
        _own(tensors, "synthesis.input"),
        {
            "w_dim": spec.w_dim,
            "channels": spec.input.channels,
            "size": np.broadcast_to(np.asarray(spec.input.size), [2]),
            "sampling_rate": spec.input.sampling_rate,
            "bandwidth": np.float64(spec.input.bandwidth),
        },
    )
    given["_modules"]["affine"] = connected("synthesis.input.affine")
    synthesis = _module_state(
        {},
        {
            "w_dim": spec.w_dim,
            "num_ws": spec.num_ws,
            "img_resolution": spec.resolution,
            "img_channels": 3,
            "output_scale": spec.output_scale,
            "layer_names": [layer.name for layer in spec.layers],
            "margin_size": 10,
            "num_fp16_res": 4,
        },
    )
    synthesis["_modules"]["input"] = persistent("synthesis.input", "SynthesisInput", given)
    synthesis["_modules"].update(layers)

    mapping = _module_state(
        _own(tensors, "mapping"),
        {
            "z_dim": spec.z_dim,
            "c_dim": spec.n_classes,
            "w_dim": spec.w_dim,
            "num_ws": spec.num_ws,
            "num_layers": spec.mapping.n_layers,
            "w_avg_beta": 0.998,
        },
    )
    if spec.mapping.embedding == "table":
        embed = torch.nn.Embedding(spec.n_classes, spec.mapping.embedding_size)
        embed.weight = torch.nn.Parameter(tensors["mapping.embed.weight"].clone())
        mapping["_modules"]["embed"] = embed
        mapping["_modules"]["embed_proj"] = connected("mapping.embed_proj", 1.0, "lrelu")
    elif spec.mapping.embedding == "linear":
        mapping["_modules"]["embed"] = connected("mapping.embed")
    for i in range(spec.mapping.n_layers):
        mapping["_modules"][f"fc{i}"] = connected(
            f"mapping.fc{i}", spec.mapping.lr_multiplier, "lrelu"
        )

    own: dict[str, Any] = {
        "_init_args": (),
        "_init_kwargs": EasyDict(
            z_dim=spec.z_dim, mapping_kwargs=EasyDict(num_layers=spec.mapping.n_layers)
        ),
        "z_dim": spec.z_dim,
        "c_dim": spec.n_classes,
        "w_dim": spec.w_dim,
        "img_resolution": spec.resolution,
        "img_channels": 3,
        "num_ws": spec.num_ws,
    }
    state = _module_state({}, {**own, **changes})
    state["_modules"]["synthesis"] = persistent("synthesis", "SynthesisNetwork", synthesis)
    state["_modules"]["mapping"] = persistent("mapping", "MappingNetwork", mapping)
    is_head = spec.mapping.embedding == "table"
    return persistent("", "SuperresGenerator" if is_head else "Generator", state)


_PARAMETERS = ("weight", "bias")


def _own(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors of one module, without those of the modules below it."""
    prefix = f"{name}."
    return {
        key.removeprefix(prefix): value
        for key, value in tensors.items()
        if key.startswith(prefix) and "." not in key.removeprefix(prefix)
    }


def _module_state(own: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> dict[str, Any]:
    """The ``__dict__`` of a torch module of 2021 to 2023."""
    ordered = collections.OrderedDict
    return {
        "training": False,
        "_parameters": ordered(
            (k, torch.nn.Parameter(v.clone(), requires_grad=False))
            for k, v in own.items()
            if k in _PARAMETERS
        ),
        "_buffers": ordered((k, v.clone()) for k, v in own.items() if k not in _PARAMETERS),
        "_non_persistent_buffers_set": set(),
        "_backward_hooks": ordered(),
        "_is_full_backward_hook": None,
        "_forward_hooks": ordered(),
        "_forward_pre_hooks": ordered(),
        "_state_dict_hooks": ordered(),
        "_load_state_dict_pre_hooks": ordered(),
        "_modules": ordered(),
        **numbers,
    }


def _layer_numbers(layer: LayerSpec, w_dim: int) -> dict[str, Any]:
    clamp = layer.conv_clamp
    return {
        "w_dim": w_dim,
        "is_torgb": layer.is_torgb,
        "is_critically_sampled": np.bool_(layer.is_critically_sampled),
        "use_fp16": False,
        "in_channels": layer.in_channels,
        "out_channels": layer.out_channels,
        "in_size": np.broadcast_to(np.asarray(layer.in_size), [2]),
        "out_size": np.broadcast_to(np.asarray(layer.out_size), [2]),
        "in_sampling_rate": layer.in_sampling_rate,
        "out_sampling_rate": int(layer.out_sampling_rate),
        "tmp_sampling_rate": layer.tmp_sampling_rate,
        "in_cutoff": np.float64(layer.in_cutoff),
        "out_cutoff": np.float64(layer.out_cutoff),
        "in_half_width": np.float64(layer.in_half_width),
        "out_half_width": np.float64(layer.out_half_width),
        "conv_kernel": layer.conv_kernel,
        "conv_clamp": None if clamp is None else int(clamp),
        "magnitude_ema_beta": 0.999,
        "up_factor": layer.up_factor,
        "up_taps": layer.up_taps,
        "down_factor": layer.down_factor,
        "down_taps": layer.down_taps,
        "down_radial": layer.down_radial,
        "padding": [int(v) for v in layer.padding],
    }
