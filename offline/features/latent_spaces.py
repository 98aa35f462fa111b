"""z and w of stimuli as feature spaces, in files like those of networks.

What a stimulus was drawn from is a representation like any other: the paper's w predicts IT best. Also for features
that are held already. Must not know recordings: who has latents of them gives arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from b2g_rt.errors import FeatureError
from offline.features.content import piece_digest
from offline.features.feature_space import ArrayFeatures
from offline.features.pictures import split_of
from offline.features.sole_writer import sole_writer
from offline.features.store import FeatureFile, open_features
from offline.features.store_writing import SpaceLayout, StoreWriter, time_text
from offline.stages import Stage
from offline.stimuli.synthesis.stimulus_file import StimulusSet

SPACES = ("z", "w")

_PIECE = 1024


def latents_of_set(stimuli: StimulusSet, names: Sequence[str]) -> list[ArrayFeatures]:
    """Return latents of a stimulus set, as they are asked for.

    Parameters
    ----------
    stimuli : StimulusSet
    names : sequence of {'z', 'w'}

    Raises
    ------
    FeatureError
        z is asked for, and a stimulus has none: it is the mean of a class, or a point between others.
    """
    found = []
    for name in names:
        values = {"z": stimuli.z, "w": stimuli.w}[name]
        without = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if not values.shape[1] or len(without):
            first = stimuli.ids[without[0]] if len(without) else stimuli.ids[0]
            raise FeatureError(
                f"{stimuli.folder}: {len(without) or len(values)} of {len(values)} stimuli have no {name} ({first}, "
                "...), expected one of each. They were drawn from a mean or between others; take --latents w."
            )
        found.append(ArrayFeatures(name, stimuli.ids, values.astype(np.float32)))
    return found


def write_feature_file(
    out: Path,
    spaces: Sequence[ArrayFeatures],
    *,
    split: Sequence[str] | None = None,
    sha256: Sequence[str] | None = None,
    provenance: Mapping[str, Any],
    command: str = "",
    stage: Stage,
) -> FeatureFile:
    """Write features that are held into a feature file; one that is there already is compared.

    Parameters
    ----------
    out : Path
    spaces : sequence of ArrayFeatures
        Of the same stimuli.
    split : sequence of str, axes (stimulus,), optional
        'training', 'test' or ''; by default as the ids say.
    sha256 : sequence of str, axes (stimulus,), optional
        Of the pictures, where they are known.
    provenance : mapping
        Where the features come from; plain data.
    command : str
        As it was typed.
    stage : Stage
        Progress.

    Raises
    ------
    FeatureError
        ``out`` holds something else, or other features, another run writes it, or the disk is full; or the stimuli are
        not the same in all spaces, or have one id twice.
    """
    ids = spaces[0].ids
    _check_ids(out, spaces)
    layouts = [SpaceLayout(space.name, (space.n_features,)) for space in spaces]
    writer = StoreWriter.begin(
        out,
        layouts,
        _PIECE,
        stimuli={
            "id": ids,
            "split": [split_of(i) for i in ids] if split is None else split,
            "sha256": [""] * len(ids) if sha256 is None else sha256,
        },
        provenance=provenance,
        run={"started": time_text(), "command": command},
    )
    with sole_writer(out):
        digests = writer.kept(stage)
        for piece in range(writer.n_pieces):
            rows = writer.rows(piece)
            values = {space.name: space.values[rows.start : rows.stop] for space in spaces}
            made = {name: piece_digest(some) for name, some in values.items()}
            if digests.get(piece, made) != made:
                raise FeatureError(
                    f"{out}: holds other values of stimuli {rows.start} to {rows.stop - 1}, expected the same "
                    "settings. Give another --out."
                )
            if piece not in digests:
                writer.write(piece, values)
            digests[piece] = made
        writer.finish(digests, {"finished": time_text()})
    return open_features(out)


def _check_ids(out: Path, spaces: Sequence[ArrayFeatures]) -> None:
    ids = spaces[0].ids
    if any(space.ids != ids for space in spaces):
        raise FeatureError(f"{out}: spaces of different stimuli, expected the same in all.")
    if len(set(ids)) != len(ids):
        twice = next(i for k, i in enumerate(ids) if i in ids[:k])
        raise FeatureError(f"{out}: two stimuli are called {twice}, expected ids once each.")
