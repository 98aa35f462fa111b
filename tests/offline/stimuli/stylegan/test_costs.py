from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from offline.export.stylegan.formulation import Formulation
from offline.export.stylegan.model import synthesis_model
from offline.stimuli.stylegan.costs import (
    FLOOR_GFLOP_PER_S,
    INPUT,
    Peaks,
    file_costs,
    floor_costs,
    floor_ms,
    published_floor_ms,
    rank_of,
)
from offline.stimuli.stylegan.schedule import Widths, stylegan3
from offline.stimuli.stylegan.synthesis import Synthesis

# facts/synthesis_speed.md, "Networks measured and floors": mixing, up, down in GFLOP; floor in ms.
FLOORS = {
    (64, 2048, 64): (0.31, 0.23, 0.55, 8),
    (64, 4096, 128): (1.23, 0.47, 1.11, 20),
    (64, 16384, 512): (19.65, 1.88, 4.42, 185),
    (128, 2048, 64): (0.34, 0.35, 0.83, 11),
    (128, 4096, 128): (1.37, 0.69, 1.65, 26),
    (128, 16384, 512): (21.78, 2.76, 6.60, 222),
    (256, 4096, 128): (1.40, 1.00, 2.66, 36),
    (256, 16384, 512): (22.28, 3.99, 10.63, 264),
}


def _spec(resolution: int, base: int, most: int):
    return stylegan3("x", Widths(resolution, base, most, conv_kernel=1, radial=True))


def _gflop(costs, part):
    return sum(c.parts[part].flop for c in costs if c.name != INPUT and part in c.parts) / 1e9


@pytest.mark.parametrize("network", FLOORS, ids=lambda n: "/".join(map(str, n)))
def test_the_floors_of_the_facts_page_are_reproduced(network):
    costs = floor_costs(_spec(*network))
    *parts, ms = FLOORS[network]
    for part, expected in zip(("mixing", "up", "down"), parts, strict=True):
        assert _gflop(costs, part) == pytest.approx(expected, abs=0.0051)
    assert published_floor_ms(costs, FLOOR_GFLOP_PER_S) == pytest.approx(ms, abs=0.51)


def test_ranks_of_the_radial_filters_are_those_of_the_facts_page():
    ranks = [rank_of(layer) for layer in _spec(128, 2048, 64).layers]
    assert ranks[-3:-1] == [1, 1]  # critically sampled: separable
    assert set(ranks[:-4]) <= {2, 3}
    assert ranks[-4] == 4  # the last layer that is not
    assert ranks[-1] == 0  # ToRGB has no filter


def _graph_flop(model: onnx.ModelProto) -> dict[str, float]:
    """Operations of every convolution and product with a layer's name, by (layer, part)."""
    model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    shapes = {
        v.name: [d.dim_value or 1 for d in v.type.tensor_type.shape.dim]
        for v in (*model.graph.value_info, *model.graph.output, *model.graph.input)
    }
    shapes |= {i.name: list(i.dims) for i in model.graph.initializer}
    found: dict[str, float] = {}
    for node in model.graph.node:
        layer, _, what = node.name.partition("/")
        if node.op_type == "Conv":
            weight = shapes[node.input[1]]
            flop = 2.0 * np.prod(shapes[node.output[0]]) * np.prod(weight[1:])
        elif what.startswith("mix"):
            flop = 2.0 * np.prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]
        else:
            continue
        part = next(
            p for q, p in (("mix", "mixing"), ("up", "up"), ("down", "down")) if what.startswith(q)
        )
        found[f"{layer} {part}"] = found.get(f"{layer} {part}", 0.0) + flop
    return found


def test_counted_operations_are_those_of_the_file():
    torch.manual_seed(0)
    spec = stylegan3("x", Widths(64, 512, 16, conv_kernel=1, radial=True))
    model = synthesis_model(
        Synthesis(spec).eval(), formulation=Formulation(clamp="none", channel_multiple=1)
    )
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1
    graph = _graph_flop(model)
    for cost in file_costs(spec)[1:]:
        for part in ("mixing", "up", "down"):
            if part not in cost.parts:
                continue
            counted = cost.parts[part].flop
            # The file leaves out margins that no later layer reads, and sometimes crops by a zero tap.
            assert counted * 0.75 <= graph[f"{cost.name} {part}"] <= counted * 1.03, (
                cost.name,
                part,
            )


def test_the_floor_of_a_layer_is_its_arithmetic_or_its_memory():
    (_, layer, *_) = floor_costs(_spec(64, 2048, 64))
    flop, moved = layer.total.flop, layer.total.bytes
    assert floor_ms(layer, Peaks(100.0, 100.0, 1e9)) == pytest.approx(flop / 100.0 / 1e6)
    assert floor_ms(layer, Peaks(1e9, 1e9, 10.0)) == pytest.approx(moved / 10.0 / 1e6)
    mixing = layer.parts["mixing"].flop
    expected = (mixing / 1000.0 + (flop - mixing) / 100.0) / 1e6
    assert floor_ms(layer, Peaks(1000.0, 100.0, 1e9)) == pytest.approx(expected)


def test_a_batch_shares_the_reading_of_weights_and_nothing_else():
    spec = _spec(64, 2048, 64)
    for alone, shared in zip(floor_costs(spec)[1:], floor_costs(spec, batch=4)[1:], strict=True):
        n_weights = 4 * (alone.total.bytes - shared.total.bytes) / 3 / 4
        assert alone.total.flop == shared.total.flop
        layer = next(layer for layer in spec.layers if layer.name == alone.name)
        assert n_weights == pytest.approx(layer.in_channels * layer.out_channels)


def test_a_half_moves_half_the_bytes():
    spec = _spec(64, 2048, 64)
    for count in (floor_costs, file_costs):
        whole, half = count(spec), count(spec, 2)
        assert [c.total.bytes for c in half] == pytest.approx([c.total.bytes / 2 for c in whole])
