"""One synthesis layer as a graph: style, mixing of channels, activation.

A 1x1 convolution is mixed before the up-sampling as one product per sample with the weight ``d W s``: style and
demodulation cost two passes over a weight rather than over pictures. A 3x3 one keeps its weight constant between a
multiplication by s before and by d after. Equations 1 and 3 of Karras et al. 2020, "Analyzing and Improving the Image
Quality of StyleGAN".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import TensorProto

from offline.export.stylegan.activation_graph import Filters, write_activation
from offline.export.stylegan.formulation import Formulation
from offline.export.stylegan.graph_writer import GraphWriter
from offline.export.stylegan.phase_planes import AxisPlan
from offline.stimuli.stylegan.mapping import FullyConnected
from offline.stimuli.stylegan.synthesis import SynthesisLayer

EPSILON = 1e-8

Dtype = type[np.float32] | type[np.float16]


@dataclass(frozen=True, slots=True)
class Signal:
    """What lies between two layers.

    Attributes
    ----------
    name : str
        (N, channel, row, col).
    channels : int
        Zero channels included.
    mix : ndarray, float64, (channel of the layer, channel), optional
        What the signal is still to be multiplied by: the first layer does it in one with its own mixing.
    """

    name: str
    channels: int
    mix: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class Common:
    """What all layers share: the graph, zeros (N, 1, 1, 1), the type computed in and the formulation."""

    graph: GraphWriter
    zero: str
    dtype: Dtype
    form: Formulation


def write_layer(
    common: Common,
    layer: SynthesisLayer,
    x: Signal,
    w: str,
    plans: tuple[AxisPlan, AxisPlan],
    scale: float = 1.0,
) -> Signal:
    """Write one layer.

    Parameters
    ----------
    common : Common
    layer : SynthesisLayer
    x : Signal
        Samples ``read`` of the plans.
    w : str
        (N, 1, w_dim), float32.
    plans : tuple of AxisPlan
        Rows, columns.
    scale : float
        Factor of the output.

    Returns
    -------
    Signal
        Samples ``out`` of the plans.
    """
    graph, spec, form = common.graph, layer.spec, common.form
    channels = spec.out_channels if spec.is_torgb else form.padded(spec.out_channels)
    with graph.scope(spec.name):
        as_matmul = spec.conv_kernel == 1 and (form.mixing == "matmul" or spec.is_torgb)
        write = _mixed_by_product if as_matmul else _mixed_by_convolution
        y = write(common, layer, x, w, plans, channels, scale)
        y = write_activation(
            graph,
            y,
            common.zero,
            spec,
            Filters(_taps(layer, "up_filter"), _taps(layer, "down_filter")),
            plans,
            channels=channels,
            scale=scale,
            dtype=common.dtype,
            form=form,
        )
    return Signal(y, channels)


def affine(
    module: FullyConnected, n_out: int | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return matrix (in, out) and bias (out,) of a linear layer as it acts, padded with zeros to ``n_out``."""
    matrix = float64(module.weight).T * module.weight_gain
    bias = float64(module.bias) * module.bias_gain
    more = (n_out or len(bias)) - len(bias)
    return (
        np.pad(matrix, ((0, 0), (0, more))).astype(np.float32),
        np.pad(bias, (0, more)).astype(np.float32),
    )


def _mixed_by_product(
    common: Common,
    layer: SynthesisLayer,
    x: Signal,
    w: str,
    plans: tuple[AxisPlan, AxisPlan],
    channels: int,
    scale: float,
) -> str:
    graph, dtype = common.graph, common.dtype
    n_in = layer.spec.in_channels if x.mix is not None else x.channels
    weight = _padded(_weight(layer)[:, :, 0, 0], channels, n_in)
    style, demodulation = _modulation(common, layer, w, weight)
    gained = (weight * (_input_gain(layer) * scale)).astype(dtype)
    mixing = graph.node("Mul", gained, style, what="style")
    if demodulation is not None:
        mixing = graph.node("Mul", mixing, demodulation, what="demodulation")
    rows, cols = (plan.low.size for plan in plans)
    flat = graph.reshape(x.name, 0, x.channels, rows * cols)
    if x.mix is not None:
        first = x.mix.astype(dtype)
        # (d W s) M first, unless there are more channels than pixels.
        if layer.spec.in_channels <= rows * cols:
            mixing = graph.node("MatMul", mixing, first, what="merge")
        else:
            flat = graph.node("MatMul", first, flat, what="mix_input")
    y = graph.node("MatMul", mixing, flat, what="mix")
    y = graph.node("Add", y, _bias(layer, channels, scale).astype(dtype)[:, None], what="bias")
    return graph.reshape(y, 0, channels, rows, cols)


