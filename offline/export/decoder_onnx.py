"""The decoder as an ONNX file, and whether ONNX Runtime computes what numpy computes.

    features (1, channel) float32, window_idx (1,) int64  ->  latent (1, latent) float32
    latent = features @ down[window_idx] @ up[window_idx] + bias[window_idx]

A decoder that remembers something from window to window (smoothing, attention) has one more input and output,
``state`` and ``next_state`` (1, number) float32: the caller hands back what it was given, and 0 before a trial's
first window. What a decoder remembers is thus never inside the file.
The factors are stored as float16 and cast to float32, which ONNX Runtime folds when it loads the file: half the
size on disk, all sums in float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import BundleError
from offline.decoding.attention_decoder import AttentionDecoder
from offline.decoding.decoder import LinearDecoder
from offline.decoding.smoothing import SmoothedDecoder
from offline.decoding.stepping import Decodes, decode_trials
from offline.export.attention_onnx import attention_graph
from offline.export.cpu_session import cpu_session
from offline.export.decoder_graph import Graph

Decoder = LinearDecoder | SmoothedDecoder | AttentionDecoder

# ONNX Runtime and numpy sum in another order: relative to the SD of the latents.
PARITY_TOLERANCE = 1e-5


def decoder_onnx(decoder: Decoder) -> bytes:
    """Return the ONNX file of a decoder (opset 20, static shapes)."""
    if isinstance(decoder, AttentionDecoder):
        return attention_graph(decoder).model()
    linear = decoder.decoder if isinstance(decoder, SmoothedDecoder) else decoder
    if not isinstance(linear, LinearDecoder):
        raise TypeError(f"{type(linear).__name__} under smoothing, expected LinearDecoder.")
    n_channels, n_latents = linear.down.shape[1], linear.bias.shape[1]
    rank = f"rank {linear.down.shape[2]}" if linear.up is not None else "full rank"
    graph = Graph(n_channels, n_latents, decoder.n_state, f"{decoder.n_windows} windows, {rank}")
    if isinstance(decoder, SmoothedDecoder):
        _add_linear(graph, linear, "raw")
        _add_smoothing(graph, decoder)
    else:
        _add_linear(graph, linear, "latent")
    return graph.model()


def _add_linear(graph: Graph, decoder: LinearDecoder, output: str) -> None:
    n_channels, n_latents = decoder.down.shape[1], decoder.bias.shape[1]
    row = graph.reshaped("features", (1, 1, n_channels), "row")
    last = graph.node("MatMul", [row, graph.at_window(decoder.down, "down")], "components")
    if decoder.up is not None:
        last = graph.node("MatMul", [last, graph.at_window(decoder.up, "up")], "moved")
    moved = graph.reshaped(last, (1, n_latents), "moved_row")
    graph.node("Add", [moved, graph.at_window(decoder.bias, "bias")], output)


def _add_smoothing(graph: Graph, decoder: SmoothedDecoder) -> None:
    smoothing = decoder.smoothing
    n = len(smoothing.mean)
    mean = graph.constant(smoothing.mean[None], "latent_mean")
    apart = graph.node("Sub", ["raw", mean], "apart")
    before = {
        "keep": graph.columns("state", 0, n, "moved_before"),
        "back": graph.columns("state", n, 2 * n, "apart_before"),
    }
    kept = graph.node("Mul", [graph.at_window(smoothing.keep, "keep"), before["keep"]], "kept")
    gained = graph.node("Mul", [graph.at_window(smoothing.gain, "gain"), apart], "gained")
    backed = graph.node("Mul", [graph.at_window(smoothing.back, "back"), before["back"]], "backed")
    moved = graph.node("Add", [graph.node("Add", [kept, gained], "partly"), backed], "smoothed")
    graph.node("Concat", [moved, apart], "next_state", axis=1)
    graph.node("Add", [mean, moved], "latent")


class OnnxDecoder:
    """A decoder file on ONNX Runtime's CPU provider; one window of one trial at a time, as it runs live.

    Sent to another process, it is opened anew there.
    """

    def __init__(self, model: bytes) -> None:
        self._model = model
        self._session = cpu_session(model)
        inputs = {i.name: i.shape for i in self._session.get_inputs()}
        self.n_state = int(inputs["state"][1]) if "state" in inputs else 0

    def __reduce__(self) -> tuple[type[OnnxDecoder], tuple[bytes]]:
        return OnnxDecoder, (self._model,)

    def predict(self, features: NDArray[np.float32], window_idx: int) -> NDArray[np.float32]:
        """Decode one window of many trials; see ``LinearDecoder.predict``.

        Raises
        ------
        TypeError
            The decoder remembers something: windows must be decoded in order, see ``decode_trials``.
        """
        if self.n_state:
            raise TypeError(
                f"decoder.onnx remembers {self.n_state} numbers from window to window, expected none. "
                "Decode whole trials with decode_trials."
            )
        return self.step(features, window_idx, np.empty((len(features), 0), np.float32))[0]

    def step(
        self, features: NDArray[np.float32], window_idx: int, state: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Decode one window of many trials; see ``Decodes``."""
        k = np.array([window_idx], np.int64)
        latents = np.empty((len(features), self._n_latents()), np.float32)
        after = np.empty_like(state)
        for i, row in enumerate(features):
            feed = {"features": row[None], "window_idx": k}
            if self.n_state:
                feed["state"] = state[i][None]
                latents[i], after[i] = (
                    found[0] for found in self._session.run(["latent", "next_state"], feed)
                )
            else:
                latents[i] = self._session.run(["latent"], feed)[0][0]
        return latents, after

    def _n_latents(self) -> int:
        shapes = {o.name: o.shape for o in self._session.get_outputs()}
        return int(shapes["latent"][1])


@dataclass(frozen=True, slots=True)
class Parity:
    """Worst difference, in SDs of the latents, and where it is."""

    worst: float
    trial: int
    window_idx: int
    latent: int


def check_decoder_parity(
    model: bytes, decoder: Decodes, features: NDArray[np.float32], *, fixed: bool = False
) -> Parity:
    """Compare ONNX Runtime with numpy, element by element.

    Parameters
    ----------
    model : bytes
        The decoder's ONNX file.
    decoder : Decodes
        The very weights that were exported.
    features : float32, axes (trial, window, channel)
    fixed : bool
        See ``decode_trials``.

    Returns
    -------
    Parity

    Raises
    ------
    BundleError
        The worst element exceeds PARITY_TOLERANCE.
    """
    found = decode_trials(OnnxDecoder(model), features, fixed=fixed)
    wanted = decode_trials(decoder, features, fixed=fixed)
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
