"""What numbers of a generator are believed: nothing is built, and no memory taken, for others.

For specifications that come from outside (a directory, a checkpoint). A file of a few bytes can ask for a layer of
10^12 weights; the bounds lie far above every published network. Must not know torch or files.
"""

from __future__ import annotations

import re

from b2g_rt.errors import GeneratorError
from offline.stimuli.stylegan.specification import GeneratorSpec, LayerSpec

MAX_CHANNELS = 4096
MAX_SIZE = 4096  # rows or columns of a signal, samples
MAX_TAPS = 128
MAX_FACTOR = 64
MAX_CLASSES = 100_000
MAX_LAYERS = 128
MAX_RATE = 1e6
MAX_BYTES = 8 << 30  # of all weights as float32
LAYER_NAME = re.compile(r"L[0-9]{1,3}_[0-9]{1,5}_[0-9]{1,5}")


def check_bounds(spec: GeneratorSpec, where: str) -> None:
    """Refuse numbers that no generator has.

    Parameters
    ----------
    spec : GeneratorSpec
    where : str
        Opens the error's line.

    Raises
    ------
    GeneratorError
        A number is not finite, not positive or beyond its bound; two layers share a name; or all weights together
        are larger than ``MAX_BYTES``.
    """
    for name, value, low, high in (
        ("z_dim", spec.z_dim, 1, MAX_CHANNELS),
        ("w_dim", spec.w_dim, 1, MAX_CHANNELS),
        ("n_classes", spec.n_classes, 0, MAX_CLASSES),
        ("resolution", spec.resolution, 1, MAX_SIZE),
        ("output_scale", spec.output_scale, 1e-6, 1e6),
        ("mapping.n_layers", spec.mapping.n_layers, 1, MAX_LAYERS),
        ("mapping.lr_multiplier", spec.mapping.lr_multiplier, 1e-9, 1e6),
        ("mapping.embedding_size", spec.mapping.embedding_size, 0, MAX_CHANNELS),
        ("input.channels", spec.input.channels, 1, MAX_CHANNELS),
        ("input.size", spec.input.size, 1, MAX_SIZE),
        ("input.sampling_rate", spec.input.sampling_rate, 1e-6, MAX_RATE),
        ("input.bandwidth", spec.input.bandwidth, 1e-6, MAX_RATE),
        ("layers", len(spec.layers), 1, MAX_LAYERS),
    ):
        _check(value, low, high, f"{where}: {name}")
    _check_embedding(spec, where)
    for layer in spec.layers:
        _check_layer(layer, f"{where}: {layer.name[:40]}")
    names = [layer.name for layer in spec.layers]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise GeneratorError(
            f"{where}: two layers are called {twice}, expected names of their own."
        )
    if n_bytes(spec) > MAX_BYTES:
        raise GeneratorError(
            f"{where}: its weights would take {n_bytes(spec) / 2**30:.0f} GiB, expected at most "
            f"{MAX_BYTES / 2**30:.0f} GiB."
        )


def n_bytes(spec: GeneratorSpec) -> int:
    """Return the bytes of all weights in float32, as the numbers say; filters are not counted."""
    features = [spec.z_dim * (1 if spec.mapping.embedding == "none" else 2)]
    features += [spec.w_dim] * spec.mapping.n_layers
    mapping = sum(a * b + b for a, b in zip(features, features[1:], strict=False))
    mapping += spec.n_classes * max(spec.w_dim, spec.mapping.embedding_size) * 2
    layers = sum(
        layer.out_channels * (layer.in_channels * layer.conv_kernel**2 + 1)
        + layer.in_channels * (spec.w_dim + 1)
        for layer in spec.layers
    )
    return 4 * (mapping + layers + spec.input.channels**2)


def _check_embedding(spec: GeneratorSpec, where: str) -> None:
    kind = spec.mapping.embedding
    if kind not in ("none", "linear", "table"):
        raise GeneratorError(
            f"{where}: mapping.embedding: {kind!r:.40}, expected none, linear or table."
        )
    if (kind == "none") != (spec.n_classes == 0):
        raise GeneratorError(
            f"{where}: mapping.embedding: {kind} with {spec.n_classes} classes, expected none without classes and an "
            "embedding with them."
        )
    if (kind == "table") != (spec.mapping.embedding_size > 0):
        raise GeneratorError(
            f"{where}: mapping.embedding_size: {spec.mapping.embedding_size} for {kind}, expected 0 but for a table."
        )


def _check_layer(layer: LayerSpec, where: str) -> None:
    if not LAYER_NAME.fullmatch(layer.name):
        raise GeneratorError(f"{where}: name of a layer, expected one like L0_36_512.")
    for names, low, high in (
        (("in_channels", "out_channels"), 1, MAX_CHANNELS),
        (("in_size", "out_size"), 1, MAX_SIZE),
        (("in_sampling_rate", "out_sampling_rate"), 1e-6, MAX_RATE),
        (("in_cutoff", "out_cutoff", "in_half_width", "out_half_width"), 1e-6, MAX_RATE),
        (("up_factor", "down_factor"), 1, MAX_FACTOR),
        (("up_taps", "down_taps"), 1, MAX_TAPS),
        (("conv_kernel",), 1, 7),
    ):
        for name in names:
            _check(getattr(layer, name), low, high, f"{where}: {name}")
    if layer.padding[:2] != layer.padding[2:]:
        raise GeneratorError(
            f"{where}: padding: {layer.padding}, expected the same for rows and columns."
        )
    for pad in layer.padding:
        _check(pad, -MAX_SIZE * MAX_FACTOR, MAX_SIZE * MAX_FACTOR, f"{where}: padding")
    # A filter can only be designed for a cutoff, and half a transition band, below half the rate at which it acts.
    for side, taps in (("in", layer.up_taps), ("out", layer.down_taps)):
        for name in (f"{side}_cutoff", f"{side}_half_width"):
            if taps > 1 and 2 * getattr(layer, name) >= layer.tmp_sampling_rate:
                raise GeneratorError(
                    f"{where}: {name}: {getattr(layer, name):g}, expected less than half of the rate "
                    f"{layer.tmp_sampling_rate:g} between its filters."
                )
    if layer.conv_clamp is not None:
        _check(layer.conv_clamp, 1e-6, 1e9, f"{where}: conv_clamp")
    _check(layer.tmp_size, 1, MAX_SIZE * 4, f"{where}: size between its filters")


def _check(value: float, low: float, high: float, where: str) -> None:
    # NaN fails both comparisons.
    if not low <= value <= high:
        raise GeneratorError(f"{where}: {value!r:.40}, expected {low:g} to {high:g}.")
