"""The two calibrated macaques: one looks at faces, one at natural images; each as hard to decode as the real one.

Source of all numbers: facts/brain2gan.md, calibrated against Brain2GAN, doi 10.1371/journal.pcbi.1012058.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from b2g_rt.simulation.latent_space import (
    FACE_LATENT_SEED,
    IMAGE_LATENT_SEED,
    LatentSpace,
    face_latents,
    image_latents,
)
from b2g_rt.simulation.macaque import MacaqueSpec, RoiTuning
from b2g_rt.simulation.time_course import TimeCourse


def faces_spec(seed: int = 1) -> MacaqueSpec:
    """Return the macaque that looks at faces; its ROIs are tuned to components of their own."""
    return MacaqueSpec(
        rois=(
            RoiTuning("V1", 28, 0.40, 0.40, 35.0, 4.0, (25, 125)),
            RoiTuning("V4", 28, 0.35, 0.40, 45.0, 8.0, (50, 150)),
            RoiTuning("IT", 45, 0.35, 0.40, 60.0, 12.0, (75, 175)),
        ),
        seed=seed,
        preset="faces",
    )


def images_spec(seed: int = 1) -> MacaqueSpec:
    """Return the macaque that looks at natural images; others are tuned to 48 of V1's 80 components, too.

    Notes
    -----
    That a third of IT's components are others' as well is not in the facts: without it all ROIs together decode at
    .819, with it at .811 (window means, four seeds, SD .003), and the paper has .80. Single ROIs score the same.
    Nor is the height of the plateau: at the faces' .4 the window that ends at +75 ms has .49 of the final gain (four
    seeds, SD .002), at .35 .53; the paper has .70, and .50 to .70 is wanted. The ROI windows score the same.
    """
    return MacaqueSpec(
        rois=(
            RoiTuning("V1", 80, 0.50, 0.30, 35.0, 4.0, (25, 125), shared=0.6),
            RoiTuning("V4", 180, 0.40, 0.40, 45.0, 8.0, (50, 150)),
            RoiTuning("IT", 180, 0.40, 0.50, 60.0, 12.0, (75, 175), shared=1 / 3),
        ),
        seed=seed,
        preset="images",
        time_course=TimeCourse(plateau=0.35),
    )


@dataclass(frozen=True, slots=True)
class Preset:
    """A stimulus set with its macaque.

    Attributes
    ----------
    name : str
    spec : callable (seed) to MacaqueSpec
    latents : callable (seed) to LatentSpace
    latent_seed : int
        The default one.
    n_train, n_test, n_repeats : int
        Stimuli shown once for training, and for the test, each so many times, as in the paper.
    """

    name: str
    spec: Callable[[int], MacaqueSpec]
    latents: Callable[[int], LatentSpace]
    latent_seed: int
    n_train: int
    n_test: int
    n_repeats: int


PRESETS = {
    "faces": Preset("faces", faces_spec, face_latents, FACE_LATENT_SEED, 4000, 100, 20),
    "images": Preset("images", images_spec, image_latents, IMAGE_LATENT_SEED, 4000, 200, 20),
}
