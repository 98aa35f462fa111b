from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from offline.export.stylegan.formulation import Formulation
from offline.export.stylegan.graph_writer import GraphWriter
from offline.export.stylegan.layer_graph import Common, Signal, write_layer
from offline.export.stylegan.model import layer_plans, synthesis_model
from offline.export.stylegan.phase_planes import Span, axis_plan
from offline.stimuli.stylegan.generator import Generator
from offline.stimuli.stylegan.schedule import Widths, stylegan3
from offline.stimuli.stylegan.specification import LayerSpec
from offline.stimuli.stylegan.synthesis import Synthesis, SynthesisLayer
from tests.offline.export.stylegan.golden_exports import draw, session, worst_in_sd

W_DIM = 5
TOLERANCE = 5e-5


@st.composite
def layers(draw_):
    """A layer of any geometry that leaves something of the picture."""
    up, down = draw_(st.sampled_from([1, 2, 3, 4])), draw_(st.sampled_from([1, 2, 3]))
    up_taps, down_taps = draw_(st.integers(1, 13)), draw_(st.integers(1, 13))
    in_size, kernel = draw_(st.integers(1, 9)), draw_(st.sampled_from([1, 3]))
    grown = (in_size + kernel - 1) * up
    padding = []
    for _ in range(2):
        low = draw_(st.integers(-min(grown - 1, 9), 15))
        least = up_taps + down_taps - 1 - grown - low
        high = draw_(st.integers(max(-9, least), max(-9, least) + 12))
        # Cropped from both sides, something of the samples must be left for torch's padding.
        padding += [low, max(high, 1 - grown - min(low, 0))]
    return LayerSpec(
        name="L0",
        is_torgb=kernel == 1 and draw_(st.booleans()),
        is_critically_sampled=False,
        in_channels=draw_(st.integers(1, 10)),
        out_channels=draw_(st.integers(1, 10)),
        in_size=in_size,
        out_size=1,  # not read: the picture follows from the padding
        in_sampling_rate=16.0,
        out_sampling_rate=16.0 * up / down,
        in_cutoff=2.0,
        out_cutoff=2.0,
        in_half_width=2.0,
        out_half_width=2.0,
        up_factor=up,
        down_factor=down,
        up_taps=up_taps,
        down_taps=down_taps,
        down_radial=False,
        padding=tuple(padding),
        conv_kernel=kernel,
        conv_clamp=draw_(st.sampled_from([None, 0.5, 256.0])),
    )


def random_layer(spec: LayerSpec, seed: int, radial: bool) -> SynthesisLayer:
    """Random filters rather than designed ones: no symmetry can hide a wrong offset."""
    torch.manual_seed(seed)
    with torch.no_grad():
        layer = SynthesisLayer(spec, W_DIM).eval().requires_grad_(False)
        layer.bias.normal_()
        layer.magnitude_ema.fill_(2.5)
        up, down = (spec.up_taps,), (spec.down_taps,) * (2 if radial else 1)
        layer.register_buffer("up_filter", torch.randn(up) if spec.up_taps > 1 else None)
        layer.register_buffer("down_filter", torch.randn(down) if spec.down_taps > 1 else None)
    return layer


