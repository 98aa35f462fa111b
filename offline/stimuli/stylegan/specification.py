"""What a StyleGAN3 or StyleGAN-XL generator is made of, as numbers: the one description that all rooms share.

For the networks (built from it), the checkpoint reader (which reads it out of a file), the exporter and the
profiler. Plain data with a JSON form; must not know torch, files or how the numbers came about.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

from b2g_rt.errors import GeneratorError

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """One synthesis layer: modulated convolution, then a leaky ReLU at a higher rate between two low-pass filters.

    Attributes
    ----------
    name : str
        As in the checkpoint: ``L{i}_{out_size}_{out_channels}``.
    is_torgb : bool
        The last layer: no demodulation, no activation, no filters.
    is_critically_sampled : bool
        Its cutoff is half its sampling rate: separable down filter also where others are radial.
    in_channels, out_channels : int
    in_size, out_size : int
        Rows and columns, margin included, samples.
    in_sampling_rate, out_sampling_rate : float
        Samples per picture width.
    in_cutoff, out_cutoff, in_half_width, out_half_width : float
        Of the low-pass filters: cutoff and half the transition band, cycles per picture width.
    up_factor, down_factor : int
    up_taps, down_taps : int
        Taps of the filters per axis; 1: no filter.
    down_radial : bool
        Whether the down filter is radial (row, col) instead of separable (tap,).
    padding : tuple of int
        (col_lo, col_hi, row_lo, row_hi) after zero insertion; negative: crop.
    conv_kernel : int
        1 or 3.
    conv_clamp : float or None
        Bound of the activation.
    """

    name: str
    is_torgb: bool
    is_critically_sampled: bool
    in_channels: int
    out_channels: int
    in_size: int
    out_size: int
    in_sampling_rate: float
    out_sampling_rate: float
    in_cutoff: float
    out_cutoff: float
    in_half_width: float
    out_half_width: float
    up_factor: int
    down_factor: int
    up_taps: int
    down_taps: int
    down_radial: bool
    padding: tuple[int, int, int, int]
    conv_kernel: int
    conv_clamp: float | None

    @property
    def tmp_sampling_rate(self) -> float:
        """Rate at which the leaky ReLU acts, samples per picture width."""
        return self.in_sampling_rate * self.up_factor

    @property
    def convolved_size(self) -> int:
        """Rows and columns after the convolution, which is padded by ``conv_kernel - 1`` on each side."""
        return self.in_size + self.conv_kernel - 1

    @property
    def tmp_size(self) -> int:
        """Rows and columns at which the leaky ReLU acts."""
        grown = self.convolved_size * self.up_factor
        return grown + self.padding[0] + self.padding[1] - self.up_taps + 1


@dataclass(frozen=True, slots=True)
class InputSpec:
    """The Fourier features that the first layer gets: channels, samples and rate of the grid, bandwidth."""

    channels: int
    size: int
    sampling_rate: float
    bandwidth: float


@dataclass(frozen=True, slots=True)
class MappingSpec:
    """The network from z to w.

    Attributes
    ----------
    n_layers : int
        Fully connected layers.
    lr_multiplier : float
        Of their weights and biases.
    embedding : {'none', 'linear', 'table'}
        How a class is embedded: not at all, by a linear layer (StyleGAN3), by a table and a projection (StyleGAN-XL).
    embedding_size : int
        Width of the table; 0 without one.
    """

    n_layers: int = 2
    lr_multiplier: float = 0.01
    embedding: Literal["none", "linear", "table"] = "none"
    embedding_size: int = 0


@dataclass(frozen=True, slots=True)
class GeneratorSpec:
    """A whole generator.

    Attributes
    ----------
    name : str
    z_dim, n_classes, w_dim : int
        ``n_classes`` 0: unconditional.
    resolution : int
        Rows and columns of the picture.
    output_scale : float
        Factor after the last layer.
    mapping : MappingSpec
    input : InputSpec
    layers : tuple of LayerSpec
    """

    name: str
    z_dim: int
    n_classes: int
    w_dim: int
    resolution: int
    output_scale: float
    mapping: MappingSpec
    input: InputSpec
    layers: tuple[LayerSpec, ...]

    @property
    def num_ws(self) -> int:
        """Number of rows of w: one for the input, one per layer."""
        return len(self.layers) + 1

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}

    @classmethod
    def from_dict(cls, data: Any, where: str) -> Self:
        """Read what ``to_dict`` gave; ``where`` opens the error's line.

        Raises
        ------
        GeneratorError
            A key is missing, too much or of another type, or the version is another one.
        """
        if not isinstance(data, dict) or data.get("schema_version") != SCHEMA_VERSION:
            found = data.get("schema_version") if isinstance(data, dict) else type(data).__name__
            raise GeneratorError(
                f"{where}: schema_version {found}, expected {SCHEMA_VERSION}. Import the checkpoint again."
            )
        rest = {key: value for key, value in data.items() if key != "schema_version"}
        layers = rest.get("layers")
        if not isinstance(layers, list) or not layers:
            raise GeneratorError(f"{where}: layers: {layers!r:.40}, expected a list of layers.")
        made = [_made(LayerSpec, one, f"{where}: layers[{i}]") for i, one in enumerate(layers)]
        rest["layers"] = tuple(made)
        rest["mapping"] = _made(MappingSpec, rest.get("mapping"), f"{where}: mapping")
        rest["input"] = _made(InputSpec, rest.get("input"), f"{where}: input")
        spec: Self = _made(cls, rest, where)
        check_chain(spec, where)
        return spec


def check_chain(spec: GeneratorSpec, where: str) -> None:
    """Refuse a specification whose parts do not fit each other.

    Raises
    ------
    GeneratorError
        A layer's input is not the output of the one before, the padding does not give its size, or the last one is
        no ToRGB layer of the picture's size.
    """
    channels, size = spec.input.channels, spec.input.size
    for layer in spec.layers:
        if (layer.in_channels, layer.in_size) != (channels, size):
            raise GeneratorError(
                f"{where}: {layer.name}: input of {layer.in_channels} channels and {layer.in_size} samples, expected "
                f"{channels} and {size} from the layer before."
            )
        counts = (layer.up_factor, layer.down_factor, layer.up_taps, layer.down_taps)
        if min(counts) < 1:
            raise GeneratorError(
                f"{where}: {layer.name}: up_factor, down_factor, up_taps, down_taps {counts}, expected 1 or more."
            )
        down = layer.tmp_size - layer.down_taps + 1
        if -(-down // layer.down_factor) != layer.out_size or down < 1:
            raise GeneratorError(
                f"{where}: {layer.name}: its padding {layer.padding} gives {-(-down // layer.down_factor)} samples, "
                f"expected {layer.out_size}."
            )
        channels, size = layer.out_channels, layer.out_size
    last = spec.layers[-1]
    if not last.is_torgb or (channels, size) != (3, spec.resolution):
        raise GeneratorError(
            f"{where}: {last.name}: {channels} channels of {size} samples, expected a ToRGB layer of 3 channels and "
            f"{spec.resolution} samples at the end."
        )


def _made(cls: type[Any], data: Any, where: str) -> Any:
    if not isinstance(data, dict):
        raise GeneratorError(f"{where}: {type(data).__name__}, expected an object.")
    known = {field.name for field in fields(cls)}
    wrong = sorted(known.symmetric_difference(data))
    if wrong:
        what = "missing" if wrong[0] in known else "not expected"
        raise GeneratorError(
            f"{where}: key '{wrong[0]}' {what}, expected {', '.join(sorted(known))}."
        )
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
    for field in fields(cls):
        _check_type(field.type, values[field.name], f"{where}: {field.name}")
    return cls(**values)


_SIMPLE: dict[Any, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "bool": (bool,),
    "float | None": (int, float, type(None)),
}


def _check_type(declared: Any, value: Any, where: str) -> None:
    if declared == "tuple[int, int, int, int]":
        fits = isinstance(value, tuple) and len(value) == 4 and all(type(v) is int for v in value)
    elif declared in _SIMPLE:
        fits = isinstance(value, _SIMPLE[declared]) and (
            declared == "bool" or not isinstance(value, bool)
        )
    else:
        return
    if not fits:
        raise GeneratorError(f"{where}: {value!r:.60}, expected {declared}.")
