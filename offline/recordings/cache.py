"""Arrays that took long to compute, kept in a folder so that an interrupted run goes on where it stopped.

The file's name holds a hash of everything the arrays depend on, so a changed setting never finds old arrays.
A file appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline.whole_files import whole_file

Arrays = dict[str, NDArray[Any]]


def cached_arrays(
    folder: Path | None, name: str, key: Mapping[str, Any], compute: Callable[[], Arrays]
) -> Arrays:
    """Return arrays from the folder, or compute and keep them.

    Parameters
    ----------
    folder : Path or None
        None: nothing is kept.
    name : str
        Beginning of the file's name.
    key : mapping
        Everything the arrays depend on; plain data.
    compute : callable
        Called where there is no file.
    """
    if folder is None:
        return compute()
    path = folder / f"{name}-{key_hash(key)[:16]}.npz"
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {k: archive[k] for k in archive.files}
    except (FileNotFoundError, ValueError, OSError, zipfile.BadZipFile):
        arrays = compute()
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part, part.open("wb") as target:
        np.savez(target, **arrays)  # type: ignore[arg-type]
    return arrays


def key_hash(key: Mapping[str, Any]) -> str:
    """Return the SHA-256 of plain data, independent of the order of keys."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
