"""Photographs as a generator draws them: read, turned upright, cropped to a square, resized.

Every picture has an id: its file name without the suffix, within a folder its path there ("training/0001"). Must not
know generators nor latents.
"""

from __future__ import annotations

import csv
import threading
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from b2g_rt.errors import StimulusError
from offline.whole_files import file_sha256

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
MIN_SIDE = 16
PREPARATION = (
    "turned upright (EXIF); RGB, transparent parts over mid grey; centre square; Lanczos to the generator's size; "
    "8 bits; value / 127.5 - 1"
)
"""What is done to a photograph, in words, for files and reports."""

_MID_GREY = (128, 128, 128)
_filtering = threading.Lock()


@dataclass(frozen=True, slots=True)
class Photograph:
    """A picture file.

    Attributes
    ----------
    id : str
    path : Path
    sha256 : str
        Of the file.
    """

    id: str
    path: Path
    sha256: str


def find_photographs(paths: Iterable[Path]) -> list[Photograph]:
    """List picture files, folders with all that lie within, in the order given and then by name.

    Raises
    ------
    StimulusError
        A path that is not there, a folder without pictures, two pictures of one id.
    """
    found: dict[str, Photograph] = {}
    for path in paths:
        for picture_id, file in _files(path):
            if picture_id in found:
                raise StimulusError(
                    f"{file}: has the id {picture_id} of {found[picture_id].path}, expected ids once each. Give the "
                    "folder above both, so that ids are paths, or rename one."
                )
            found[picture_id] = Photograph(picture_id, file, _sha256(file))
    if not found:
        raise StimulusError("project: no pictures, expected files or folders.")
    return list(found.values())


def read_photograph(photograph: Photograph, size: int) -> NDArray[np.uint8]:
    """Read a picture as ``PREPARATION`` says.

    Parameters
    ----------
    photograph : Photograph
    size : int
        Rows and columns.

    Returns
    -------
    uint8, (row, col, rgb)

    Raises
    ------
    StimulusError
        It is no picture, is cut off, or has fewer than ``MIN_SIDE`` rows or columns.
    """
    path = photograph.path
    picture = read_upright(path)
    if min(picture.size) < MIN_SIDE:
        raise StimulusError(
            f"{path}: {picture.width} x {picture.height} pixels, expected at least {MIN_SIDE} each way."
        )
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    picture = picture.crop((left, top, left + side, top + side))
    if side != size:
        picture = picture.resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(picture, np.uint8)


def open_image(file: Path | BytesIO) -> Image.Image:
    """Open a picture file, whatever its size; any thread may."""
    # Warning filters belong to the process, and pictures are read by several threads.
    with _filtering, warnings.catch_warnings():
        # A picture of more than 90 million pixels is unusual, not wrong; twice that is refused.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(file)


def read_upright(path: Path, data: bytes | None = None) -> Image.Image:
    """Read a picture, turned upright, RGB, transparent parts over mid grey.

    Parameters
    ----------
    path : Path
    data : bytes, optional
        Of the file, where they are held already.

    Raises
    ------
    StimulusError
        It is no picture, or is cut off.
    """
    try:
        with open_image(path if data is None else BytesIO(data)) as file:
            upright = ImageOps.exif_transpose(file)
            return _rgb(upright, path)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise StimulusError(
            f"{path}: cannot be read as a picture ({error}), expected a whole PNG, JPEG, WebP, BMP or TIFF file. "
            "Leave it out or replace it."
        ) from None
    except Image.DecompressionBombError as error:
        raise StimulusError(f"{path}: {error}. Make it smaller first.") from None


def as_target(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Return pictures (row, col, rgb) as the generator draws them: float32, (N, 3, row, col), within -1..1."""
    stacked = np.stack(pictures).astype(np.float32) / np.float32(127.5) - np.float32(1.0)
    return np.ascontiguousarray(stacked.transpose(0, 3, 1, 2))


def read_classes(path: Path) -> dict[str, int]:
    """Read which class each picture is of: a CSV file with the columns ``id`` and ``class_id``.

    Raises
    ------
    StimulusError
        The file cannot be read, lacks a column, or a class is no whole number.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        return {row["id"]: int(row["class_id"]) for row in rows}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StimulusError(f"{path}: {error}, expected a CSV file with id,class_id.") from None
    except (KeyError, TypeError, ValueError) as error:
        raise StimulusError(
            f"{path}: {error}, expected the columns id and class_id, the latter whole numbers."
        ) from None


def _files(path: Path) -> list[tuple[str, Path]]:
    if path.is_dir():
        files = sorted(f for f in path.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file())
        if not files:
            raise StimulusError(
                f"{path}: holds no pictures, expected files ending in {', '.join(SUFFIXES)}."
            )
        return [(f.relative_to(path).with_suffix("").as_posix(), f) for f in files]
    if not path.is_file():
        raise StimulusError(f"{path}: no such file or folder, expected pictures.")
    return [(path.stem, path)]


def _rgb(picture: Image.Image, path: Path) -> Image.Image:
    if picture.mode.startswith("I;16"):
        # Pillow cuts 16 bits off at 255 instead of scaling them.
        levels = np.asarray(picture, np.float32) / np.float32(257.0)
        return Image.fromarray(levels.round().astype(np.uint8)).convert("RGB")
    if picture.mode in ("I", "F"):
        raise StimulusError(
            f"{path}: numbers of 32 bits (mode {picture.mode}), expected 8 or 16 bits, of which black and white are "
            "known. Convert it first."
        )
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        over = picture.convert("RGBA")
        ground = Image.new("RGBA", over.size, (*_MID_GREY, 255))
        return Image.alpha_composite(ground, over).convert("RGB")
    return picture.convert("RGB")


def _sha256(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise StimulusError(
            f"{path}: {error.strerror}, expected a picture that can be read."
        ) from None
