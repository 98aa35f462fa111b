"""From a finished training to the shipped directory: ordinary weights, computed mapping, measured likeness, provenance.

Must not know commands.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from offline.stimuli.distilled.evaluation import Likeness, likeness, paired_latents, pictures
from offline.stimuli.distilled.face_latents import shipped_face_latents
from offline.stimuli.distilled.latent_mapping import make_bent, statistics
from offline.stimuli.distilled.sheets import sheet
from offline.stimuli.distilled.training import Training
from offline.stimuli.distilled.training_network import baked
from offline.stimuli.generators import PictureGenerator, procedural_faces
from offline.stimuli.stylegan.directory import save_generator
from offline.stimuli.stylegan.generator import Generator, to_uint8

PSIS = (1.0, 0.7, 0.5)
N_COMPARED = 48
SHEET_SEED = 12


def finished(training: Training) -> tuple[Generator, dict[str, float]]:
    """Return the generator that a training has arrived at, and how well its mapping fits."""
    from b2g_rt.simulation.from_record import faces_macaque

    faces, stimuli = shipped_face_latents(), faces_macaque().latents
    mean, reading = (torch.from_numpy(array) for array in (faces.mean, faces.reading))
    generator = baked(training.averaged(), mean, reading)
    make_bent(generator.mapping, stimuli, faces)
    return generator.eval(), statistics(generator.mapping, stimuli, faces)


def compared(generator: Generator, n: int = N_COMPARED) -> list[Likeness]:
    """Compare with the procedural renderer at several truncations."""
    faces, renderer = shipped_face_latents(), procedural_faces().synthesis
    found = []
    for psi in PSIS:
        own, same = paired_latents(faces, n, psi)
        found.append(likeness(pictures(generator.synthesis, own), pictures(renderer, same), psi))
    return found


def ship(training: Training, folder: Path, notes: Sequence[str] = ()) -> list[Likeness]:
    """Write the generator's directory; returns how alike its pictures are to the renderer's.

    Parameters
    ----------
    training : Training
    folder : Path
    notes : sequence of str
        What else the provenance should say, for example where a run departed from its plan.
    """
    generator, mapping = finished(training)
    found = compared(generator)
    made = provenance(training, found, mapping)
    save_generator(generator, folder, {**made, "notes": list(notes)})
    return found


def provenance(
    training: Training, found: list[Likeness], mapping: dict[str, float]
) -> dict[str, Any]:
    """Return how the weights came about, plain data."""
    every = max(1, len(training.history) // 40)
    return {
        "made_by": "b2g-offline train-generator",
        "teacher": "procedural-faces",
        "active_minutes": round(training.seconds / 60, 2),
        "progress": round(training.progress, 4),
        "steps": training.step,
        "pictures": training.images,
        "loss": [
            {"step": step, "progress": round(progress, 4), "phase": phase, "loss": round(loss, 5)}
            for step, progress, phase, loss in training.history[::every]
        ],
        "likeness": [{k: round(v, 4) for k, v in asdict(one).items()} for one in found],
        "mapping": {k: float(f"{v:.3g}") for k, v in mapping.items()},
        "plan": training.plan.to_dict(),
        "versions": {
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def draw_sheets(distilled: PictureGenerator, folder: Path) -> list[Path]:
    """Draw the docs' sheets: faces at psi .7, an interpolation, and both shipped generators side by side.

    Returns
    -------
    list of Path
        The files.
    """
    procedural = procedural_faces()
    w, same = paired_latents(shipped_face_latents(), 40, 0.7, SHEET_SEED)
    drawn = to_uint8(pictures(distilled.synthesis, w)).numpy()
    files = [
        folder / name
        for name in (
            "distilled-faces.png",
            "distilled-interpolation.png",
            "generators-side-by-side.png",
        )
    ]
    sheet([drawn[i : i + 8] for i in range(0, 40, 8)], files[0])

    share = torch.linspace(0, 1, 8)[:, None, None]
    strips = [w[a : a + 1] + share * (w[b : b + 1] - w[a : a + 1]) for a, b in ((0, 1), (2, 3))]
    sheet([to_uint8(pictures(distilled.synthesis, s)).numpy() for s in strips], files[1])

    pairs = []
    for i in (0, 8):
        pairs.append(to_uint8(pictures(procedural.synthesis, same[i : i + 8])).numpy())
        pairs.append(drawn[i : i + 8])
    sheet(pairs, files[2])
    return files
