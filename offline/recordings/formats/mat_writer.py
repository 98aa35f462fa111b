"""MATLAB v7.3 files, as MATLAB writes them: HDF5 behind a header of 512 bytes. Axes are as h5py sees them.

Knows HDF5, nothing of what the arrays mean.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from offline.whole_files import whole_file

if TYPE_CHECKING:
    import h5py

HEADER_BYTES = 512
_CLASSES = {"f8": "double", "f4": "single", "u2": "uint16", "i8": "int64"}


@contextmanager
def mat_file(path: Path, n_bytes: int = 0) -> Iterator[h5py.File]:
    """Yield a file to write arrays to; it takes the place of ``path`` when the block ends.

    Parameters
    ----------
    path : Path
    n_bytes : int
        What will be written, where it may be more than there is room for.

    Raises
    ------
    OSError
        It cannot be written.
    """
    import h5py

    with whole_file(path) as part:
        if n_bytes:
            # HDF5 2.0 can crash the process after a write that finds the disk full, so ask beforehand.
            with part.open("wb") as room:
                os.posix_fallocate(room.fileno(), 0, n_bytes)
        with h5py.File(part, "w", userblock_size=HEADER_BYTES) as file:
            yield file
        made = datetime.now(UTC).strftime("%a %b %d %H:%M:%S %Y")
        head = f"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: {made} HDF5 schema 1.00 ."
        with part.open("r+b") as raw:
            raw.write(head.encode().ljust(124) + b"\x00\x02IM")


def put(file: h5py.File, name: str, array: NDArray[Any], **dataset: Any) -> h5py.Dataset:
    """Write an array; further arguments are h5py's."""
    return _marked(file.create_dataset(name, data=array, **dataset))


def make(file: h5py.File, name: str, shape: tuple[int, ...], dtype: str, **dataset: Any) -> Any:
    """Make an array that is filled later."""
    return _marked(file.create_dataset(name, shape, dtype, **dataset))


def put_texts(file: h5py.File, name: str, texts: Sequence[str]) -> None:
    """Write texts as a matrix of characters, a row each, blanks behind short ones."""
    width = max((len(t) for t in texts), default=1)
    rows = np.array([[ord(letter) for letter in t.ljust(width)] for t in texts], np.uint16)
    made = file.create_dataset(name, data=rows.reshape(len(texts), width).T)
    made.attrs["MATLAB_class"] = np.bytes_("char")
    made.attrs["MATLAB_int_decode"] = np.int32(2)


def _marked(made: h5py.Dataset) -> h5py.Dataset:
    made.attrs["MATLAB_class"] = np.bytes_(_CLASSES[made.dtype.str[1:]])
    return made
