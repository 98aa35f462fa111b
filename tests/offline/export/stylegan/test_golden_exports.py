from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest

from offline.export.generator_onnx import OnnxGenerator, fixed_shapes
from offline.export.stylegan.formulation import Formulation
from offline.export.stylegan.mapping_graph import mapping_model
from offline.export.stylegan.model import synthesis_model
from offline.export.stylegan.parity import HALF_TOLERANCE
from tests.offline.export.stylegan.golden_exports import (
    draw,
    mapping_session,
    synthesis_proto,
    synthesis_session,
    worst_in_sd,
)
from tests.offline.stimuli.golden_networks import NAMES, golden, golden_generator

IMAGE_TOLERANCE = 5e-5  # of the image's SD; the facts ask for 2e-4
W_TOLERANCE = 1e-5
NOT_ON_A_GPU = {"If", "Loop", "Scan", "Shape", "Size", "NonZero", "ConstantOfShape", "Range"}
OTHER_WAYS = {
    "separable, zero rows by a product": Formulation(down="separable", insertion="matmul"),
    "static convolutions, 16 channels": Formulation(mixing="conv", channel_multiple=16),
    "clamp as it is": Formulation(clamp="clip"),
    "as with half": Formulation.for_half(),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("w", "image"),
    [("w_psi1.0", "img_psi1.0"), ("w_psi0.7", "img_psi0.7"), ("wplus", "img_wplus")],
    ids=["psi 1", "psi .7", "w per layer"],
)
def test_golden_pictures_are_drawn(name, w, image):
    arrays = golden(name).arrays
    assert worst_in_sd(draw(synthesis_session(name), arrays[w]), arrays[image]) < IMAGE_TOLERANCE


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("psi", [1.0, 0.7])
def test_golden_z_and_classes_become_golden_w(name, psi):
    arrays = golden(name).arrays
    feed = {"z": arrays["z"], "psi": np.array(psi, np.float32)}
    if len(arrays["classes"]):
        feed["class_id"] = arrays["classes"].astype(np.int64)
    w = mapping_session(name).run(None, feed)[0]
    assert worst_in_sd(w, arrays[f"w_psi{psi}"]) < W_TOLERANCE


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", OTHER_WAYS.values(), ids=OTHER_WAYS)
def test_every_formulation_draws_the_golden_pictures(name, form):
    arrays = golden(name).arrays
    image = draw(synthesis_session(name, formulation=form), arrays["wplus"])
    assert worst_in_sd(image, arrays["img_wplus"]) < 2 * IMAGE_TOLERANCE


@pytest.mark.parametrize("name", NAMES)
def test_half_draws_nearly_the_same(name):
    arrays = golden(name).arrays
    image = draw(synthesis_session(name, half=True), arrays["w_psi1.0"])
    assert image.dtype == np.float32
    assert worst_in_sd(image, arrays["img_psi1.0"]) < HALF_TOLERANCE
    difference = image - arrays["img_psi1.0"]
    assert difference.std() < 5e-3 * arrays["img_psi1.0"].std()


@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16"])
def test_bytes_are_the_quantised_floats(half):
    w = golden("sg3r").arrays["w_psi1.0"]
    image = draw(synthesis_session("sg3r", half=half), w).astype(np.float32)
    levels = np.clip(image * np.float32(127.5) + np.float32(128), 0, 255).astype(np.uint8)
    found = draw(synthesis_session("sg3r", half=half, uint8=True), w)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, levels.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("name", NAMES)
def test_one_row_of_w_serves_all_layers(name):
    rows = golden(name).arrays["w_psi0.7"]
    assert (rows == rows[:, :1]).all()
    drawn = draw(synthesis_session(name), rows[:, :1])
    np.testing.assert_array_equal(drawn, draw(synthesis_session(name), rows))


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_its_pictures_one_by_one(name):
    arrays = golden(name).arrays
    w = np.concatenate([arrays["wplus"], arrays["w_psi1.0"], arrays["w_psi0.7"]])
    assert len(w) >= 3
    together = draw(synthesis_session(name), w)
    alone = np.concatenate([draw(synthesis_session(name), row[None]) for row in w])
    assert worst_in_sd(together, alone) < 1e-5


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("half", [False, True], ids=["float32", "float16"])
def test_nothing_in_the_graph_is_bound_to_the_cpu(name, half):
    proto = synthesis_proto(name, half=half, uint8=True)
    onnx.checker.check_model(proto, full_check=True)
    constants = {tensor.name for tensor in proto.graph.initializer}
    assert not NOT_ON_A_GPU & {node.op_type for node in proto.graph.node}
    convolutions = [node for node in proto.graph.node if node.op_type == "Conv"]
    assert convolutions
    assert all(node.input[1] in constants for node in convolutions)
    # Folded: no node but the casts of stored weights computes with constants alone.
    alone = {n.op_type for n in proto.graph.node if all(i in constants for i in n.input)}
    assert alone <= ({"Cast"} if half else set())
    assert not any(node.doc_string or node.metadata_props for node in proto.graph.node)


def test_half_stores_weights_in_half_the_bytes():
    sizes = [
        sum(len(tensor.raw_data) for tensor in synthesis_proto("sg3r", half=half).graph.initializer)
        for half in (False, True)
    ]
    assert sizes[1] < 0.55 * sizes[0]


@pytest.mark.parametrize("name", NAMES)
def test_the_same_weights_give_the_same_bytes(name):
    network = golden_generator(name)
    for make in (
        lambda: synthesis_model(network.synthesis),
        lambda: mapping_model(network.mapping),
    ):
        first, second = (make().SerializeToString(deterministic=True) for _ in range(2))
        assert first == second


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("uint8", [False, True], ids=["float", "bytes"])
def test_a_bundle_takes_it_without_undoing_its_structure(name, uint8):
    arrays = golden(name).arrays
    proto = synthesis_proto(name, uint8=uint8)
    fixed = fixed_shapes(proto.SerializeToString(), 512)
    before = Counter(node.op_type for node in proto.graph.node)
    after = Counter(node.op_type for node in onnx.load_from_string(fixed).graph.node)
    for op in ("Conv", "LeakyRelu", "Clip", "Concat", "Transpose"):
        assert after[op] == before[op], op
    w = arrays["w_psi0.7"][:1, 0]
    found = OnnxGenerator(fixed, 512).render(w)
    wanted = np.clip(arrays["img_psi0.7"][:1] * 127.5 + 128, 0, 255).astype(np.uint8)
    off = np.abs(found.astype(np.int16) - wanted.transpose(0, 2, 3, 1))
    assert off.max() <= 1
    assert (off > 0).mean() < 1e-2
