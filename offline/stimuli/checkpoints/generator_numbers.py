"""From a tree of modules to a generator's specification: every number is the file's own, none is assumed.

What cannot be expressed by the specification, and would give other pictures, is refused; what is odd but harmless
becomes a remark (`published_arithmetic`). Must not know pickles or tensors' numbers.
"""

from __future__ import annotations

import math
from typing import Literal

from b2g_rt.errors import CheckpointError, GeneratorError
from offline.stimuli.checkpoints.module_numbers import ModuleNumbers
from offline.stimuli.checkpoints.modules import Module
from offline.stimuli.checkpoints.nodes import shown
from offline.stimuli.checkpoints.plain_values import (
    Read,
    as_text,
    mismatch,
    unexpected,
)
from offline.stimuli.checkpoints.published_arithmetic import arithmetic_remarks
from offline.stimuli.checkpoints.tensors import StoredTensor
from offline.stimuli.stylegan.bounds import MAX_LAYERS, check_bounds
from offline.stimuli.stylegan.specification import (
    GeneratorSpec,
    InputSpec,
    LayerSpec,
    MappingSpec,
    check_chain,
)

GENERATORS = ("Generator", "SuperresGenerator")
_CLASSES = {
    "mapping": ("MappingNetwork",),
    "synthesis": ("SynthesisNetwork",),
    "input": ("SynthesisInput",),
    "affine": ("FullyConnectedLayer",),
}

Tensors = dict[str, StoredTensor]


def generator_spec(
    generator: Module, tensors: Tensors, name: str, where: str, read: Read
) -> tuple[GeneratorSpec, list[str]]:
    """Read a generator's specification.

    Parameters
    ----------
    generator : Module
    tensors : dict of str to StoredTensor
        All of its tensors, under the names of its state dict.
    name : str
        For the specification.
    where : str
        Opens the errors' lines.
    read : callable
        Gives the bytes of small blobs.

    Returns
    -------
    GeneratorSpec, and remarks for the user

    Raises
    ------
    CheckpointError
        It is no StyleGAN3 or StyleGAN-XL generator, or its numbers contradict each other.
    """
    _check_kind(generator, where)
    top = ModuleNumbers(generator, where, read)
    synthesis = top.below("synthesis")
    layers = tuple(
        _layer(synthesis.below(layer), layer, tensors) for layer in _layer_names(synthesis)
    )
    given = synthesis.below("input")
    _check_affine(given)
    spec = GeneratorSpec(
        name=name,
        z_dim=top.whole("z_dim"),
        n_classes=top.whole("c_dim"),
        w_dim=top.whole("w_dim"),
        resolution=top.square("img_resolution"),
        output_scale=synthesis.real("output_scale"),
        mapping=_mapping(top.below("mapping"), tensors, top.whole("c_dim")),
        input=InputSpec(
            given.whole("channels"),
            given.square("size"),
            given.real("sampling_rate"),
            given.real("bandwidth"),
        ),
        layers=layers,
    )
    try:
        check_bounds(spec, where)
        check_chain(spec, where)
    except GeneratorError as error:
        raise CheckpointError(str(error)) from None
    if top.whole("num_ws") != spec.num_ws:
        raise unexpected(top.whole("num_ws"), f"{spec.num_ws} for its layers", top.where("num_ws"))
    return spec, arithmetic_remarks(spec)


def _check_kind(generator: Module, where: str) -> None:
    path = f"{where}: {shown(generator.path)}"
    if generator.class_name not in GENERATORS:
        raise CheckpointError(
            f"{path}: a {shown(generator.class_name)}, expected a {' or '.join(GENERATORS)} of StyleGAN3 or "
            "StyleGAN-XL."
        )
    synthesis = generator.modules.get("synthesis")
    if synthesis is not None and "b4" in synthesis.modules:
        raise CheckpointError(
            f"{path}: a StyleGAN2 generator, expected StyleGAN3 or StyleGAN-XL. StyleGAN2 cannot be imported."
        )
    if set(generator.modules) != {"mapping", "synthesis"} or generator.tensors:
        raise CheckpointError(
            f"{path}: modules {shown(', '.join(sorted(generator.modules)) or 'none')}, expected mapping and synthesis. "
            "The file holds a network of another kind."
        )
    for name, module in generator.walk():
        expected = _CLASSES.get(name.rpartition(".")[2])
        if expected is not None and module.class_name not in expected:
            raise CheckpointError(
                f"{where}: {shown(module.path)}: a {shown(module.class_name)}, expected a {expected[0]}."
            )


def _layer_names(synthesis: ModuleNumbers) -> list[str]:
    told = synthesis.node("layer_names")
    found = [name for name in synthesis.module.modules if name != "input"]
    if not isinstance(told, list) or not 0 < len(told) <= MAX_LAYERS:
        raise unexpected(told, "the layers' names", synthesis.where("layer_names"))
    names = [as_text(name, synthesis.where("layer_names")) for name in told]
    if sorted(names) != sorted(found):
        raise CheckpointError(
            f"{synthesis.where('layer_names')}: {len(names)} names for {len(found)} layers, expected one each."
        )
    return names


