"""``stimuli.h5``: the latents, classes, seeds and hashes of a drawn set, and where they come from.

For whoever presents, decodes or reconstructs the set; ``docs/stimulus_set.md`` describes it. Also ``latents.npz``,
which ``b2g-offline fit --latents`` reads. Must not know torch or generators.
"""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import StimulusError
from offline.stimuli.made_folder import cannot_write
from offline.stimuli.synthesis.classes import imagenet
from offline.stimuli.synthesis.plans import StimulusPlan
from offline.whole_files import write_whole

STIMULI = "stimuli.h5"
LATENTS = "latents.npz"
FORMAT, FORMAT_VERSION = "b2g stimulus set", 1

_TEXTS = ("id", "split", "file", "sha256", "wnid", "drawn_wnid", "label")
_ARRAYS = ("seed", "seed_row", "class_id", "z", "w")


@dataclass(frozen=True, slots=True, eq=False)
class StimulusSet:
    """A drawn set, as its file tells it.

    Attributes
    ----------
    folder : Path
    ids, split, files, wnid, drawn_wnid, label, sha256 : tuple of str
        One of each stimulus; ``files`` relative to the folder, ``label`` the name of the class that was drawn.
    seed, seed_row, class_id : int64, axes (stimulus,)
        -1: there is none.
    z : float32, axes (stimulus, z_dim)
        NaN where w does not come from a z.
    w : float32, axes (stimulus, w_dim)
        The row that is used for all layers, after truncation.
    provenance : dict
        Generator, truncation, versions, command; see ``docs/stimulus_set.md``.
    """

    folder: Path
    ids: tuple[str, ...] = field(repr=False)
    split: tuple[str, ...] = field(repr=False)
    files: tuple[str, ...] = field(repr=False)
    sha256: tuple[str, ...] = field(repr=False)
    wnid: tuple[str, ...] = field(repr=False)
    drawn_wnid: tuple[str, ...] = field(repr=False)
    label: tuple[str, ...] = field(repr=False)
    seed: NDArray[np.int64] = field(repr=False)
    seed_row: NDArray[np.int64] = field(repr=False)
    class_id: NDArray[np.int64] = field(repr=False)
    z: NDArray[np.float32] = field(repr=False)
    w: NDArray[np.float32] = field(repr=False)
    provenance: dict[str, Any] = field(repr=False)

    def find(self, term: str) -> list[int]:
        """Return the rows that a term means: an id, ids with ``*``, or a WordNet id (its training pictures).

        Raises
        ------
        StimulusError
            Nothing fits.
        """
        if term in self.ids:
            return [self.ids.index(term)]
        rows = [i for i, name in enumerate(self.ids) if fnmatch.fnmatchcase(name, term)]
        if not rows:
            in_class = [i for i, wnid in enumerate(self.wnid) if wnid == term]
            rows = [i for i in in_class if self.split[i] != "test"] or in_class
        if not rows:
            classes = ", or the WordNet id of one of its classes" if any(self.wnid) else ""
            raise StimulusError(
                f"{self.folder}: no stimulus '{term}', expected an id such as {self.ids[0]} or {self.ids[-1]}, ids "
                f"with *{classes}."
            )
        return rows


def write_stimuli(
    folder: Path,
    plan: StimulusPlan,
    w: NDArray[np.float32],
    digests: Mapping[str, str],
    provenance: Mapping[str, Any],
    columns: Mapping[str, NDArray[Any]] | None = None,
) -> None:
    """Write ``stimuli.h5`` and ``latents.npz`` of a set whose pictures are all there.

    Parameters
    ----------
    folder : Path
    plan : StimulusPlan
    w : float32, axes (stimulus, w_dim)
    digests : mapping of file to SHA-256
    provenance : mapping
        Plain data.
    columns : mapping of name to array, optional
        Further columns, axes (stimulus, ...).

    Raises
    ------
    StimulusError
        The disk is full, or the folder may not be written into.
    """
    table = imagenet()
    known = set(table.wnids)
    labels = [table.label(table.by_id(wnid)) if wnid in known else "" for wnid in plan.drawn_wnid]
    texts = {
        "id": plan.ids,
        "split": plan.split,
        "file": plan.files,
        "sha256": [digests[file] for file in plan.files],
        "wnid": plan.wnid,
        "drawn_wnid": plan.drawn_wnid,
        "label": labels,
    }
    arrays = {
        "seed": plan.seed,
        "seed_row": plan.seed_row,
        "class_id": plan.class_id,
        "z": plan.z,
        "w": w,
        **(columns or {}),
    }
    # In memory first, so that the file appears whole; without times, so that the same set gives the same bytes.
    memory = BytesIO()
    with h5py.File(memory, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["provenance"] = json.dumps(dict(provenance), indent=1)
        for name, values in texts.items():
            file.create_dataset(name, data=list(values), dtype=h5py.string_dtype())
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
    latents = BytesIO()
    np.savez(latents, id=np.array(plan.ids), latent=w)
    for name, content in ((STIMULI, memory), (LATENTS, latents)):
        try:
            write_whole(folder / name, content.getvalue())
        except OSError as error:
            raise cannot_write(folder / name, error) from None


def read_stimuli(folder: Path) -> StimulusSet:
    """Read a set's ``stimuli.h5``.

    Raises
    ------
    StimulusError
        It is missing (the set is unfinished), or is no such file.
    """
    path = folder / STIMULI
    if not path.is_file():
        raise StimulusError(
            f"{folder}: no {STIMULI}, expected a finished set. Draw it: b2g-offline synthesize faces --out {folder}."
        )
    try:
        with h5py.File(path, "r") as file:
            version = (file.attrs.get("format"), int(file.attrs.get("format_version", 0)))
            if version != (FORMAT, FORMAT_VERSION):
                raise ValueError(f"format {version[0]} {version[1]}")
            provenance = json.loads(str(file.attrs["provenance"]))
            _check_provenance(provenance)
            texts = {name: tuple(file[name].asstr()[:]) for name in _TEXTS}
            arrays = {name: file[name][:] for name in _ARRAYS}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StimulusError(
            f"{path}: {type(error).__name__} {error}, expected {FORMAT} {FORMAT_VERSION}. Draw the set again."
        ) from None
    lengths = {len(column) for column in (*texts.values(), *arrays.values())}
    if len(lengths) != 1 or arrays["w"].ndim != 2 or not np.isfinite(arrays["w"]).all():
        raise StimulusError(
            f"{path}: columns of {sorted(lengths)} stimuli, w {arrays['w'].shape}, expected columns of one length and "
            "finite w (stimulus, w_dim). Draw the set again."
        )
    return StimulusSet(
        folder=folder,
        ids=texts["id"],
        split=texts["split"],
        files=texts["file"],
        sha256=texts["sha256"],
        wnid=texts["wnid"],
        drawn_wnid=texts["drawn_wnid"],
        label=texts["label"],
        seed=arrays["seed"],
        seed_row=arrays["seed_row"],
        class_id=arrays["class_id"],
        z=arrays["z"],
        w=arrays["w"],
        provenance=provenance,
    )


def _check_provenance(provenance: Any) -> None:
    """Refuse what the commands that go on from a set could not use; KeyError and TypeError say what is missing."""
    float(provenance["psi"])
    str(provenance["generator_given"])
    str(provenance["generator"]["name"] + provenance["generator"]["sha256"])
