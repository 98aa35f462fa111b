"""One stimulus set from its plan to its files: what may be drawn with which generator, drawn, and written down.

For the command. The set's directory is described in ``docs/stimulus_set.md``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import GeneratorError
from offline.stimuli.made_folder import cannot_write
from offline.stimuli.synthesis.classes import imagenet
from offline.stimuli.synthesis.picture_folder import LIMIT, THREADS, PictureFolder
from offline.stimuli.synthesis.plans import NOISE_MODE, StimulusPlan
from offline.stimuli.synthesis.render import Drawing, draw_missing, threads_within
from offline.stimuli.synthesis.stimulus_file import write_stimuli

if TYPE_CHECKING:
    from offline.stimuli.generators import PictureGenerator

NOISE_MODE_NOTE = "the paper's argument; it does nothing in these networks"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did: pictures that were drawn now, and that were there."""

    n_drawn: int
    n_there: int


def check_for_faces(generator: PictureGenerator) -> None:
    """Refuse a generator that needs a class for every picture.

    Raises
    ------
    GeneratorError
        It has classes.
    """
    if generator.n_classes:
        raise GeneratorError(
            f"generator {generator.name}: {generator.n_classes} classes, expected none for faces. Use b2g-offline "
            "synthesize images."
        )


def check_for_images(generator: PictureGenerator) -> None:
    """Refuse a generator whose classes are not those of ImageNet-1k, each with its own mean latent.

    Raises
    ------
    GeneratorError
        It has no classes, another number of them, or one mean for all.
    """
    n = len(imagenet().wnids)
    if generator.n_classes != n:
        raise GeneratorError(
            f"generator {generator.name}: {generator.n_classes} classes, expected the {n} of ImageNet-1k for images. "
            "Import such a network (imagenet512), or use b2g-offline synthesize faces."
        )
    if generator.w_avg.ndim != 2:
        raise GeneratorError(
            f"generator {generator.name}: one mean latent for all classes, expected one of each class for images. "
            "Import a StyleGAN-XL network (imagenet512)."
        )


def make_set(
    plan: StimulusPlan,
    w: NDArray[np.float32],
    generator: PictureGenerator,
    out: Path,
    drawing: Drawing,
    *,
    settings: Mapping[str, Any],
    provenance: Mapping[str, Any],
    limit: int | None = None,
    columns: Mapping[str, NDArray[Any]] | None = None,
    begun: Callable[[int, int], Callable[[int], None]],
) -> Outcome:
    """Draw what is missing of a set and write its files.

    Parameters
    ----------
    plan : StimulusPlan
        Already limited.
    w : float32, axes (stimulus, w_dim)
        Of the plan's pictures, after truncation.
    generator : PictureGenerator
    out : Path
        The set's directory; an unfinished set of the same settings is gone on with.
    drawing : Drawing
    settings : mapping
        What this kind of set depends on besides the generator, psi and the way of drawing; plain data.
    provenance : mapping
        Command and versions, and what else belongs into the file; plain data.
    limit : int, optional
        Pictures per split that the plan was limited to. May grow from run to run, not shrink.
    columns : mapping, optional
        Further columns of ``stimuli.h5``.
    begun : callable
        Called with (pictures to draw, pictures that are there); returns what is called with pictures done.

    Raises
    ------
    StimulusError
        The directory holds something else, or cannot be written; a picture has values that are no numbers.
    """
    depends = {
        "kind": plan.kind,
        "generator_sha256": generator.digest,
        "psi": plan.psi,
        **settings,
        "device": drawing.device,
        "batch": drawing.batch,
        THREADS: threads_within(generator, drawing),
        LIMIT: limit,
    }
    with PictureFolder(out, depends) as folder:
        finished = folder.finished(plan.files, drawing.workers)
        done = begun(len(plan) - len(finished), len(finished))
        digests = draw_missing(folder, plan.files, w, generator, drawing, finished, done)
        try:
            folder.settle(plan.files, digests)
        except OSError as error:
            raise cannot_write(out, error) from None
    write_stimuli(out, plan, w, digests, _provenance(plan, generator, drawing, provenance), columns)
    return Outcome(n_drawn=len(plan) - len(finished), n_there=len(finished))


def digest_of_plan(plan: StimulusPlan, w: NDArray[np.float32] | None = None) -> str:
    """Return a SHA-256 of ids, z, classes and, where given, w: what the settings of a set do not spell out."""
    hashed = hashlib.sha256(repr((plan.ids, plan.wnid)).encode())
    hashed.update(plan.class_id.tobytes())
    hashed.update(plan.z.tobytes() if w is None else w.tobytes())
    return hashed.hexdigest()


def _provenance(
    plan: StimulusPlan,
    generator: PictureGenerator,
    drawing: Drawing,
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    import torch

    return {
        "kind": plan.kind,
        "generator": {
            "name": generator.name,
            "sha256": generator.digest,
            "z_dim": generator.z_dim,
            "w_dim": generator.w_dim,
            "num_ws": generator.num_ws,
            "n_classes": generator.n_classes,
            "resolution": generator.resolution,
        },
        "psi": plan.psi,
        "noise_mode": NOISE_MODE,
        "noise_mode_note": NOISE_MODE_NOTE,
        "device": drawing.device,
        "device_name": torch.cuda.get_device_name() if drawing.device == "cuda" else "cpu",
        "batch": drawing.batch,
        THREADS: threads_within(generator, drawing),
        **provenance,
    }
