"""A generator exported as float16, with float32 at its ends, on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from b2g_rt.bench.generator_rate import picture_times
from b2g_rt.errors import BundleError
from b2g_rt.inference.onnx_model import OnnxModel
from b2g_rt.inference.providers import ProviderSettings
from b2g_rt.inference.session_checks import TensorSpec

CPU = ProviderSettings(request="cpu")
N_LATENTS, SIZE, CHANNELS = 8, 16, 16


def generator(path: Path, dtype: type[np.floating], layout: str) -> Path:
    """Write MatMul, clamped LeakyRelu, Conv and ToRGB as a StyleGAN3 layer has them."""
    rng = np.random.default_rng(2)
    kind = TensorProto.FLOAT16 if dtype is np.float16 else TensorProto.FLOAT
    weights = {
        "M": rng.standard_normal((N_LATENTS, CHANNELS * SIZE * SIZE)) * 40,
        "K": rng.standard_normal((CHANNELS, CHANNELS, 3, 3)) / 12,
        "T": rng.standard_normal((3, CHANNELS, 1, 1)) / 300,
        "low": np.array(-256.0),
        "high": np.array(256.0),
    }
    node = helper.make_node
    nodes = [
        node("Cast", ["w"], ["h"], to=kind),
        node("Squeeze", ["h", "one"], ["s"]),
        node("MatMul", ["s", "M"], ["m"]),
        node("Reshape", ["m", "grid"], ["g"]),
        node("Clip", ["g", "low", "high"], ["c"]),
        node("Conv", ["c", "K"], ["k"], pads=[1, 1, 1, 1]),
        node("LeakyRelu", ["k"], ["l"], alpha=0.2),
        node("Conv", ["l", "T"], ["t"]),
        node("Cast", ["t"], ["float"], to=TensorProto.FLOAT),
    ]
    if layout == "bytes":
        nodes += [
            node("Transpose", ["float"], ["rows"], perm=[0, 2, 3, 1]),
            node("Mul", ["rows", "scale"], ["x"]),
            node("Add", ["x", "middle"], ["y"]),
            node("Clip", ["y", "black", "white"], ["z"]),
            node("Cast", ["z"], ["image"], to=TensorProto.UINT8),
        ]
        shape: list[str | int | None] = ["batch", SIZE, SIZE, 3]
        out = TensorProto.UINT8
    else:
        nodes[-1].output[0] = "image"
        shape, out = ["batch", 3, SIZE, SIZE], TensorProto.FLOAT
    constants = {
        **{name: value.astype(dtype) for name, value in weights.items()},
        "one": np.array([1], np.int64),
        "grid": np.array([-1, CHANNELS, SIZE, SIZE], np.int64),
        "scale": np.float32(127.5),
        "middle": np.float32(128),
        "black": np.float32(0),
        "white": np.float32(255),
    }
    graph = helper.make_graph(
        nodes,
        "generator",
        [helper.make_tensor_value_info("w", TensorProto.FLOAT, ["batch", "k", N_LATENTS])],
        [helper.make_tensor_value_info("image", out, shape)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def opened(path: Path, layout: str) -> OnnxModel:
    image = (
        TensorSpec((1, SIZE, SIZE, 3), "uint8")
        if layout == "bytes"
        else TensorSpec((1, 3, SIZE, SIZE))
    )
    return OnnxModel(path, CPU, {"w": TensorSpec((1, 1, N_LATENTS))}, {"image": image})


@pytest.mark.parametrize("layout", ["bytes", "floats"])
def test_float16_gives_the_pictures_of_float32_on_the_cpu_and_says_that_it_is_slow(
    tmp_path, caplog, layout, rng
):
    half = opened(generator(tmp_path / "half.onnx", np.float16, layout), layout)
    whole = opened(generator(tmp_path / "whole.onnx", np.float32, layout), layout)
    assert half.record.precision == "float16"
    assert whole.record.precision == "float32"
    w = rng.standard_normal((1, 1, N_LATENTS)).astype(np.float32)
    a, b = (m.run({"w": w})["image"].astype(np.float64) for m in (half, whole))
    assert b.std() > 0
    assert np.abs(a - b).max() < (2.5 if layout == "bytes" else 0.02)
    (line,) = [r.getMessage() for r in caplog.records]
    assert line.startswith(
        f"{tmp_path / 'half.onnx'}: float16 on the CPU: right, but several times slower"
    )


@pytest.mark.parametrize("layout", ["bytes", "floats"])
def test_a_bare_generator_s_rate_can_be_measured(tmp_path, layout):
    path = generator(tmp_path / "g.onnx", np.float32, layout)
    measured = picture_times(str(path), CPU, 5)
    assert measured["pictures_per_s"] > 0
    assert (measured["provider"], measured["precision"]) == ("CPUExecutionProvider", "float32")


def test_a_bundle_s_rate_can_be_measured(bundle):
    assert picture_times(str(bundle.path), CPU, 5)["ms"]["p50"] > 0


def test_what_is_no_generator_is_not_measured(tmp_path, bundle):
    with pytest.raises(BundleError, match="no such file"):
        picture_times(str(tmp_path / "none.onnx"), CPU, 5)
    with pytest.raises(BundleError, match=r"expected w \(N, K, latent\) and image"):
        picture_times(str(bundle.file("decoder.onnx")), CPU, 5)
