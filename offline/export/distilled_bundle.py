"""The default bundle once more, drawing with the distilled network instead of the renderer it was distilled from.

Both generators read the same latents, so decoder, statistics and stimuli are the default bundle's.
"""

from __future__ import annotations

from pathlib import Path

from b2g_rt.contracts.bundle import ModelBundle
from offline.export.generator_onnx import fixed_shapes
from offline.export.new_generator import with_generator
from offline.export.source_hashes import distilled_sources
from offline.stages import Stage

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
    model = synthesis_model(network.synthesis, uint8=True).SerializeToString()
    source = ModelBundle(default)
    generator = fixed_shapes(model, source.manifest.n_latents)
    digest = with_generator(source, generator, out, sources=distilled_sources(), about=ABOUT)
    done(1)
    return digest
