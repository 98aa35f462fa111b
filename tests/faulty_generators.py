"""Real ONNX generators that overflow for some latents: NaN where a chosen latent is negative."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from b2g_rt.contracts.bundle import FILES, ModelBundle, npz_bytes, write_bundle
from tests.tiny_bundle import SIZE, write_tiny_bundle

BYTES, FLOATS = "row_col_rgb_uint8", "rgb_row_col_float32"


def overflowing_generator(mixing: np.ndarray, layout: str, latent: int = 0) -> bytes:
    """Tanh of a mixture, plus 0 * sqrt(w[latent]); mixing (latent, value)."""
    shape = [-1, SIZE, SIZE, 3] if layout == BYTES else [-1, 3, SIZE, SIZE]
    nodes = [
        helper.make_node("Squeeze", ["w", "one"], ["x"]),
        helper.make_node("MatMul", ["x", "M"], ["y"]),
        helper.make_node("Tanh", ["y"], ["t"]),
        helper.make_node("Gather", ["x", "latent"], ["picked"], axis=1),
        helper.make_node("Sqrt", ["picked"], ["root"]),
        helper.make_node("Mul", ["root", "nothing"], ["hole"]),
        helper.make_node("Add", ["t", "hole"], ["p"]),
        helper.make_node("Reshape", ["p", "shape"], ["float" if layout == BYTES else "image"]),
    ]
    if layout == BYTES:
        nodes += [
            helper.make_node("Mul", ["float", "scale"], ["s"]),
            helper.make_node("Add", ["s", "middle"], ["q"]),
            helper.make_node("Clip", ["q", "lowest", "highest"], ["r"]),
            helper.make_node("Cast", ["r"], ["image"], to=TensorProto.UINT8),
        ]
    constants = {
        "M": mixing,
        "one": np.array([1], np.int64),
        "latent": np.array([latent], np.int64),
        "nothing": np.float32(0),
        "shape": np.array(shape, np.int64),
        "scale": np.float32(127),
        "middle": np.float32(128),
        "lowest": np.float32(0),
        "highest": np.float32(255),
    }
    kind = TensorProto.UINT8 if layout == BYTES else TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "overflowing",
        [helper.make_tensor_value_info("w", TensorProto.FLOAT, ["batch", "rows", len(mixing)])],
        [helper.make_tensor_value_info("image", kind, ["batch", *shape[1:]])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def write_overflowing_bundle(
    path: Path, layout: str, latent: int = 0, *, at_load: bool = False
) -> ModelBundle:
    """Write the tiny bundle with a generator that gives NaN where ``w[latent]`` is negative.

    ``at_load``: for its reference latents, too.
    """
    tiny = write_tiny_bundle(path)
    rng = np.random.default_rng(3)
    mixing = (rng.standard_normal((tiny.manifest.n_latents, SIZE * SIZE * 3)) / 4).astype("f4")
    reference = tiny.reference()
    w = np.abs(reference.w)
    images = np.tanh(w @ mixing).reshape(
        (-1, SIZE, SIZE, 3) if layout == BYTES else (-1, 3, SIZE, SIZE)
    )
    if layout == FLOATS:
        images = images.transpose(0, 2, 3, 1)
    files = {name: tiny.file(name).read_bytes() for name in FILES}
    files["generator.onnx"] = overflowing_generator(mixing, layout, latent)
    files["reference.npz"] = npz_bytes(
        features=reference.features,
        window_idx=reference.window_idx,
        latents=reference.latents,
        w=-w if at_load else w,
        images=np.clip(images * 127.5 + 128, 0, 255).astype(np.uint8),
    )
    manifest = json.loads((path / "manifest.json").read_bytes())
    manifest["image"]["layout"] = layout
    kept = {k: v for k, v in manifest.items() if k not in ("schema_version", "files")}
    write_bundle(path, kept, files)
    return ModelBundle(path)
