"""The alias-free activation as a graph: phase planes up, leaky ReLU and clamp on each, one sum of correlations down.

All filters are depthwise convolutions with constant weights, so that ONNX Runtime keeps the planes in its blocked
layout, fuses the leaky ReLU into the convolution before it and the sums into the one after it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from offline.export.stylegan.formulation import Formulation
from offline.export.stylegan.graph_writer import GraphWriter
from offline.export.stylegan.phase_planes import ZERO_TAP, AxisPlan
from offline.stimuli.stylegan.mapping import SLOPE
from offline.stimuli.stylegan.specification import LayerSpec


@dataclass(frozen=True, slots=True, eq=False)
class Filters:
    """A layer's filters as stored: ``up`` (tap,) and ``down`` (tap,) or (row tap, col tap), float64; None: none."""

    up: NDArray[np.float64] | None
    down: NDArray[np.float64] | None


def write_activation(
    graph: GraphWriter,
    y: str,
    zero: str,
    spec: LayerSpec,
    filters: Filters,
    plans: tuple[AxisPlan, AxisPlan],
    *,
    channels: int,
    scale: float,
    dtype: type[np.floating],
    form: Formulation,
) -> str:
    """Write one layer's activation.

    Parameters
    ----------
    graph : GraphWriter
    y : str
        (N, channel, row, col): samples ``low`` of the plans.
    zero : str
        (N, 1, 1, 1): zeros.
    spec : LayerSpec
    filters : Filters
    plans : tuple of AxisPlan
        Rows, columns.
    channels : int
        Of ``y``, padding included.
    scale : float
        What ``y`` was multiplied by: the clamp is, too.
    dtype : type
        float32 or float16.
    form : Formulation

    Returns
    -------
    str
        (N, channel, row, col): samples ``out`` of the plans.
    """
    rows, cols = plans
    up = np.ones(1) if filters.up is None else filters.up * spec.up_factor  # gain per axis
    gain = 1.0 if spec.is_torgb else math.sqrt(2.0)
    if max(rows.insertion, cols.insertion) > 1:
        y = _with_zeros(graph, y, zero, rows, cols, channels, dtype, form)
    depthwise = _Depthwise(graph, channels, dtype)
    planes: list[list[str]] = []
    for a, row in enumerate(rows.phases):
        kernel = _taps(up, row.up)[:, None]
        strip = depthwise(y, kernel, f"up_row{a}", (row.pad, (0, 0)), (rows.stride, 1))
        planes.append([])
        for c, col in enumerate(cols.phases):
            kernel = _taps(up, col.up)[None, :]
            plane = depthwise(strip, kernel, f"up_col{a}{c}", ((0, 0), col.pad), (1, cols.stride))
            planes[a].append(_bent(depthwise, plane, spec, scale / gain, dtype, form))
    return _down(depthwise, planes, filters.down, gain, (rows, cols), form)


class _Depthwise:
    """Writes correlations of all channels with the same small kernel; none for the kernel that does nothing."""

    def __init__(self, graph: GraphWriter, channels: int, dtype: type[np.floating]) -> None:
        self.graph, self._channels, self._dtype = graph, channels, dtype

    def __call__(
        self,
        x: str,
        kernel: NDArray[np.float64],
        what: str,
        pads: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
        strides: tuple[int, int] = (1, 1),
        *,
        even_idle: bool = False,
    ) -> str:
        (top, bottom), (left, right) = pads
        idle = kernel.shape == (1, 1) and kernel[0, 0] == 1.0 and not even_idle
        if idle and strides == (1, 1) and not any((top, bottom, left, right)):
            return x
        weight = np.broadcast_to(kernel.astype(self._dtype), (self._channels, 1, *kernel.shape))
        return self.graph.node(
            "Conv",
            x,
            self.graph.constant(weight, what),
            what=what,
            group=self._channels,
            kernel_shape=list(kernel.shape),
            pads=[top, left, bottom, right],
            strides=list(strides),
        )


