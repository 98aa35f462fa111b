"""MATLAB v7.3 files (HDF5 with a header of 512 bytes), opened for reading with errors that say what is wrong.

Axes are as h5py sees them: reversed against MATLAB's. Knows HDF5, nothing of what the arrays mean.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import SessionError
from offline.recordings.formats.reader import one_line

if TYPE_CHECKING:
    import h5py

MAT_5 = b"MATLAB 5.0 MAT-file"


def open_mat(path: Path, expected: str) -> h5py.File:
    """Open a v7.3 file.

    Parameters
    ----------
    path : Path
    expected : str
        What it should hold, for the error's line.

    Raises
    ------
    SessionError
        No such file, an older MATLAB format, or no HDF5.
    """
    import h5py

    try:
        with path.open("rb") as file:
            head = file.read(19)
        if head == MAT_5:
            raise SessionError(
                f"{path}: a MATLAB file before version 7.3, expected {expected}. Save it again in MATLAB with "
                "save(..., '-v7.3')."
            )
        return h5py.File(path, "r")
    except OSError as error:
        raise SessionError(
            f"{path}: {error.strerror if error.errno and error.strerror else one_line(error)}, expected {expected}. "
            "If it was copied or downloaded, compare its size with the original's."
        ) from None


def dataset(file: h5py.File, name: str, path: Path) -> h5py.Dataset:
    """Return a numeric array of the file.

    Raises
    ------
    SessionError
        It is missing, or no array of numbers; the line lists what is there.
    """
    import h5py

    try:
        found = file.get(name)
    except (OSError, RuntimeError, KeyError) as error:
        raise SessionError(
            f"{path}: '{name}' cannot be read ({one_line(error)}), expected an array. The file is damaged."
        ) from None
    if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "fiu":
        names = ", ".join(sorted(k for k in file if not k.startswith("#"))) or "nothing"
        raise SessionError(
            f"{path}: no array of numbers '{name}', expected one; the file holds {names}. Is it another of the files?"
        )
    return found


def vector(file: h5py.File, name: str, path: Path) -> NDArray[np.float64]:
    """Return a small array, flat, float64."""
    try:
        return np.asarray(dataset(file, name, path)[()], np.float64).reshape(-1)
    except (OSError, RuntimeError) as error:
        raise SessionError(
            f"{path}: '{name}' cannot be read ({one_line(error)}). The file is damaged: copy it again."
        ) from None
