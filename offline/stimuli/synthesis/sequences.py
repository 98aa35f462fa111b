"""Pictures between stimuli and beyond them: plans from stops on a way or from terms of a sum.

For the command; ``vectors`` computes. What comes out is a plan with its w, drawn and written like a set.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import GeneratorError, StimulusError
from offline.stimuli.synthesis.classes import imagenet
from offline.stimuli.synthesis.plans import NO_CLASS, NO_SEED, StimulusPlan, seeded_z
from offline.stimuli.synthesis.render import latents_of
from offline.stimuli.synthesis.vectors import Way, shifted, through

if TYPE_CHECKING:
    from offline.stimuli.generators import PictureGenerator
    from offline.stimuli.synthesis.stimulus_file import StimulusSet

Space = Literal["w", "z"]

STRIP = "strip.png"
STRIP_HEIGHT = 256


@dataclass(frozen=True, slots=True, eq=False)
class Stops:
    """Stimuli that an interpolation goes through.

    Attributes
    ----------
    names : tuple of str
        Ids of a set, or seeds.
    z, w : float32, axes (stop, z_dim) and (stop, w_dim)
        z NaN where there is none.
    class_id : int64, axes (stop,)
    psi : float
        With which w came from z.
    """

    names: tuple[str, ...]
    z: NDArray[np.float32] = field(repr=False)
    w: NDArray[np.float32] = field(repr=False)
    class_id: NDArray[np.int64] = field(repr=False)
    psi: float


def stops_of_set(stimuli: StimulusSet, ids: tuple[str, ...]) -> Stops:
    """Return stimuli of a set as stops.

    Raises
    ------
    StimulusError
        An id is unknown, or means several stimuli.
    """
    rows = [one_of(stimuli, i) for i in ids]
    psi = float(stimuli.provenance["psi"])
    names = tuple(stimuli.ids[row] for row in rows)
    return Stops(names, stimuli.z[rows], stimuli.w[rows], stimuli.class_id[rows], psi)


def stops_of_seeds(generator: PictureGenerator, seeds: tuple[str, ...], psi: float) -> Stops:
    """Return the first z of each seed as stops; ``SEED:WNID`` where the generator has classes.

    Raises
    ------
    StimulusError
        A seed is none, or a class is missing, unknown or too much.
    """
    parsed = [_seed_and_class(seed, generator) for seed in seeds]
    z = np.concatenate([seeded_z(seed, 1, generator.z_dim) for seed, _ in parsed])
    class_id = np.array([class_idx for _, class_idx in parsed], np.int64)
    plan = _plan("interpolation", psi, len(seeds), z, class_id)
    return Stops(seeds, z, latents_of(plan, generator), class_id, psi)


def interpolation(
    generator: PictureGenerator, stops: Stops, n_steps: int, space: Space, way: Way
) -> tuple[StimulusPlan, NDArray[np.float32], NDArray[np.float64]]:
    """Return the plan of an interpolation, its w (picture, w_dim) and the positions (picture,), 0 at the first stop.

    Raises
    ------
    StimulusError
        In z: a stop has none, or another class; on a great circle: there is no one way.
    """
    classes = np.unique(stops.class_id)
    if space == "z":
        _check_z(stops, classes)
        z, position = through(stops.z, n_steps, way)
        class_id = np.full(len(z), classes[0])
        plan = _plan("interpolation", stops.psi, len(z), z, class_id)
        return plan, latents_of(plan, generator), position
    w, position = through(stops.w, n_steps, way)
    z = np.full((len(w), generator.z_dim), np.nan, np.float32)
    class_id = np.full(len(w), classes[0] if len(classes) == 1 else NO_CLASS)
    return _plan("interpolation", stops.psi, len(w), z, class_id), w, position


def arithmetic(
    stimuli: StimulusSet,
    start: str,
    add: tuple[str, ...],
    subtract: tuple[str, ...],
    factors: tuple[float, ...],
) -> tuple[StimulusPlan, NDArray[np.float32]]:
    """Return the plan of ``start + factor * (mean of add - mean of subtract)`` in w, and its w (factor, w_dim).

    Raises
    ------
    StimulusError
        A term means no stimulus, or there is nothing to add or subtract.
    """
    if not (add or subtract):
        raise StimulusError(
            "arithmetic: nothing to add or subtract, expected stimuli. Give --add ID or --subtract ID."
        )
    rows = [
        np.array([i for term in terms for i in stimuli.find(term)], np.int64)
        for terms in (add, subtract)
    ]
    origin = one_of(stimuli, start)
    w = shifted(
        stimuli.w[origin], stimuli.w[rows[0]], stimuli.w[rows[1]], np.array(factors, np.float64)
    )
    z = np.full((len(w), stimuli.z.shape[1]), np.nan, np.float32)
    class_id = np.full(len(w), NO_CLASS, np.int64)
    plan = _plan("arithmetic", float(stimuli.provenance["psi"]), len(w), z, class_id)
    return plan, w


def one_of(stimuli: StimulusSet, term: str) -> int:
    """Return the one row that a term means.

    Raises
    ------
    StimulusError
        None or several.
    """
    rows = stimuli.find(term)
    if len(rows) > 1:
        raise StimulusError(
            f"{stimuli.folder}: '{term}' means {len(rows)} stimuli, expected one. Give an id, for example "
            f"{stimuli.ids[rows[0]]}."
        )
    return rows[0]


def check_same_generator(stimuli: StimulusSet, generator: PictureGenerator) -> None:
    """Refuse another generator than the set's: its w mean other pictures.

    Raises
    ------
    GeneratorError
        It is another one.
    """
    made_with = stimuli.provenance["generator"]
    if made_with["sha256"] != generator.digest:
        raise GeneratorError(
            f"generator {generator.name} ({generator.digest[:12]}): not the one of {stimuli.folder}, expected "
            f"{made_with['name']} ({made_with['sha256'][:12]}). Give it with --generator."
        )


def write_strip(folder: Path, plan: StimulusPlan) -> None:
    """Write a plan's pictures side by side, at most 256 pixels high, as ``strip.png``.

    Raises
    ------
    StimulusError
        The disk is full.
    """
    from io import BytesIO

    from PIL import Image

    from offline.stimuli.made_folder import cannot_write
    from offline.whole_files import write_whole

    pictures: list[Image.Image] = []
    for file in plan.files:
        with Image.open(folder / file) as stored:
            pictures.append(stored.convert("RGB"))
    size = min(pictures[0].height, STRIP_HEIGHT)
    strip = Image.new("RGB", (size * len(pictures), size))
    for i, picture in enumerate(pictures):
        strip.paste(picture.resize((size, size), Image.Resampling.LANCZOS), (i * size, 0))
    encoded = BytesIO()
    strip.save(encoded, "PNG")
    try:
        write_whole(folder / STRIP, encoded.getvalue())
    except OSError as error:
        raise cannot_write(folder / STRIP, error) from None


def _plan(
    kind: Literal["interpolation", "arithmetic"],
    psi: float,
    n: int,
    z: NDArray[np.float32],
    class_id: NDArray[np.int64],
) -> StimulusPlan:
    none = np.full(n, NO_SEED, np.int64)
    wnids = imagenet().wnids
    of_picture = tuple(wnids[i] if 0 <= i < len(wnids) else "" for i in class_id)
    return StimulusPlan(
        kind=kind,
        psi=psi,
        ids=tuple(f"frames/{i + 1:04d}" for i in range(n)),
        split=("frames",) * n,
        seed=none,
        seed_row=none,
        z=z,
        class_id=class_id,
        wnid=of_picture,
        drawn_wnid=of_picture,
    )


def _check_z(stops: Stops, classes: NDArray[np.int64]) -> None:
    without = np.isnan(stops.z).any(axis=1)
    if without.any():
        name = stops.names[int(np.argmax(without))]
        raise StimulusError(
            f"{name}: has no z (a class mean, or the outcome of arithmetic), expected one. Use --space w."
        )
    if len(classes) > 1:
        raise StimulusError(
            f"{stops.names[0]}, {stops.names[-1]}: of different classes, expected one class for a way in z. Use "
            "--space w."
        )


def _seed_and_class(text: str, generator: PictureGenerator) -> tuple[int, int]:
    seed, _, wnid = text.partition(":")
    if not seed.isdecimal() or int(seed) >= 2**32:
        raise StimulusError(
            f"seed '{text}': expected a whole number below 2^32, or with --from the id of a stimulus."
        )
    if not generator.n_classes:
        if wnid:
            raise StimulusError(
                f"seed '{text}': names a class, expected none, as {generator.name} has no classes. Give {seed}."
            )
        return int(seed), NO_CLASS
    if generator.n_classes != len(imagenet().wnids) or wnid not in imagenet().wnids:
        raise StimulusError(
            f"seed '{text}': no class that {generator.name} knows, expected SEED:WNID, for example "
            f"{seed}:{imagenet().wnids[0]}."
        )
    return int(seed), imagenet().by_id(wnid)