def _taps(taps: NDArray[np.float64], order: tuple[int, ...]) -> NDArray[np.float64]:
    return np.array([0.0 if i == ZERO_TAP else taps[i] for i in order])


def _bent(
    depthwise: _Depthwise,
    plane: str,
    spec: LayerSpec,
    scale: float,
    dtype: type[np.floating],
    form: Formulation,
) -> str:
    """Leaky ReLU without its gain, which goes into the down filter, and the clamp at that scale."""
    graph = depthwise.graph
    if not spec.is_torgb:
        plane = graph.node("LeakyRelu", plane, alpha=SLOPE)
    if spec.conv_clamp is None or form.clamp == "none":
        return plane
    if form.clamp == "conv" and not spec.is_torgb:
        plane = depthwise(plane, np.ones((1, 1)), "clamp", even_idle=True)
    bound = spec.conv_clamp * scale
    return graph.node("Clip", plane, np.array(-bound, dtype), np.array(bound, dtype))


def _down(
    depthwise: _Depthwise,
    planes: list[list[str]],
    taps: NDArray[np.float64] | None,
    gain: float,
    plans: tuple[AxisPlan, AxisPlan],
    form: Formulation,
) -> str:
    rows, cols = (plan.phases for plan in plans)
    taps = np.ones(1) if taps is None else taps
    if taps.ndim == 2 and form.down == "full":
        terms = []
        for a, row in enumerate(rows):
            for c, col in enumerate(cols):
                kernel = gain * taps[np.ix_(row.down, col.down)]
                terms.append(depthwise(planes[a][c], kernel, f"down{a}{c}"))
        return _sum(depthwise.graph, terms)
    terms = []
    for k, (along, across) in enumerate(_separated(taps, form.rank_tolerance)):
        for c, col in enumerate(cols):
            parts = [
                depthwise(planes[a][c], _taps(along, row.down)[:, None], f"down_row{k}{a}{c}")
                for a, row in enumerate(rows)
            ]
            kernel = gain * _taps(across, col.down)[None, :]
            terms.append(depthwise(_sum(depthwise.graph, parts), kernel, f"down_col{k}{c}"))
    return _sum(depthwise.graph, terms)


def _separated(
    taps: NDArray[np.float64], tolerance: float
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return (row taps, col taps) whose outer products sum to the filter, up to a relative Frobenius error."""
    if taps.ndim == 1:
        return [(taps, taps)]
    along, size, across = np.linalg.svd(taps)
    left_out = np.sqrt(np.cumsum(size[::-1] ** 2))[::-1] / np.linalg.norm(size)
    rank = max(1, int((left_out > tolerance).sum()))
    return [(along[:, k] * size[k], across[k]) for k in range(rank)]


def _sum(graph: GraphWriter, terms: list[str]) -> str:
    total = terms[0]
    for term in terms[1:]:
        total = graph.node("Add", total, term)
    return total


def _with_zeros(
    graph: GraphWriter,
    y: str,
    zero: str,
    rows: AxisPlan,
    cols: AxisPlan,
    channels: int,
    dtype: type[np.floating],
    form: Formulation,
) -> str:
    """Insert zeros after each row and column: columns by a product, rows beside them and then reshaped under them."""
    n_rows, n_cols = rows.low.size, cols.low.size
    wide = n_cols * cols.insertion
    across = rows.insertion if form.insertion == "matmul" else 1
    matrix = np.zeros((n_cols, across * wide), dtype)
    matrix[np.arange(n_cols), np.arange(n_cols) * cols.insertion] = 1
    y = graph.node("MatMul", y, matrix, what="insert_cols")
    if rows.insertion > across:
        shape = np.array([1, channels, n_rows, wide * (rows.insertion - 1)], np.int64)
        y = graph.node("Concat", y, graph.node("Expand", zero, shape), what="insert_rows", axis=3)
    return graph.reshape(y, 0, channels, n_rows * rows.insertion, wide)