def _mixed_by_convolution(
    common: Common,
    layer: SynthesisLayer,
    x: Signal,
    w: str,
    plans: tuple[AxisPlan, AxisPlan],
    channels: int,
    scale: float,
) -> str:
    graph, dtype, kernel = common.graph, common.dtype, layer.spec.conv_kernel
    rows, cols = plans
    flat, n_in = x.name, x.channels
    if x.mix is not None:
        n_in = common.form.padded(layer.spec.in_channels)
        flat = graph.reshape(flat, 0, x.channels, rows.read.size * cols.read.size)
        flat = graph.node(
            "MatMul", _padded(x.mix, n_in, x.channels).astype(dtype), flat, what="mix_input"
        )
        flat = graph.reshape(flat, 0, n_in, rows.read.size, cols.read.size)
    weight = _padded(_weight(layer), channels, n_in)
    style, demodulation = _modulation(common, layer, w, weight)
    gain = _input_gain(layer) * scale
    # The expected demodulation, so that sums stay within float16.
    expected = 1.0 if layer.spec.is_torgb else math.sqrt(layer.spec.in_channels) * kernel
    flat = graph.node("Mul", flat, graph.reshape(style, 0, n_in, 1, 1), what="style")
    y = graph.node(
        "Conv",
        flat,
        (weight * (gain / expected)).astype(dtype),
        what="mix",
        kernel_shape=[kernel, kernel],
        pads=[rows.conv_pad[0], cols.conv_pad[0], rows.conv_pad[1], cols.conv_pad[1]],
    )
    if demodulation is not None:
        factor = graph.node("Mul", demodulation, np.array(expected, dtype))
        y = graph.node("Mul", y, graph.reshape(factor, 0, channels, 1, 1), what="demodulation")
    return graph.node(
        "Add", y, _bias(layer, channels, scale).astype(dtype)[:, None, None], what="bias"
    )


def _modulation(
    common: Common, layer: SynthesisLayer, w: str, weight: NDArray[np.float64]
) -> tuple[str, str | None]:
    """Write the factors of input channels (N, 1, I) and output channels (N, O, 1; None for ToRGB).

    The factor of the input is in the output's. ``weight`` is (O, I, ...), padded. The original divides s by its root
    mean square m; that cancels but for ``d = rsqrt(W^2 s^2 / m^2 + 1e-8) / m = rsqrt((W^2 + 1e-8 / I) s^2)``.
    """
    graph, dtype = common.graph, common.dtype
    n_in = weight.shape[1]
    matrix, bias = affine(layer.affine, n_in)
    s = graph.node("MatMul", w, _stored(common, matrix), what="affine")
    s = graph.node("Add", s, bias, what="affine_bias")
    if layer.spec.is_torgb:
        return in_own_type(common, s), None
    square = graph.node("Mul", s, s)  # (N, 1, I)
    energy = np.square(weight).sum(axis=tuple(range(2, weight.ndim)))  # (O, I)
    energy += EPSILON / layer.spec.in_channels
    energy[layer.spec.out_channels :] = 1.0
    total = graph.node("MatMul", _stored(common, energy), graph.reshape(square, 0, n_in, 1))
    d = graph.node("Reciprocal", graph.node("Sqrt", total))  # (N, O, 1)
    if dtype is np.float16:
        # Only s over its root mean square, and d times that, are sure to be within its range.
        mean = graph.node("ReduceMean", square, np.array([2], np.int64), keepdims=1)
        root = graph.node("Sqrt", mean)  # (N, 1, 1)
        s, d = graph.node("Div", s, root), graph.node("Mul", d, root)
    return in_own_type(common, s), in_own_type(common, d)


def in_own_type(common: Common, x: str) -> str:
    """Cast float32 to the type that is computed in."""
    if common.dtype is np.float32:
        return x
    return common.graph.node("Cast", x, to=TensorProto.FLOAT16)


def _stored(common: Common, array: NDArray[np.floating]) -> str:
    """Write a constant used in float32 and stored in the type that is computed in: every runtime folds the cast."""
    name = common.graph.constant(array.astype(common.dtype))
    return (
        name
        if common.dtype is np.float32
        else common.graph.node("Cast", name, to=TensorProto.FLOAT)
    )


def _input_gain(layer: SynthesisLayer) -> float:
    return float(1.0 / np.sqrt(float64(layer.magnitude_ema)))


def _weight(layer: SynthesisLayer) -> NDArray[np.float64]:
    """Return the constant weight (O, I, row, col): of unit mean square per output channel, or ToRGB's with its gain."""
    weight = float64(layer.weight)
    if layer.spec.is_torgb:
        return weight / math.sqrt(layer.spec.in_channels * layer.spec.conv_kernel**2)
    return weight / np.sqrt(np.square(weight).mean(axis=(1, 2, 3), keepdims=True))


def _bias(layer: SynthesisLayer, channels: int, scale: float) -> NDArray[np.float64]:
    bias = float64(layer.bias) * scale
    return np.pad(bias, (0, channels - len(bias)))


def _padded(weight: NDArray[np.float64], n_out: int, n_in: int) -> NDArray[np.float64]:
    """Append zero channels to (O, I, ...)."""
    more = [(0, n_out - weight.shape[0]), (0, n_in - weight.shape[1])]
    return np.pad(weight, more + [(0, 0)] * (weight.ndim - 2))


def _taps(module: SynthesisLayer, name: str) -> NDArray[np.float64] | None:
    taps = module.get_buffer(name) if getattr(module, name) is not None else None
    return None if taps is None else float64(taps)


def float64(tensor: torch.Tensor) -> NDArray[np.float64]:
    """Return a tensor as a float64 array."""
    return np.asarray(tensor.detach().cpu().numpy(), np.float64)
