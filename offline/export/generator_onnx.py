"""The generator of a bundle: the face renderer of the simulated macaque, or any ONNX file that draws from w.

    w (1, 1, latent) float32  ->  image (1, row, col, rgb) uint8, or (1, rgb, row, col) float32 in [-1, 1]

Dimensions are fixed to these, so that the whole graph can lie on one device. Imports torch only to draw faces.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.bundle import ImageShape
from b2g_rt.errors import BundleError
from b2g_rt.simulation.macaque import Macaque
from offline.export.cpu_session import cpu_session
from offline.stages import Stage
from offline.stimuli.faces.face_reading import face_reading


def face_generator(macaque: Macaque, stage: Stage = lambda what, total: lambda done: None) -> bytes:
    """Return the ONNX file of the face renderer whose parameters this macaque's ROIs carry.

    Parameters
    ----------
    macaque : Macaque
    stage : Stage
        Progress; half a minute, nearly all of it torch's export.

    Raises
    ------
    BundleError
        ONNX Runtime draws other pictures than torch.
    """
    from offline.stimuli.faces.export_renderer import compare_with_onnx, export_renderer
    from offline.stimuli.faces.face_renderer import FaceRenderer

    renderer = FaceRenderer(macaque.latents.mean.astype(np.float32), face_reading(macaque))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "face.onnx"
        done = stage("generator: export from torch, about half a minute", 1)
        export_renderer(renderer, path)
        done(1)
        done = stage("generator: fixed shapes", 1)
        model = fixed_shapes(path.read_bytes(), macaque.latents.n_latents)
        path.write_bytes(model)
        done(1)
        done = stage("generator: compared with torch", 1)
        w = macaque.latents.draw(np.random.default_rng(0), 4)[:, None]
        parity = compare_with_onnx(renderer, path, w)
        done(1)
    if parity.worst > 2 or parity.share > 1e-3:
        raise BundleError(
            f"generator.onnx: {parity.share:.2%} of the pixels differ from torch's, by up to {parity.worst} grey "
            "levels, expected at most 2 in 0.1 %. The export is wrong: report it."
        )
    return model


def fixed_shapes(model: bytes, n_latents: int) -> bytes:
    """Return the model for one picture from one layer of latents, with everything foldable folded.

    Raises
    ------
    BundleError
        Not an ONNX model, or without an input ``w`` of one layer.
    """
    import onnx
    import onnxslim
    from google.protobuf.message import DecodeError

    try:
        proto = onnx.load_from_string(model)
    except DecodeError as error:
        raise BundleError(f"generator: {error}, expected an ONNX file. Check the path.") from None
    names = [i.name for i in proto.graph.input]
    if names != ["w"]:
        raise BundleError(f"generator: inputs {', '.join(names)}, expected one: w (1, 1, latent).")
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    wanted = (1, 1, n_latents)
    found = tuple(d.dim_value if d.HasField("dim_value") else None for d in dims)
    if len(found) != 3 or any(f is not None and f != n for f, n in zip(found, wanted, strict=True)):
        raise BundleError(
            f"generator: w has shape {found}, expected {wanted} (trial, layer, latent)."
        )
    slim = onnxslim.slim(proto, input_shapes=[f"w:1,1,{n_latents}"])
    # The exporter's stack traces and paths: useless there, and different on every machine.
    slim.doc_string = ""
    del slim.metadata_props[:]
    for part in (*slim.graph.node, slim.graph, *slim.graph.value_info, *slim.graph.initializer):
        part.doc_string = ""
        if hasattr(part, "metadata_props"):
            del part.metadata_props[:]
    onnx.checker.check_model(slim, full_check=True)
    return bytes(slim.SerializeToString())


class OnnxGenerator:
    """A generator file on ONNX Runtime's CPU provider.

    Parameters
    ----------
    model : bytes
        With fixed shapes, see ``fixed_shapes``.
    n_latents : int

    Attributes
    ----------
    image : ImageShape

    Raises
    ------
    BundleError
        It cannot be run, or gives no picture.
    """

    def __init__(self, model: bytes, n_latents: int) -> None:
        try:
            self._session = cpu_session(model)
            picture = self._run(np.zeros((1, 1, n_latents), np.float32))
        except Exception as error:  # ONNX Runtime raises a dozen unrelated classes.
            reason = str(error).splitlines()[0]
            raise BundleError(
                f"generator: {reason}, expected a model that runs on the CPU."
            ) from None
        self.image = _image_shape(picture)

    def _run(self, w: NDArray[np.float32]) -> NDArray[np.generic]:
        return np.asarray(self._session.run(None, {"w": w})[0])

    def render(self, w: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Draw pictures one by one, as live.

        Parameters
        ----------
        w : float32, axes (image, latent)

        Returns
        -------
        uint8, axes (image, row, col, rgb)
        """
        pictures = np.concatenate([self._run(row[None, None]) for row in w])
        if self.image.layout == "row_col_rgb_uint8":
            return pictures.astype(np.uint8)
        levels = np.clip(pictures.astype(np.float32) * 127.5 + 128.0, 0, 255).astype(np.uint8)
        return np.ascontiguousarray(levels.transpose(0, 2, 3, 1))


def _image_shape(picture: NDArray[np.generic]) -> ImageShape:
    shape = picture.shape
    if picture.dtype == np.uint8 and len(shape) == 4 and shape[3] == 3:
        return ImageShape(height=shape[1], width=shape[2], layout="row_col_rgb_uint8")
    if picture.dtype == np.float32 and len(shape) == 4 and shape[1] == 3:
        return ImageShape(height=shape[2], width=shape[3], layout="rgb_row_col_float32")
    raise BundleError(
        f"generator: output {picture.dtype} {shape}, expected uint8 (1, row, col, rgb) or float32 "
        "(1, rgb, row, col)."
    )
