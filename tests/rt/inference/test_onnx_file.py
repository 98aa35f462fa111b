from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from b2g_rt.contracts.shipped_bundles import bundle_path
from b2g_rt.errors import BundleError
from b2g_rt.inference.onnx_file import OnnxFacts, read_facts
from b2g_rt.inference.onnx_model import OnnxModel
from b2g_rt.inference.providers import ProviderSettings
from b2g_rt.inference.session_checks import TensorSpec
from b2g_rt.inference.session_opening import free_dimensions

CPU = ProviderSettings(request="cpu")
SHIPPED = [
    bundle_path(name) / f"{model}.onnx"
    for name in ("simulated-faces", "simulated-faces-fixed")
    for model in ("decoder", "generator")
]


def shapes(values) -> dict[str, tuple[int | str, ...]]:
    """Return what the onnx package says of inputs or outputs."""
    return {
        v.name: tuple(
            d.dim_value if d.HasField("dim_value") else d.dim_param
            for d in v.type.tensor_type.shape.dim
        )
        for v in values
    }


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_names_and_shapes_are_those_that_the_onnx_package_reads(path):
    graph = onnx.load(path).graph
    facts = read_facts(path)
    assert facts.inputs == shapes(graph.input)
    assert facts.outputs == shapes(graph.output)


def test_free_dimensions_are_read_by_their_names(bundle):
    facts = read_facts(bundle.file("generator.onnx"))
    assert facts.inputs == {"w": ("batch", "rows", 16)}
    assert facts.outputs == {"image": ("batch", 16, 16, 3)}
    assert not facts.float16


def test_a_session_knows_its_free_dimensions_as_numbers(bundle):
    model = OnnxModel(
        bundle.file("generator.onnx"),
        CPU,
        {"w": TensorSpec((1, 1, 16))},
        {"image": TensorSpec((1, 16, 16, 3), "uint8")},
    )
    assert model._session.get_inputs()[0].shape == [1, 1, 16]


def test_one_dimension_of_two_sizes_is_refused(tmp_path):
    facts = OnnxFacts(inputs={"a": ("n", 3), "b": ("n",)})
    specs = {"a": TensorSpec((1, 3)), "b": TensorSpec((2,))}
    with pytest.raises(BundleError, match="dimension 'n' is 2 here and 1 elsewhere"):
        free_dimensions(tmp_path / "x.onnx", facts, specs)


def model(nodes, weights) -> bytes:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(v, k) for k, v in weights.items()],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10
    ).SerializeToString()


HALF = np.eye(4, dtype=np.float16)
FLOAT, FLOAT16 = TensorProto.FLOAT, TensorProto.FLOAT16
NODE = helper.make_node


@pytest.mark.parametrize(
    ("nodes", "weights", "float16"),
    [
        ([NODE("MatMul", ["x", "w"], ["y"])], {"w": HALF.astype("f4")}, False),
        # Stored small, computed in float32: the shipped decoder does so.
        (
            [
                NODE("Gather", ["w", "i"], ["v"]),
                NODE("Cast", ["v"], ["u"], to=FLOAT),
                NODE("MatMul", ["x", "u"], ["y"]),
            ],
            {"w": HALF[None], "i": np.array(0)},
            False,
        ),
        (
            [
                NODE("Cast", ["x"], ["h"], to=FLOAT16),
                NODE("MatMul", ["h", "w"], ["z"]),
                NODE("Cast", ["z"], ["y"], to=FLOAT),
            ],
            {"w": HALF},
            True,
        ),
        (
            [
                NODE("Constant", [], ["w"], value=numpy_helper.from_array(HALF)),
                NODE("Transpose", ["w"], ["v"]),
                NODE("Neg", ["v"], ["n"]),
                NODE("Cast", ["n"], ["u"], to=FLOAT),
                NODE("MatMul", ["x", "u"], ["y"]),
            ],
            {},
            True,
        ),
    ],
    ids=["float32", "stored as float16", "cast to float16", "a constant that is computed with"],
)
def test_float16_is_what_is_computed_in_not_what_weights_are_stored_in(
    tmp_path, nodes, weights, float16
):
    path = tmp_path / "m.onnx"
    path.write_bytes(model(nodes, weights))
    assert read_facts(path).float16 is float16


@given(data=st.data())
def test_a_file_that_is_cut_or_changed_gives_facts_or_none_but_no_error(tmp_path_factory, data):
    whole = model([NODE("MatMul", ["x", "w"], ["y"])], {"w": HALF})
    stop = data.draw(st.integers(0, len(whole)))
    cut = bytearray(whole[:stop])
    for at in data.draw(st.lists(st.integers(0, max(0, stop - 1)), max_size=4)) if stop else []:
        cut[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("cut") / "m.onnx"
    path.write_bytes(cut)
    assert isinstance(read_facts(path), OnnxFacts)


def test_a_missing_file_has_no_facts(tmp_path: Path):
    assert read_facts(tmp_path / "none.onnx") == OnnxFacts()