def _layer(layer: ModuleNumbers, name: str, tensors: Tensors) -> LayerSpec:
    if layer.module.class_name != "SynthesisLayer":
        raise CheckpointError(
            f"{layer.file}: {shown(layer.module.path)}: a {shown(layer.module.class_name)}, expected a SynthesisLayer."
        )
    _check_affine(layer)
    clamp = layer.node("conv_clamp")
    spec = LayerSpec(
        name=name,
        is_torgb=layer.truth("is_torgb"),
        is_critically_sampled=layer.truth("is_critically_sampled"),
        in_channels=layer.whole("in_channels"),
        out_channels=layer.whole("out_channels"),
        in_size=layer.square("in_size"),
        out_size=layer.square("out_size"),
        in_sampling_rate=layer.real("in_sampling_rate"),
        out_sampling_rate=layer.real("out_sampling_rate"),
        in_cutoff=layer.real("in_cutoff"),
        out_cutoff=layer.real("out_cutoff"),
        in_half_width=layer.real("in_half_width"),
        out_half_width=layer.real("out_half_width"),
        up_factor=layer.whole("up_factor"),
        down_factor=layer.whole("down_factor"),
        up_taps=layer.whole("up_taps"),
        down_taps=layer.whole("down_taps"),
        down_radial=layer.truth("down_radial"),
        padding=_four(layer.wholes("padding", 4)),
        conv_kernel=layer.whole("conv_kernel"),
        conv_clamp=None if clamp is None else layer.real("conv_clamp"),
    )
    _check_filters(spec, layer, tensors)
    return spec


def _four(values: tuple[int, ...]) -> tuple[int, int, int, int]:
    a, b, c, d = values
    return a, b, c, d


def _check_filters(spec: LayerSpec, layer: ModuleNumbers, tensors: Tensors) -> None:
    """Compare the taps that are told with the filters that are stored; padding has to be square."""
    if spec.padding[:2] != spec.padding[2:]:
        raise unexpected(
            str(spec.padding), "the same padding of rows and columns", layer.where("padding")
        )
    radial = spec.down_radial and spec.down_taps > 1
    for key, taps, n_axes in (
        ("up_filter", spec.up_taps, 1),
        ("down_filter", spec.down_taps, 2 if radial else 1),
    ):
        stored = tensors.get(f"synthesis.{spec.name}.{key}")
        expected = (taps,) * n_axes if taps > 1 else None
        found = None if stored is None else stored.shape
        if found != expected:
            raise mismatch(f"{found or 'none'}", f"{expected or 'none'}", layer.where(key))


def _check_affine(module: ModuleNumbers) -> None:
    affine = module.below("affine")
    _check_connected(affine, module_activation="linear", lr_multiplier=1.0)


def _check_connected(layer: ModuleNumbers, module_activation: str, lr_multiplier: float) -> None:
    """Compare a fully connected layer's gains: they are recomputed later, so others would give other pictures."""
    if layer.module.class_name != "FullyConnectedLayer":
        raise CheckpointError(
            f"{layer.file}: {shown(layer.module.path)}: a {shown(layer.module.class_name)}, expected a "
            "FullyConnectedLayer."
        )
    if layer.text("activation") != module_activation:
        raise unexpected(layer.text("activation"), module_activation, layer.where("activation"))
    gain = lr_multiplier / math.sqrt(max(1, layer.whole("in_features")))
    for key, expected in (("weight_gain", gain), ("bias_gain", lr_multiplier)):
        if not math.isclose(layer.real(key), expected, rel_tol=1e-6):
            raise unexpected(layer.real(key), f"{expected:g}", layer.where(key))


def _mapping(mapping: ModuleNumbers, tensors: Tensors, n_classes: int) -> MappingSpec:
    n_layers = mapping.whole("num_layers")
    connected = {f"fc{i}" for i in range(min(n_layers, MAX_LAYERS))}
    others = set(mapping.module.modules) - connected
    if n_classes != mapping.whole("c_dim") or not connected:
        raise unexpected(mapping.whole("c_dim"), f"{n_classes} classes", mapping.where("c_dim"))
    lr_multiplier = mapping.below("fc0").real("bias_gain")
    for name in sorted(connected):
        _check_connected(mapping.below(name), "lrelu", lr_multiplier)
    kind: Literal["none", "linear", "table"]
    embedding_size = 0
    if not others and n_classes == 0:
        kind = "none"
    elif others == {"embed"} and n_classes > 0:
        kind = "linear"
        _check_connected(mapping.below("embed"), "linear", 1.0)
    elif others == {"embed", "embed_proj"} and n_classes > 0:
        kind = "table"
        _check_connected(mapping.below("embed_proj"), "lrelu", 1.0)
        embedding_size = _table_width(mapping.below("embed"), tensors)
    else:
        raise CheckpointError(
            f"{mapping.file}: {shown(mapping.module.path)}: {shown(', '.join(sorted(others)) or 'no embedding')} for "
            f"{n_classes} classes, expected embed, or embed and embed_proj, where there are classes."
        )
    return MappingSpec(n_layers, lr_multiplier, kind, embedding_size)


def _table_width(embed: ModuleNumbers, tensors: Tensors) -> int:
    """Return the width of a lookup table that changes nothing about the vectors it gives."""
    if embed.module.class_name != "Embedding":
        raise CheckpointError(
            f"{embed.file}: {shown(embed.module.path)}: a {shown(embed.module.class_name)}, expected an Embedding."
        )
    if embed.module.numbers.get("max_norm") is not None:
        raise unexpected(embed.module.numbers["max_norm"], "none", embed.where("max_norm"))
    weight = tensors.get("mapping.embed.weight")
    if weight is None or len(weight.shape) != 2:
        raise CheckpointError(f"{embed.where('weight')}: no table, expected (class, embedding).")
    return weight.shape[1]
