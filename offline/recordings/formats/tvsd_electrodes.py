"""TVSD's two monkeys: which column is which area, which block is dead, and how the raw channels are scrambled.

Source: Papale et al. 2025 (TVSD), as in the project's facts: N: V1 0-511, V4 512-767, IT 768-1023, dead 256-319;
F: V1 0-511, IT 512-831, V4 832-1023. These are defaults; a channel map given by the user replaces them.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ELECTRODES_PER_ARRAY, ArraySlot, ChannelMap
from b2g_rt.errors import SessionError
from offline.recordings.formats.mat_file import open_mat, vector
from offline.recordings.formats.reader import one_line

N_COLUMNS = 1024
_ROIS = {
    "N": ["V1"] * 8 + ["V4"] * 4 + ["IT"] * 4,
    "F": ["V1"] * 8 + ["IT"] * 5 + ["V4"] * 3,
}
_DEAD = {"N": 256 // ELECTRODES_PER_ARRAY, "F": None}
_MAPPING = "*chns_mapping*.mat"
_HEADER = b"MATLAB 5.0 MAT-file"


def tvsd_channels(monkey: str) -> ChannelMap:
    """Return the channel map of a monkey, 'N' or 'F'; columns in the unscrambled order.

    Raises
    ------
    SessionError
        Another monkey.
    """
    if monkey not in _ROIS:
        raise SessionError(f"TVSD: monkey '{monkey}', expected N or F.")
    slots = [
        ArraySlot(number, roi, number * ELECTRODES_PER_ARRAY, dead=number == _DEAD[monkey])
        for number, roi in enumerate(_ROIS[monkey])
    ]
    return ChannelMap(N_COLUMNS, tuple(slots))


def monkey_of(path: Path, monkey: str | None) -> str:
    """Return which monkey a file belongs to: as told, else by ``monkeyN`` or ``monkeyF`` in its path.

    Raises
    ------
    SessionError
        Neither says.
    """
    if monkey is not None:
        return monkey.upper()
    found = re.findall(r"monkey[_ -]?([NF])(?![a-z])", str(path.absolute()), re.IGNORECASE)
    if not found:
        raise SessionError(
            f"{path}: does not say which monkey, expected monkeyN or monkeyF in its path. Give --monkey N or F, or a "
            "channel map with --channels."
        )
    return str(found[-1]).upper()


def mapping_path(path: Path, told: Path | None) -> Path:
    """Return the mapping file of a trials file: as told, else the only one beside it or in ``_logs``.

    Raises
    ------
    SessionError
        There is none, or several.
    """
    if told is not None:
        return told
    found = sorted(path.parent.glob(_MAPPING)) + sorted(path.parent.glob(f"_logs/{_MAPPING}"))
    if len(found) != 1:
        there = ", ".join(f.name for f in found) or "none"
        raise SessionError(
            f"{path}: its channels are scrambled, expected one mapping file beside it ({_MAPPING}), found {there}. "
            "Name it with --mapping FILE."
        )
    return found[0]


def read_mapping(path: Path, n_columns: int) -> NDArray[np.int64]:
    """Return for each electrode the column of the file it was recorded in, int64, axes (column,), from 0.

    Raises
    ------
    SessionError
        It cannot be read, or is no permutation of the columns.
    """
    try:
        with path.open("rb") as file:
            old = file.read(len(_HEADER)) == _HEADER
        values = _old_mapping(path) if old else _new_mapping(path)
    except OSError as error:
        raise SessionError(
            f"{path}: {error.strerror or one_line(error)}, expected 'mapping'."
        ) from None
    if len(values) != n_columns or not np.array_equal(np.sort(values), np.arange(1, n_columns + 1)):
        raise SessionError(
            f"{path}: 'mapping' has {len(values)} entries, expected the numbers 1 to {n_columns}, each once. Is it the "
            "mapping of this recording?"
        )
    return values.astype(np.int64) - 1


def _old_mapping(path: Path) -> NDArray[np.float64]:
    from scipy.io import loadmat

    try:
        found = loadmat(path, variable_names=["mapping"])
        return np.asarray(found["mapping"], np.float64).reshape(-1)
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise SessionError(
            f"{path}: {one_line(error)}, expected an array 'mapping'. The file is damaged or another one."
        ) from None


def _new_mapping(path: Path) -> NDArray[np.float64]:
    with open_mat(path, "a MATLAB file with an array 'mapping'") as file:
        return vector(file, "mapping", path)
