from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from b2g_rt.errors import BundleError
from offline.export.generator_onnx import OnnxGenerator, fixed_shapes


def float_generator(w_dims):
    """Row, col and rgb all follow the first 12 latents; float32 (1, rgb, row, col)."""
    graph = helper.make_graph(
        [
            helper.make_node("Slice", ["w", "zero", "n", "axis"], ["few"]),
            helper.make_node("Reshape", ["few", "shape"], ["image"]),
        ],
        "float",
        [helper.make_tensor_value_info("w", TensorProto.FLOAT, w_dims)],
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 2, 2])],
        [
            helper.make_tensor("zero", TensorProto.INT64, [1], [0]),
            helper.make_tensor("n", TensorProto.INT64, [1], [12]),
            helper.make_tensor("axis", TensorProto.INT64, [1], [2]),
            helper.make_tensor("shape", TensorProto.INT64, [4], [-1, 3, 2, 2]),
        ],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9
    ).SerializeToString()


def test_dynamic_dimensions_are_fixed_to_one_picture():
    model = fixed_shapes(float_generator(["N", "layer", 16]), 16)
    graph = onnx.load_from_string(model).graph
    assert [d.dim_value for d in graph.input[0].type.tensor_type.shape.dim] == [1, 1, 16]
    assert [d.dim_value for d in graph.output[0].type.tensor_type.shape.dim] == [1, 3, 2, 2]


def test_float_pictures_become_bytes_as_in_stylegan():
    generator = OnnxGenerator(fixed_shapes(float_generator(["N", "layer", 16]), 16), 16)
    assert generator.image.layout == "rgb_row_col_float32"
    w = np.linspace(-1.2, 1.2, 16, dtype=np.float32)[None]
    picture = generator.render(w)[0]
    wanted = np.clip(w[0, :12].reshape(3, 2, 2) * 127.5 + 128, 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(picture, wanted.transpose(1, 2, 0))


def test_byte_pictures_pass_as_they_are(tiny_generator):
    generator = OnnxGenerator(fixed_shapes(tiny_generator, 512), 512)
    assert (generator.image.layout, generator.image.height) == ("row_col_rgb_uint8", 4)
    assert generator.render(np.zeros((2, 512), np.float32)).shape == (2, 4, 4, 3)


@pytest.mark.parametrize(
    ("model", "line"),
    [
        (b"no model at all", "expected an ONNX file"),
        (float_generator(["N", 16, 16]), "w has shape"),
        (float_generator(["N", "layer", 32]), r"expected \(1, 1, 16\)"),
    ],
    ids=["garbage", "sixteen layers", "other latents"],
)
def test_foreign_files_are_refused_with_one_line(model, line):
    with pytest.raises(BundleError, match=line) as caught:
        fixed_shapes(model, 16)
    assert "\n" not in str(caught.value)
