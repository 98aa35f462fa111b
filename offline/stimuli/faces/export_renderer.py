"""Export of the face renderer to ONNX: the first generator of the live path.

For ``offline.export``, which puts the file into a bundle. The graph takes latents ``w``
(N, layer, latent) float32 and gives ``image`` (N, row, col, rgb) uint8; N and layer are dynamic,
constants are folded. Must not know bundles.
"""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from offline.stimuli.faces.face_renderer import FaceRenderer

OPSET = 20


class _ImageGraph(nn.Module):
    """The renderer followed by the quantisation that the live path displays."""

    def __init__(self, renderer: FaceRenderer) -> None:
        super().__init__()
        self.renderer = renderer

    def forward(self, w: Tensor) -> Tensor:
        levels = torch.clamp(self.renderer(w) * 127.5 + 128.0, 0.0, 255.0)
        # Cast to the small type first: the transposition then moves a quarter of the bytes.
        return levels.to(torch.uint8).permute(0, 2, 3, 1)  # (N, row, col, rgb)


def image_of(renderer: FaceRenderer, w: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Render pictures with torch exactly as the exported graph does.

    Parameters
    ----------
    renderer : FaceRenderer
        The renderer.
    w : ndarray, float32, (N, layer, latent)
        Latents; only layer 0 is read.

    Returns
    -------
    ndarray, uint8, (N, row, col, rgb)
        Truncated ``clip(x * 127.5 + 128, 0, 255)``.
    """
    with torch.no_grad():
        image: NDArray[np.uint8] = _ImageGraph(renderer)(torch.from_numpy(w)).contiguous().numpy()
    return image


def export_renderer(renderer: FaceRenderer, path: str | Path) -> None:
    """Write the renderer as an ONNX file (opset 20, dynamic N and layer, constants folded).

    Parameters
    ----------
    renderer : FaceRenderer
        The renderer; it is not changed.
    path : str or Path
        File to write.

    Raises
    ------
    RuntimeError
        The exporter returned nothing.
    """
    import onnx
    import onnxslim

    graph = _ImageGraph(copy.deepcopy(renderer).cpu()).eval()
    n_latent = renderer.latent_mean.shape[0]
    example = torch.zeros((2, 3, n_latent), dtype=torch.float32)
    with warnings.catch_warnings():
        # torch 2.13's exporter calls a deprecated function of its own pytree; may go with it.
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        program = torch.onnx.export(
            graph,
            (example,),
            input_names=["w"],
            output_names=["image"],
            opset_version=OPSET,
            dynamic_shapes={"w": {0: torch.export.Dim("N"), 1: torch.export.Dim("layer")}},
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export: found no program, expected one. Report it.")
    model = onnxslim.slim(program.model_proto)
    for node in model.graph.node:
        # Stack traces with this machine's paths: useless there, and no two files would be equal.
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


@dataclass(frozen=True, slots=True)
class RendererParity:
    """How far ONNX Runtime's pictures are from torch's.

    Attributes
    ----------
    worst : int
        Largest difference of an element, in grey levels of 255.
    share : float
        Share of elements that differ.
    """

    worst: int
    share: float


def compare_with_onnx(
    renderer: FaceRenderer, path: str | Path, w: NDArray[np.float32]
) -> RendererParity:
    """Render the same latents with torch and with ONNX Runtime (CPU) and compare elementwise.

    Parameters
    ----------
    renderer : FaceRenderer
        The renderer that was exported.
    path : str or Path
        The exported file.
    w : ndarray, float32, (N, layer, latent)
        Latents, rendered one by one as in the live path.

    Returns
    -------
    RendererParity
        The worst element and the share of elements that differ.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    worst, differing, total = 0, 0, 0
    for trial in range(len(w)):
        one = w[trial : trial + 1]
        found = session.run(None, {"w": one})[0].astype(np.int16)
        distance = np.abs(found - image_of(renderer, one).astype(np.int16))
        worst = max(worst, int(distance.max()))
        differing += int(np.count_nonzero(distance))
        total += distance.size
    return RendererParity(worst=worst, share=differing / total)
