"""A whole synthesis as an ONNX model.

    w (N, K, w_dim) float32, K = 1 or num_ws  ->  image (N, rgb, row, col) float32, or (N, row, col, rgb) uint8

No control flow, no shape arithmetic, no convolution whose weight is computed, all constants folded: the whole graph can
lie on one device, and its shape is fixed by that of ``w``.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from offline.export.stylegan.formulation import Formulation
from offline.export.stylegan.graph_writer import GraphWriter
from offline.export.stylegan.input_graph import write_input
from offline.export.stylegan.layer_graph import Common, write_layer
from offline.export.stylegan.phase_planes import AxisPlan, Span, axis_plan
from offline.stimuli.stylegan.specification import GeneratorSpec
from offline.stimuli.stylegan.synthesis import Synthesis


def synthesis_model(
    synthesis: Synthesis,
    *,
    half: bool = False,
    uint8: bool = False,
    formulation: Formulation | None = None,
) -> onnx.ModelProto:
    """Return a synthesis as an ONNX model, the same bytes for the same weights.

    Parameters
    ----------
    synthesis : Synthesis
    half : bool
        Weights and activations in float16; styles, demodulation and Fourier phases stay float32.
    uint8 : bool
        Pictures as bytes (N, row, col, rgb): ``clip(x * 127.5 + 128, 0, 255)``, truncated.
    formulation : Formulation, optional
        By default the fastest known on a CPU, or with ``half`` what suits a GPU.
    """
    form = formulation or (Formulation.for_half() if half else Formulation())
    spec = synthesis.spec
    graph = GraphWriter(spec.name)
    ones = np.ones((1, spec.num_ws, 1), np.float32)
    every = graph.node("Mul", "w", ones, what="w_of_layers")  # (N, num_ws, w_dim)
    rows = graph.split(
        "Split", every, np.ones(spec.num_ws, np.int64), names=[""] * spec.num_ws, axis=1
    )
    dtype = np.float16 if half else np.float32
    common = Common(graph, _zero(graph, rows[0], half), dtype, form)
    plans = layer_plans(spec)
    first_rows, first_cols = plans[0]
    x = write_input(common, synthesis.input, rows[0], first_rows.read, first_cols.read)
    for i, layer in enumerate(synthesis.layers):
        scale = spec.output_scale if i == len(plans) - 1 else 1.0
        x = write_layer(common, layer, x, rows[i + 1], plans[i], scale)
    image = _write_image(graph, x.name, half=half, uint8=uint8)
    size = spec.resolution
    shape: list[int | str | None] = ["N", size, size, 3] if uint8 else ["N", 3, size, size]
    kind = TensorProto.UINT8 if uint8 else TensorProto.FLOAT
    return graph.model(
        [helper.make_tensor_value_info("w", TensorProto.FLOAT, ["N", "K", spec.w_dim])],
        [helper.make_tensor_value_info(image, kind, shape)],
    )


def layer_plans(spec: GeneratorSpec) -> list[tuple[AxisPlan, AxisPlan]]:
    """Plan all layers along rows and columns, from the picture back to the input."""
    rows = cols = Span(0, spec.resolution)
    plans: list[tuple[AxisPlan, AxisPlan]] = []
    for layer in reversed(spec.layers):
        left, _, top, _ = layer.padding
        plans.append((axis_plan(layer, top, rows), axis_plan(layer, left, cols)))
        rows, cols = plans[-1][0].read, plans[-1][1].read
    return plans[::-1]


def _zero(graph: GraphWriter, row: str, half: bool) -> str:
    """Write zeros (N, 1, 1, 1): of as many samples as w has, without asking for its shape."""
    first = graph.node("Slice", row, np.array([0]), np.array([1]), np.array([2]))  # (N, 1, 1)
    zero = graph.node(
        "Mul", graph.reshape(first, 0, 1, 1, 1), np.zeros((), np.float32), what="zero"
    )
    return graph.node("Cast", zero, to=TensorProto.FLOAT16) if half else zero


def _write_image(graph: GraphWriter, x: str, *, half: bool, uint8: bool) -> str:
    last = "" if uint8 else "image"
    if half:
        x = graph.node("Cast", x, name=last, to=TensorProto.FLOAT)
    elif not uint8:
        return graph.node("Identity", x, name=last)
    if not uint8:
        return x
    level = graph.node("Mul", x, np.array(127.5, np.float32))
    level = graph.node("Add", level, np.array(128, np.float32))
    level = graph.node("Clip", level, np.array(0, np.float32), np.array(255, np.float32))
    # Cast to the small type first: the transposition then moves a quarter of the bytes.
    level = graph.node("Cast", level, to=TensorProto.UINT8)
    return graph.node("Transpose", level, name="image", perm=[0, 2, 3, 1])