@settings(max_examples=150, deadline=None)
@given(
    layers(),
    st.integers(0, 1000),
    st.booleans(),
    st.sampled_from(
        [
            Formulation(),
            Formulation(down="separable", mixing="conv", insertion="matmul", clamp="clip"),
        ]
    ),
    st.floats(0, 0.4),
)
def test_any_layer_draws_what_torch_draws(spec, seed, radial, form, cropped):
    layer = random_layer(spec, seed, radial)
    x = torch.randn(2, spec.in_channels, spec.in_size, spec.in_size)
    w = torch.randn(2, W_DIM)
    wanted = layer(x, w).numpy()
    spans = []
    for size in wanted.shape[2:]:
        less = int(size * cropped)
        spans.append(Span(less, max(size - less // 2, less + 1)))
    rows, cols = spans
    wanted = wanted[:, :, rows.lo : rows.hi, cols.lo : cols.hi]
    left, _, top, _ = spec.padding
    plans = axis_plan(spec, top, rows), axis_plan(spec, left, cols)
    reads = plans[0].read, plans[1].read

    n_in = form.padded(spec.in_channels)
    graph = GraphWriter("layer")
    common = Common(graph, "zero", np.float32, form)
    made = write_layer(common, layer, Signal("x", n_in), "w", plans, 0.25)
    model = graph.model(
        [
            helper.make_tensor_value_info(
                "x", TensorProto.FLOAT, ["N", n_in, *[s.size for s in reads]]
            ),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, ["N", 1, W_DIM]),
            helper.make_tensor_value_info("zero", TensorProto.FLOAT, ["N", 1, 1, 1]),
        ],
        [
            helper.make_tensor_value_info(
                made.name, TensorProto.FLOAT, ["N", made.channels, *wanted.shape[2:]]
            )
        ],
    )
    onnx.checker.check_model(model, full_check=True)
    read = x.numpy()[:, :, reads[0].lo : reads[0].hi, reads[1].lo : reads[1].hi]
    feed = {
        "x": np.pad(read, ((0, 0), (0, n_in - spec.in_channels), (0, 0), (0, 0))),
        "w": w[:, None].numpy(),
        "zero": np.zeros((2, 1, 1, 1), np.float32),
    }
    runtime = session(model)
    found = runtime.run(None, {i.name: feed[i.name] for i in runtime.get_inputs()})[0]
    np.testing.assert_array_equal(found[:, spec.out_channels :], 0)
    scale = max(np.abs(wanted).max(), 1e-3)
    np.testing.assert_allclose(
        found[:, : spec.out_channels] * 4 / scale, wanted / scale, atol=TOLERANCE
    )


def random_synthesis(widths: Widths, seed: int = 0) -> Synthesis:
    torch.manual_seed(seed)
    synthesis = Generator(stylegan3("random", widths, w_dim=16)).synthesis
    with torch.no_grad():
        for layer in synthesis.layers:
            layer.bias.normal_(0, 0.3)
        # A picture that is turned and shifted: the affine part of the input is zero at first.
        synthesis.input.affine.weight.normal_(0, 0.3)
        synthesis.input.transform.copy_(
            torch.tensor([[0.8, 0.6, 0.1], [-0.6, 0.8, -0.2], [0.0, 0.0, 1.0]])
        )
    return synthesis.eval().requires_grad_(False)


@settings(max_examples=12, deadline=None)
@given(
    st.builds(
        Widths,
        resolution=st.sampled_from([16, 32, 64]),
        channel_base=st.sampled_from([64, 256, 1000]),
        channel_max=st.sampled_from([5, 8, 20]),
        n_layers=st.integers(4, 9),
        conv_kernel=st.sampled_from([1, 3]),
        radial=st.booleans(),
        margin=st.integers(1, 12),
    ),
    st.integers(0, 1000),
)
def test_any_schedule_draws_what_torch_draws(widths, seed):
    synthesis = random_synthesis(widths, seed)
    w = torch.randn(2, synthesis.spec.num_ws, 16)
    wanted = synthesis(w).numpy()
    found = draw(session(synthesis_model(synthesis)), w.numpy())
    assert worst_in_sd(found, wanted) < TOLERANCE


@pytest.mark.parametrize("kernel", [1, 3])
def test_more_channels_than_pixels_are_mixed_in_the_other_order(kernel):
    widths = Widths(16, 4096, 500, n_layers=4, conv_kernel=kernel, radial=True, margin=1)
    synthesis = random_synthesis(widths)
    rows, cols = layer_plans(synthesis.spec)[0]
    assert rows.low.size * cols.low.size < 500
    w = torch.randn(1, 1, 16)
    found = draw(session(synthesis_model(synthesis)), w.numpy())
    assert worst_in_sd(found, synthesis(w).numpy()) < TOLERANCE


@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16"])
def test_activations_beyond_the_clamp_are_cut_exactly(half):
    synthesis = random_synthesis(Widths(32, 256, 16, n_layers=6, conv_kernel=1, radial=True))
    w = torch.randn(1, 1, 16)
    with torch.no_grad():
        # Sums of a thousand times the clamp; ToRGB brings them back into a picture's range.
        synthesis.layers[2].bias.mul_(1e4)
        synthesis.layers[-1].weight.mul_(1e-2)
    wanted = synthesis(w).numpy()
    unclamped = draw(
        session(synthesis_model(synthesis, formulation=Formulation(clamp="none"))), w.numpy()
    )
    assert worst_in_sd(unclamped, wanted) > 1
    found = draw(session(synthesis_model(synthesis, half=half)), w.numpy())
    assert np.isfinite(found).all()
    assert worst_in_sd(found, wanted) < (5e-2 if half else TOLERANCE)


def test_a_layer_computes_no_sample_that_the_next_one_crops():
    spec = stylegan3("r", Widths(64, 256, 8, conv_kernel=1, radial=True))
    plans = layer_plans(spec)
    cropped = [
        layer.name
        for layer, (rows, cols) in zip(spec.layers, plans, strict=True)
        if rows.out.size < layer.out_size and cols.out.size < layer.out_size
    ]
    assert cropped
    assert plans[-1][0].out == Span(0, 64)
