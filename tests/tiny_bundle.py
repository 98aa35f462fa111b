"""A complete model bundle in miniature: three arrays, 16 latents, 16 x 16 pictures, real ONNX files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from b2g_rt.contracts.bundle import ModelBundle, npz_bytes, write_bundle
from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.contracts.windows import WindowSpec, paper_windows

CHANNELS = ChannelMap(192, (ArraySlot(0, "V1", 0), ArraySlot(1, "V4", 64), ArraySlot(2, "IT", 128)))
N_LATENTS, SIZE, N_STIMULI = 16, 16, 12


def _model(
    nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: dict[str, Any]
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(*i) for i in inputs],
        [helper.make_tensor_value_info(*o) for o in outputs],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def decoder_onnx(weights: np.ndarray, bias: np.ndarray) -> bytes:
    """Weights (window, channel, latent), bias (window, latent)."""
    n_channels, n_latents = weights.shape[1:]
    return _model(
        [
            helper.make_node("Gather", ["W", "window_idx"], ["w"], axis=0),
            helper.make_node("Gather", ["B", "window_idx"], ["b"], axis=0),
            helper.make_node("Unsqueeze", ["features", "one"], ["x"]),
            helper.make_node("MatMul", ["x", "w"], ["y"]),
            helper.make_node("Squeeze", ["y", "one"], ["z"]),
            helper.make_node("Add", ["z", "b"], ["latent"]),
        ],
        [("features", TensorProto.FLOAT, [1, n_channels]), ("window_idx", TensorProto.INT64, [1])],
        [("latent", TensorProto.FLOAT, [1, n_latents])],
        {"W": weights, "B": bias, "one": np.array([1], np.int64)},
    )


def generator_onnx(mixing: np.ndarray) -> bytes:
    """Mixing (latent, row * col * rgb)."""
    return _model(
        [
            helper.make_node("Squeeze", ["w", "one"], ["x"]),
            helper.make_node("MatMul", ["x", "M"], ["y"]),
            helper.make_node("Tanh", ["y"], ["t"]),
            helper.make_node("Mul", ["t", "scale"], ["s"]),
            helper.make_node("Add", ["s", "middle"], ["p"]),
            helper.make_node("Reshape", ["p", "shape"], ["q"]),
            helper.make_node("Cast", ["q"], ["image"], to=TensorProto.UINT8),
        ],
        [("w", TensorProto.FLOAT, ["batch", "rows", mixing.shape[0]])],
        [("image", TensorProto.UINT8, ["batch", SIZE, SIZE, 3])],
        {
            "M": mixing,
            "one": np.array([1], np.int64),
            "scale": np.float32(127),
            "middle": np.float32(128),
            "shape": np.array([-1, SIZE, SIZE, 3], np.int64),
        },
    )


def write_tiny_bundle(
    path: Path,
    *,
    channels: ChannelMap = CHANNELS,
    windows: WindowSpec | None = None,
    decoder_kind: str = "per_window",
    seed: int = 1,
) -> ModelBundle:
    """Write it and load it."""
    rng = np.random.default_rng(seed)
    windows = windows or paper_windows()
    n_windows = windows.n_windows if decoder_kind == "per_window" else 1
    n_channels = channels.n_channels
    weights = (rng.standard_normal((n_windows, n_channels, N_LATENTS)) / 14).astype(np.float32)
    bias = rng.standard_normal((n_windows, N_LATENTS)).astype(np.float32)
    mixing = (rng.standard_normal((N_LATENTS, SIZE * SIZE * 3)) / 4).astype(np.float32)
    features = rng.standard_normal((3, n_channels)).astype(np.float32)
    window_idx = np.arange(3) % n_windows
    latents = np.stack(
        [f @ weights[k] + bias[k] for f, k in zip(features, window_idx, strict=True)]
    )
    w = rng.standard_normal((2, N_LATENTS)).astype(np.float32)
    images = (np.tanh(w @ mixing) * 127 + 128).astype(np.uint8).reshape(-1, SIZE, SIZE, 3)
    write_bundle(
        path,
        {
            "name": "tiny",
            "decoder_kind": decoder_kind,
            "channel_map": channels.to_dict(),
            "windows": windows.to_dict(),
            "unit": "uV",
            "normalisation": {"kind": "frozen"},
            "n_latents": N_LATENTS,
            "image": {"height": SIZE, "width": SIZE, "layout": "row_col_rgb_uint8"},
            "simulated": True,
            "training": {},
            "metrics": {},
        },
        {
            "decoder.onnx": decoder_onnx(weights, bias),
            "generator.onnx": generator_onnx(mixing),
            "statistics.npz": npz_bytes(
                channel_mean=np.full(n_channels, 10.0),
                channel_sd=np.full(n_channels, 2.0),
                latent_mean=np.ones(N_LATENTS),
            ),
            "stimuli.npz": npz_bytes(
                id=np.array([f"face-{i:04d}" for i in range(N_STIMULI)]),
                latent=(1 + rng.standard_normal((N_STIMULI, N_LATENTS))).astype(np.float32),
            ),
            "reference.npz": npz_bytes(
                features=features, window_idx=window_idx, latents=latents, w=w, images=images
            ),
        },
    )
    return ModelBundle(path)
