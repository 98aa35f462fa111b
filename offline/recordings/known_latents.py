"""The latents of stimuli by id: from a file that was named, or from the recordings themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import SessionError
from offline.recordings.formats.latent_pickle import read_latents
from offline.recordings.formats.reader import RecordingReader
from offline.recordings.formats.responses import PARTS, response_ids

PICKLES = (".pickle", ".pkl")
"""Endings of Brain2GAN's latents, which belong to one recording's rows and are read by its reader."""


def known_latents(
    recordings: Sequence[RecordingReader], latents: Path | None
) -> dict[str, NDArray[np.float32]]:
    """Return the latent of each stimulus, from an .npz file or from the recordings themselves.

    Parameters
    ----------
    recordings : sequence of RecordingReader
    latents : Path, optional
        Arrays ``id`` (stimulus,) of strings and ``latent`` (stimulus, latent).

    Raises
    ------
    SessionError
        The file cannot be read, there are no latents anywhere, or two recordings give a stimulus different ones.
    """
    if latents is not None and pickled(latents) is None:
        ids, values = latents_in_file(latents)
        return _by_id(ids, values)
    known: dict[str, NDArray[np.float32]] = {}
    for recording in recordings:
        found = recording.stimuli()
        if found is None:
            raise SessionError(
                f"{recording.info.path}: holds no latents (/stimuli), expected those of the stimuli. Give --latents "
                "FILE.npz with id (stimulus,) and latent (stimulus, latent)."
            )
        for stimulus, latent in _by_id(*found).items():
            before = known.setdefault(stimulus, latent)
            if before.shape != latent.shape or not np.allclose(before, latent, atol=1e-5):
                raise SessionError(
                    f"{recording.info.path}: stimulus '{stimulus}' has another latent than in the recordings before "
                    "it, expected the same. Give unlike stimuli unlike ids, or --latents FILE.npz."
                )
    return known


def pickled(latents: Path | None) -> Path | None:
    """Return the file if it is Brain2GAN's pickle, which the reader of its responses takes; else None."""
    return latents if latents is not None and latents.suffix.lower() in PICKLES else None


def _by_id(ids: Sequence[str], values: NDArray[np.floating]) -> dict[str, NDArray[np.float32]]:
    return {i: np.asarray(v, np.float32) for i, v in zip(ids, values, strict=True)}


def latents_in_file(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    """Return ids and latents, axes (stimulus, latent), of an .npz file or of Brain2GAN's pickle.

    Raises
    ------
    SessionError
        It cannot be read, or is something else.
    """
    if pickled(path) is not None:
        parts = read_latents(path)
        by_part = [response_ids(part, len(parts[part])) for part in PARTS]
        return [i for ids in by_part for i in ids], np.concatenate([parts[part] for part in PARTS])
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            ids, values = archive["id"], archive["latent"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise SessionError(
            f"{path}: {error}, expected an .npz file with id (stimulus,) and latent (stimulus, latent)."
        ) from None
    if values.ndim != 2 or ids.shape != values.shape[:1] or not np.isfinite(values).all():
        raise SessionError(
            f"{path}: id {ids.shape}, latent {values.shape}, expected (stimulus,) and (stimulus, latent), finite."
        )
    return [str(i) for i in ids], values.astype(np.float32)
