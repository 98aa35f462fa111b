"""The attention decoder as an ONNX graph; the formulas are those of offline/decoding/attention_decoder.py."""

from __future__ import annotations

import numpy as np

from offline.decoding.attention_decoder import SCORE_LIMIT, AttentionDecoder
from offline.export.decoder_graph import Graph


def attention_graph(decoder: AttentionDecoder) -> Graph:
    """Return the graph of a decoder; float32 throughout, for the weights are small."""
    n_channels, n_hidden = decoder.embed.shape
    about = f"{decoder.n_windows} windows, attention over {n_hidden} hidden units"
    graph = Graph(n_channels, len(decoder.mean), decoder.n_state, about)
    position = graph.at_window(decoder.position, "position")
    hidden = _layer(graph, "features", graph.constant(decoder.embed, "embed"), position, "first")
    mix, mix_bias = (
        graph.constant(decoder.mix, "mix"),
        graph.constant(decoder.mix_bias[None], "mix_bias"),
    )
    hidden = _layer(graph, hidden, mix, mix_bias, "second")
    if decoder.n_state:
        hidden = _pooled(graph, decoder, hidden)
    read = graph.node("MatMul", [hidden, graph.constant(decoder.readout, "readout")], "read")
    bias = graph.constant(decoder.readout_bias[None], "readout_bias")
    moved = graph.node("Add", [read, bias], "moved")
    scaled = graph.node("Mul", [graph.at_window(decoder.slope, "slope"), moved], "scaled")
    graph.node("Add", [scaled, graph.constant(decoder.mean[None], "mean")], "latent")
    return graph


def _layer(graph: Graph, row: str, weights: str, bias: str, name: str) -> str:
    """Add silu(row @ weights + bias)."""
    product = graph.node("MatMul", [row, weights], f"{name}_product")
    total = graph.node("Add", [product, bias], f"{name}_sum")
    return graph.node("Mul", [total, graph.node("Sigmoid", [total], f"{name}_gate")], name)


def _pooled(graph: Graph, decoder: AttentionDecoder, hidden: str) -> str:
    n_hidden = len(decoder.score)
    score = graph.node(
        "MatMul", [hidden, graph.constant(decoder.score[:, None], "score")], "scored"
    )
    limit = graph.constant(np.array([[SCORE_LIMIT]], np.float32), "score_limit")
    bounded = graph.node("Mul", [graph.node("Tanh", [score], "bounded"), limit], "limited")
    weight = graph.node("Exp", [bounded], "weight")
    weighted = graph.node("Mul", [hidden, weight], "weighted")
    new = graph.node("Concat", [weighted, weight], "new", axis=1)
    graph.node("Add", ["state", new], "next_state")
    sums = graph.columns("next_state", 0, n_hidden, "sums")
    weights = graph.columns("next_state", n_hidden, n_hidden + 1, "weights")
    return graph.node("Div", [sums, weights], "pooled")
