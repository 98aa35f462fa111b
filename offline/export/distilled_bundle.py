"""The default bundle once more, drawing with the distilled network instead of the renderer it was distilled from.

The bundle's latents are the stimuli's, so decoder, statistics and stimuli are the default bundle's; how the network's
own w follows from them (``FaceLatents.of_stimuli``) is part of its generator file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from b2g_rt.contracts.bundle import ModelBundle
from offline.export.generator_onnx import fixed_shapes
from offline.export.new_generator import with_generator
from offline.export.source_hashes import distilled_sources
from offline.stages import Stage
from offline.stimuli.distilled.face_latents import GAIN, FaceLatents, shipped_face_latents

if TYPE_CHECKING:
    import onnx

NAME = "simulated-faces-distilled"
ABOUT = "StyleGAN3 network distilled from the procedural faces (b2g-offline train-generator)"


def make_distilled_bundle(default: Path, out: Path, stage: Stage) -> str:
    """Write the bundle and return its hash.

    Parameters
    ----------
    default : Path
        The default bundle.
    out : Path
        Directory to write.
    stage : Stage
        Progress.
    """
    from offline.export.stylegan.model import synthesis_model
    from offline.stimuli.generators import DISTILLED_FOLDER
    from offline.stimuli.stylegan.directory import load_generator

    done = stage("distilled generator: ONNX", 1)
    network = load_generator(DISTILLED_FOLDER)
    model = after_bend(synthesis_model(network.synthesis, uint8=True), shipped_face_latents())
    source = ModelBundle(default)
    generator = fixed_shapes(model.SerializeToString(), source.manifest.n_latents)
    digest = with_generator(source, generator, out, sources=distilled_sources(), about=ABOUT)
    done(1)
    return digest


def after_bend(synthesis: onnx.ModelProto, faces: FaceLatents) -> onnx.ModelProto:
    """Return the model that takes the stimuli's w, ``w`` (N, 1, latent) float32, and draws what the synthesis draws.

    Parameters
    ----------
    synthesis : onnx.ModelProto
        Input ``w`` (N, K, latent), the network's own.
    faces : FaceLatents
    """
    import onnx
    from onnx import TensorProto, compose, helper

    from offline.export.stylegan.graph_writer import GraphWriter

    mean, reading, drawing = (
        array.astype(np.float32)
        for array in (faces.mean, faces.stimulus_reading.T * GAIN, faces.own_drawing)
    )
    graph = GraphWriter("bend")
    with graph.scope("bend"):
        plain = graph.node("MatMul", graph.node("Sub", "w", mean), reading)
        drawn = graph.node("MatMul", graph.node("Tanh", plain), drawing)
        graph.node("Add", drawn, mean, name="own_w")
    shape: list[str | int | None] = ["N", 1, len(mean)]
    bend = graph.model(
        [helper.make_tensor_value_info("w", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("own_w", TensorProto.FLOAT, shape)],
    )
    # Both inputs are called w; every other name of the synthesis stays, its outputs' too.
    renamed = compose.add_prefix(
        synthesis,
        "synthesis/",
        rename_nodes=False,
        rename_edges=False,
        rename_outputs=False,
        rename_initializers=False,
        rename_value_infos=False,
        rename_functions=False,
    )
    own = renamed.graph.input[0].name
    merged = compose.merge_models(bend, renamed, io_map=[("own_w", own)])
    onnx.checker.check_model(merged)
    return merged
