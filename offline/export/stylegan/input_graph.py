"""The Fourier features as a graph, in float32 throughout: phases lose too much in float16, and in TF32 products.

    sin(a x + b y + p) = sin(a x + p) cos(b y) + cos(a x + p) sin(b y)

so that only a row and a column of sines are computed per channel. The mixing of channels that follows is left to the
first layer.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from offline.export.stylegan.graph_writer import GraphWriter
from offline.export.stylegan.layer_graph import Common, Signal, affine, float64, in_own_type
from offline.export.stylegan.phase_planes import Span
from offline.stimuli.stylegan.synthesis import SynthesisInput


def write_input(common: Common, module: SynthesisInput, w: str, rows: Span, cols: Span) -> Signal:
    """Write the samples that the first layer reads.

    Parameters
    ----------
    common : Common
    module : SynthesisInput
    w : str
        (N, 1, w_dim), float32.
    rows, cols : Span
        Of the grid.

    Returns
    -------
    Signal
        Not mixed yet.
    """
    graph, spec = common.graph, module.spec
    with graph.scope("input"):
        x_freq, y_freq, phase = _waves(graph, module, w)  # (N, C, 1)
        amplitude = _amplitude(graph, module, x_freq, y_freq)
        across = graph.node("Add", graph.node("Mul", x_freq, _centres(module, cols)), phase)
        along = graph.node("Mul", y_freq, _centres(module, rows))
        turn = np.array(2 * math.pi, np.float32)
        across, along = graph.node("Mul", across, turn), graph.node("Mul", along, turn)
        c, last, before = spec.channels, (cols.size,), (rows.size,)
        strips = []
        for op_across, op_along in (("Sin", "Cos"), ("Cos", "Sin")):
            over_cols = graph.node(op_across, across)
            over_rows = graph.node("Mul", graph.node(op_along, along), amplitude)
            over_cols, over_rows = in_own_type(common, over_cols), in_own_type(common, over_rows)
            strips.append(
                graph.node(
                    "Mul",
                    graph.reshape(over_rows, 0, c, *before, 1),
                    graph.reshape(over_cols, 0, c, 1, *last),
                )
            )
        x = graph.node("Add", *strips, what="waves")
    return Signal(x, c, float64(module.weight) / math.sqrt(c))


def _waves(graph: GraphWriter, module: SynthesisInput, w: str) -> tuple[str, str, str]:
    """Write frequencies (cycles per picture width) and phases (cycles), each (N, C, 1), as turned and shifted by w.

    With the turn (r, s) and the shift (x, y) read from w, the rows of turn times shift are ``(r, -s, s y - r x)`` and
    ``(s, r, -s x - r y)``, and freqs times that times the transform is linear in the four different entries.
    """
    matrix, bias = affine(module.affine)
    # A sum of products rather than a MatMul: exact where products are TF32.
    product = graph.node("Mul", w, np.ascontiguousarray(matrix.T)[None])  # (N, 4, w_dim)
    t = graph.node("ReduceSum", product, np.array([2], np.int64), keepdims=1)  # (N, 4, 1)
    t = graph.node("Add", t, bias[:, None])
    r, s, x, y = graph.split("Split", t, np.ones(4, np.int64), names=[""] * 4, axis=1)
    square = graph.node("Add", graph.node("Mul", r, r), graph.node("Mul", s, s))
    norm = graph.node("Sqrt", square)
    r, s, x, y = (graph.node("Div", part, norm) for part in (r, s, x, y))  # (N, 1, 1)
    right = graph.node("Sub", graph.node("Mul", s, y), graph.node("Mul", r, x))
    lower = graph.node("Add", graph.node("Mul", s, x), graph.node("Mul", r, y))
    freqs, transform = float64(module.freqs), float64(module.transform)
    entries = [
        (r, np.array([[1.0, 0, 0], [0, 1, 0]])),
        (s, np.array([[0.0, -1, 0], [1, 0, 0]])),
        (right, np.array([[0.0, 0, 1], [0, 0, 0]])),
        (lower, np.array([[0.0, 0, 0], [0, 0, -1]])),
    ]
    found = []
    for column in range(3):
        terms = [
            graph.node("Mul", entry, part.astype(np.float32)[:, None])
            for entry, basis in entries
            if (part := freqs @ basis @ transform[:, column]).any()
        ]
        if column == 2:
            terms.append(graph.constant(float64(module.phases).astype(np.float32)[None, :, None]))
        found.append(_total(graph, terms, len(freqs)))
    return found[0], found[1], found[2]


def _total(graph: GraphWriter, terms: list[str], channels: int) -> str:
    if not terms:
        return graph.constant(np.zeros((1, channels, 1), np.float32))
    total = terms[0]
    for term in terms[1:]:
        total = graph.node("Add", total, term)
    return total


def _amplitude(graph: GraphWriter, module: SynthesisInput, x_freq: str, y_freq: str) -> str:
    """Write the factor that fades waves out between the bandwidth and half the sampling rate, (N, C, 1)."""
    spec = module.spec
    band = spec.sampling_rate / 2 - spec.bandwidth
    square = graph.node("Add", graph.node("Mul", x_freq, x_freq), graph.node("Mul", y_freq, y_freq))
    fall = graph.node("Mul", graph.node("Sqrt", square), np.array(-1 / band, np.float32))
    level = graph.node("Add", fall, np.array(1 + spec.bandwidth / band, np.float32))
    return graph.node("Clip", level, np.array(0, np.float32), np.array(1, np.float32))


def _centres(module: SynthesisInput, span: Span) -> NDArray[np.float32]:
    spec = module.spec
    centre = (np.arange(span.lo, span.hi) + 0.5 - spec.size / 2) / spec.sampling_rate
    return centre.astype(np.float32)
