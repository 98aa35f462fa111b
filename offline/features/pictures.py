"""The pictures of stimuli: which they are, whether they can be read, and what they are called.

Ids are those of stimulus sets, recordings and latents: ``training/0001``. For extraction.py; must not know networks.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import FeatureError
from offline.stimuli.projection.targets import find_photographs, open_image, read_upright
from offline.stimuli.synthesis.stimulus_file import STIMULI, read_stimuli

SPLITS = ("test", "training")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StimulusPicture:
    """A picture file.

    Attributes
    ----------
    id : str
    split : str
        'test', 'training', or '' where neither the folder nor a stimulus set tells.
    path : Path
    sha256 : str
        Of the file.
    """

    id: str
    split: str
    path: Path
    sha256: str


def find_pictures(paths: Iterable[Path]) -> list[StimulusPicture]:
    """List the pictures of stimulus sets, folders and files.

    Parameters
    ----------
    paths : iterable of Path
        The directory of a stimulus set (``stimuli.h5``), whose ids and order are kept; a folder, whose pictures' ids
        are their paths there without the ending (a folder that is itself called test or training is part of them);
        a file, whose id is its name.

    Returns
    -------
    list of StimulusPicture

    Raises
    ------
    StimulusError
        Nothing is there, or a stimulus set is unfinished.
    FeatureError
        Two pictures have the same id, or one is not what its stimulus set says.
    """
    found: dict[str, StimulusPicture] = {}
    first: dict[str, StimulusPicture] = {}
    twins: list[tuple[StimulusPicture, StimulusPicture]] = []
    for path in paths:
        for picture in _of_set(path) if (path / STIMULI).is_file() else _of_folder(path):
            if (other := found.get(picture.id)) is not None:
                raise FeatureError(
                    f"{picture.path}: has the id {picture.id} of {other.path}, expected ids once each. Remove or "
                    "rename one."
                )
            found[picture.id] = picture
            if (twin := first.setdefault(picture.sha256, picture)) is not picture:
                twins.append((picture, twin))
    if not found:
        raise FeatureError("features: no pictures, expected files, folders or stimulus sets.")
    if twins:
        (one, other), n = twins[0], len(twins)
        more = f"; {n - 1} more such pairs" if n > 1 else ""
        _logger.warning("%s: the same picture as %s%s", one.path, other.path, more)
    return list(found.values())


def check_readable(
    pictures: Sequence[StimulusPicture], progress: Callable[[int], None] | None = None
) -> None:
    """Look into every file before the work begins: whole, a picture, and not changed since it was listed.

    Raises
    ------
    FeatureError, StimulusError
        One is not; the first of them is named.
    """

    def look(picture: StimulusPicture) -> None:
        _check(picture, file_bytes(picture))

    with ThreadPoolExecutor() as pool:
        for _ in pool.map(look, pictures):
            if progress is not None:
                progress(1)


def file_bytes(picture: StimulusPicture) -> bytes:
    """Return the bytes of a picture's file.

    Raises
    ------
    FeatureError
        It cannot be read, or is another one than was listed.
    """
    try:
        data = picture.path.read_bytes()
    except OSError as error:
        raise FeatureError(
            f"{picture.path}: {error.strerror}, expected a picture that can be read."
        ) from None
    if hashlib.sha256(data).hexdigest() != picture.sha256:
        raise FeatureError(
            f"{picture.path}: another picture than its set lists, or changed since the command began, expected "
            "the same bytes. Draw the set again, or leave its files as they are."
        )
    return data


def decoded(picture: StimulusPicture, data: bytes) -> NDArray[np.uint8]:
    """Return a picture, axes (row, col, rgb), turned upright, transparent parts over mid grey.

    Raises
    ------
    StimulusError
        It is no picture, or is cut off.
    """
    return np.asarray(read_upright(picture.path, data), np.uint8)


def split_of(stimulus: str) -> str:
    """Return 'test' or 'training' where an id says so by its folder; else ''."""
    first = stimulus.partition("/")[0] if "/" in stimulus else ""
    return first if first in SPLITS else ""


def _of_set(folder: Path) -> list[StimulusPicture]:
    stimuli = read_stimuli(folder)
    rows = zip(stimuli.ids, stimuli.split, stimuli.files, stimuli.sha256, strict=True)
    listed = [StimulusPicture(i, split, folder / file, digest) for i, split, file, digest in rows]
    for picture in listed:
        if not picture.path.is_file():
            raise FeatureError(
                f"{picture.path}: is missing, expected all pictures of {folder / STIMULI}. Draw the set again."
            )
    return listed


def _of_folder(path: Path) -> list[StimulusPicture]:
    name = path.resolve().name if path.is_dir() else ""
    prefix = f"{name}/" if name in SPLITS else ""
    return [
        StimulusPicture(
            f"{prefix}{photograph.id}",
            split_of(f"{prefix}{photograph.id}"),
            photograph.path,
            photograph.sha256,
        )
        for photograph in find_photographs([path])
    ]


def _check(picture: StimulusPicture, data: bytes) -> None:
    """Find out cheaply whether a file is whole: PNG files have checksums, JPEG files can be read at an eighth."""
    try:
        with open_image(BytesIO(data)) as file:
            if file.format == "PNG":
                file.verify()
            elif file.format == "JPEG":
                file.draft("RGB", (max(1, file.width // 8), max(1, file.height // 8)))
                file.load()
    except Exception:
        # Whatever it is, reading it says it in a line; if it can be read all the same, it is good enough.
        decoded(picture, data)
