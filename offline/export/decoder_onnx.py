"""The decoder as an ONNX file, and whether ONNX Runtime computes what numpy computes.

    features (1, channel) float32, window_idx (1,) int64  ->  latent (1, latent) float32
    latent = features @ down[window_idx] @ up[window_idx] + bias[window_idx]

The factors are stored as float16 and cast to float32, which ONNX Runtime folds when it loads the file: half the
size on disk, all sums in float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import BundleError
from offline.decoding.decoder import LinearDecoder
from offline.export.cpu_session import cpu_session

OPSET = 20
# ONNX Runtime and numpy sum in another order: relative to the SD of the latents.
PARITY_TOLERANCE = 1e-5


def decoder_onnx(decoder: LinearDecoder) -> bytes:
    """Return the ONNX file of a decoder (opset 20, static shapes)."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    _, n_channels, rank = decoder.down.shape
    n_latents = decoder.bias.shape[1]
    nodes = [
        helper.make_node("Cast", ["down_f16"], ["down"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["up_f16"], ["up"], to=TensorProto.FLOAT),
        helper.make_node("Gather", ["down", "window_idx"], ["down_k"], axis=0),
        helper.make_node("Gather", ["up", "window_idx"], ["up_k"], axis=0),
        helper.make_node("Gather", ["bias", "window_idx"], ["bias_k"], axis=0),
        helper.make_node("Reshape", ["features", "features_shape"], ["row"]),
        helper.make_node("MatMul", ["row", "down_k"], ["components"]),
        helper.make_node("MatMul", ["components", "up_k"], ["moved"]),
        helper.make_node("Reshape", ["moved", "latent_shape"], ["moved_row"]),
        helper.make_node("Add", ["moved_row", "bias_k"], ["latent"]),
    ]
    graph = helper.make_graph(
        nodes,
        "decoder",
        inputs=[
            helper.make_tensor_value_info("features", TensorProto.FLOAT, [1, n_channels]),
            helper.make_tensor_value_info("window_idx", TensorProto.INT64, [1]),
        ],
        outputs=[helper.make_tensor_value_info("latent", TensorProto.FLOAT, [1, n_latents])],
        initializer=[
            numpy_helper.from_array(decoder.down, "down_f16"),
            numpy_helper.from_array(decoder.up, "up_f16"),
            numpy_helper.from_array(decoder.bias, "bias"),
            numpy_helper.from_array(np.array([1, 1, n_channels], np.int64), "features_shape"),
            numpy_helper.from_array(np.array([1, n_latents], np.int64), "latent_shape"),
        ],
        doc_string=f"{decoder.n_windows} windows, rank {rank}",
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9, producer_name="b2g_rt"
    )
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


class OnnxDecoder:
    """A decoder file on ONNX Runtime's CPU provider; one window at a time, as it runs live."""

    def __init__(self, model: bytes) -> None:
        self._session = cpu_session(model)

    def predict(self, features: NDArray[np.float32], window_idx: int) -> NDArray[np.float32]:
        """Decode one window of many trials; see ``LinearDecoder.predict``."""
        k = np.array([window_idx], np.int64)
        rows = [
            self._session.run(["latent"], {"features": row[None], "window_idx": k})[0][0]
            for row in features
        ]
        return np.stack(rows) if rows else np.empty((0, self._n_latents()), np.float32)

    def _n_latents(self) -> int:
        return int(self._session.get_outputs()[0].shape[1])


@dataclass(frozen=True, slots=True)
class Parity:
    """Worst difference, in SDs of the latents, and where it is."""

    worst: float
    trial: int
    window_idx: int
    latent: int


def check_decoder_parity(
    model: bytes, decoder: LinearDecoder, features: NDArray[np.float32]
) -> Parity:
    """Compare ONNX Runtime with numpy, element by element.

    Parameters
    ----------
    model : bytes
        The decoder's ONNX file.
    decoder : LinearDecoder
        The very weights that were exported.
    features : float32, axes (trial, window, channel)

    Returns
    -------
    Parity

    Raises
    ------
    BundleError
        The worst element exceeds PARITY_TOLERANCE.
    """
    runtime = OnnxDecoder(model)
    windows = range(features.shape[1])
    found = np.stack([runtime.predict(features[:, k], k) for k in windows], axis=1)
    wanted = np.stack([decoder.predict(features[:, k], k) for k in windows], axis=1)
    difference = np.abs(found - wanted) / (float(wanted.std()) or 1.0)
    trial, window_idx, latent = (
        int(i) for i in np.unravel_index(difference.argmax(), wanted.shape)
    )
    parity = Parity(float(difference.max()), trial, window_idx, latent)
    if not parity.worst <= PARITY_TOLERANCE:
        raise BundleError(
            f"decoder.onnx: trial {trial}, window {window_idx}, latent {latent} differs from numpy by "
            f"{parity.worst:.2g} SD, expected at most {PARITY_TOLERANCE:g}. The export is wrong: report it."
        )
    return parity
