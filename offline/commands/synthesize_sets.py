"""``b2g-offline synthesize faces`` and ``images``: the paper's stimulus sets."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from offline.commands.console import say
from offline.commands.synthesize_options import (
    FACES,
    BatchOption,
    DeviceName,
    DeviceOption,
    OutOption,
    WorkersOption,
    make,
    told,
)
from offline.destinations import check_folder


class LookupName(StrEnum):
    """How a class of the list becomes an index."""

    id = "id"
    paper = "paper"


PsiOption = Annotated[
    float, typer.Option(help="Truncation: 1 none, 0 the mean latent.", min=0.0, max=1.0)
]
LimitOption = Annotated[
    int | None,
    typer.Option(
        help="Only the first so many of each split; a later run may go on to more.", min=1
    ),
]


def faces(
    out: OutOption,
    generator: Annotated[
        str,
        typer.Option(help="Directory of a generator without classes, or a shipped one's name."),
    ] = FACES,
    psi: PsiOption = 0.7,
    device: DeviceOption = DeviceName.auto,
    batch: BatchOption = None,
    workers: WorkersOption = None,
    limit: LimitOption = None,
) -> None:
    """Draw the paper's faces: 100 for the test (seed 7) and 4000 for training (seed 6).

    A try with ten of each: b2g-offline synthesize faces --out stimuli/faces --limit 10

    The same command without --limit goes on to the whole set, after Ctrl-C too.
    """
    check_folder("--out", out)
    from offline.stimuli.generators import open_generator
    from offline.stimuli.synthesis.plans import TEST_SEED, TRAINING_SEED, faces_plan
    from offline.stimuli.synthesis.render import chosen_drawing
    from offline.stimuli.synthesis.stimulus_set import check_for_faces

    drawing = chosen_drawing(device.value, batch, workers)
    opened = open_generator(generator)
    check_for_faces(opened)
    plan = faces_plan(opened.z_dim, psi).limited(limit)
    seeds = {"test": TEST_SEED, "training": TRAINING_SEED}
    provenance = {"generator_given": generator, "seeds": seeds}
    make(plan, None, opened, out, drawing, settings={}, provenance=provenance, limit=limit)
    told(out, plan)


def images(
    out: OutOption,
    generator: Annotated[
        str,
        typer.Option(help="Directory of a generator with the 1000 classes of ImageNet-1k."),
    ],
    classes: Annotated[
        Path | None,
        typer.Option(help="Class list: WordNet ids, one a line. Default: the paper's 200."),
    ] = None,
    lookup: Annotated[
        LookupName,
        typer.Option(
            help="id: the class that the list names. paper: the one that the published notebook took, another one "
            "for ten of its 200."
        ),
    ] = LookupName.id,
    psi: PsiOption = 0.7,
    device: DeviceOption = DeviceName.auto,
    batch: BatchOption = None,
    workers: WorkersOption = None,
    limit: LimitOption = None,
) -> None:
    """Draw the paper's natural images: the mean of 200 classes for the test, 20 of each for training.

    With an imported network: b2g-offline synthesize images --generator generators/imagenet512 --out stimuli/images

    The published stimuli again: add --lookup paper
    """
    check_folder("--out", out)
    from offline.stimuli.synthesis.classes import PAPER_LIST, read_class_list

    listed = classes or PAPER_LIST
    wnids = read_class_list(listed)
    from offline.stimuli.generators import open_generator
    from offline.stimuli.synthesis.plans import images_plan
    from offline.stimuli.synthesis.render import chosen_drawing
    from offline.stimuli.synthesis.stimulus_set import check_for_images

    drawing = chosen_drawing(device.value, batch, workers)
    opened = open_generator(generator)
    check_for_images(opened)
    plan = images_plan(opened.z_dim, wnids, lookup.value, psi)
    provenance = {
        "generator_given": generator,
        "seeds": "each class's own index",
        "class_list": listed.name,
        "lookup": lookup.value,
    }
    settings = {"lookup": lookup.value, "classes": _digest(wnids)}
    limited = plan.limited(limit)
    make(limited, None, opened, out, drawing, settings=settings, provenance=provenance, limit=limit)
    told(out, limited)
    wrong = sorted(
        {pair for pair in zip(plan.wnid, plan.drawn_wnid, strict=True) if len(set(pair)) > 1}
    )
    if wrong:
        say(
            f"as in the paper, {len(wrong)} classes are drawn as others (wnid, drawn_wnid in the file)"
        )


def _digest(wnids: tuple[str, ...]) -> str:
    import hashlib

    return hashlib.sha256("\n".join(wnids).encode()).hexdigest()
