"""A mapping network as an ONNX model, in float32.

    z (N, z_dim) float32, class_id (N,) int64 where there are classes, psi () float32  ->  w (N, num_ws, w_dim) float32

What a class contributes does not depend on z: it is computed here and looked up there.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import nn

from b2g_rt.errors import GeneratorError
from offline.export.stylegan.graph_writer import GraphWriter, Value
from offline.export.stylegan.layer_graph import affine, float64
from offline.stimuli.stylegan.mapping import GAIN, SLOPE, FullyConnected, Mapping

EPSILON = 1e-8


def mapping_model(mapping: nn.Module) -> onnx.ModelProto:
    """Return a mapping as an ONNX model, the same bytes for the same weights.

    Parameters
    ----------
    mapping : Mapping or LinearMapping
        Of a network, or of the procedural faces.

    Raises
    ------
    GeneratorError
        Another kind of mapping.
    """
    from offline.stimuli.generators import LinearMapping

    if isinstance(mapping, Mapping):
        return _network(mapping)
    if isinstance(mapping, LinearMapping):
        return _linear(mapping)
    raise GeneratorError(
        f"mapping: {type(mapping).__name__}, expected that of a StyleGAN network or of the procedural faces."
    )


def _network(mapping: Mapping) -> onnx.ModelProto:
    spec = mapping.spec
    graph = GraphWriter(f"{spec.name}-mapping")
    x = _normalised(graph, "z")
    if spec.mapping.embedding != "none":
        x = graph.node("Concat", x, graph.node("Gather", _embedded(mapping), "class_id"), axis=1)
    for i in range(spec.mapping.n_layers):
        with graph.scope(f"fc{i}"):
            x = _activated(graph, x, mapping.get_submodule(f"fc{i}"))
    centre: Value = np.asarray(float64(mapping.w_avg), np.float32)
    if mapping.w_avg.ndim == 2:
        centre = graph.node("Gather", centre, "class_id", what="w_avg")
    # psi 1 is then exactly w, as in the original, where nothing is computed for it.
    away = graph.node("Sub", np.array(1, np.float32), "psi")
    near = graph.node("Add", x, graph.node("Mul", graph.node("Sub", centre, x), away))
    row = graph.reshape(near, 0, 1, spec.w_dim)
    graph.node("Mul", row, np.ones((1, spec.num_ws, 1), np.float32), name="w")
    classes = (
        [helper.make_tensor_value_info("class_id", TensorProto.INT64, ["N"])]
        if spec.mapping.embedding != "none" or mapping.w_avg.ndim == 2
        else []
    )
    return _model(graph, spec.z_dim, (spec.num_ws, spec.w_dim), classes)


def _linear(mapping: nn.Module) -> onnx.ModelProto:
    basis, mean = (float64(mapping.get_buffer(name)) for name in ("basis", "w_avg"))
    graph = GraphWriter("linear-mapping")
    away = graph.node("MatMul", "z", basis.astype(np.float32))
    w = graph.node("Add", graph.node("Mul", away, "psi"), mean.astype(np.float32))
    graph.node("Reshape", w, np.array([0, 1, len(mean)], np.int64), name="w")
    return _model(graph, len(basis), (1, len(mean)), [])


def _model(
    graph: GraphWriter, z_dim: int, rows: tuple[int, int], classes: list[onnx.ValueInfoProto]
) -> onnx.ModelProto:
    return graph.model(
        [
            helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", z_dim]),
            *classes,
            helper.make_tensor_value_info("psi", TensorProto.FLOAT, []),
        ],
        [helper.make_tensor_value_info("w", TensorProto.FLOAT, ["N", *rows])],
    )


def _normalised(graph: GraphWriter, x: str) -> str:
    square = graph.node("Mul", x, x)
    mean = graph.node("ReduceMean", square, np.array([1], np.int64), keepdims=1)
    mean = graph.node("Add", mean, np.array(EPSILON, np.float32))
    return graph.node("Div", x, graph.node("Sqrt", mean))


def _activated(graph: GraphWriter, x: str, layer: nn.Module) -> str:
    """Write a linear layer and its leaky ReLU, whose gain, being positive, goes in front of it."""
    matrix, bias = _linear_layer(layer)
    x = graph.node("MatMul", x, matrix * np.float32(GAIN))
    x = graph.node("Add", x, bias * np.float32(GAIN))
    return graph.node("LeakyRelu", x, alpha=SLOPE)


def _linear_layer(module: nn.Module) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    if not isinstance(module, FullyConnected):
        raise TypeError(f"{type(module).__name__}, expected FullyConnected")
    return affine(module)


def _embedded(mapping: Mapping) -> NDArray[np.float32]:
    """Return what each class puts beside z, float32, axes (class, embedded)."""
    if mapping.spec.mapping.embedding == "table":
        table = float64(mapping.get_parameter("embed.weight"))
        matrix, bias = _linear_layer(mapping.get_submodule("embed_proj"))
        rows = table @ matrix + bias
        rows = GAIN * np.where(rows < 0, SLOPE * rows, rows)
    else:
        matrix, bias = _linear_layer(mapping.get_submodule("embed"))
        rows = np.asarray(matrix + bias, np.float64)  # a one-hot label picks a row
    rows = rows / np.sqrt(np.square(rows).mean(axis=1, keepdims=True) + EPSILON)
    return np.asarray(rows, np.float32)
