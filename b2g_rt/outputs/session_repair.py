"""Copy of a session file whose writer was killed, into one that opens everywhere.

HDF5 opens such a file only in SWMR mode, which MATLAB and most programs do not offer. What was flushed is
copied; columns that the kill left at different lengths are cut to the shortest. The old file is left as it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from b2g_rt.contracts.session import SessionFile, n_written
from b2g_rt.errors import SessionError
from b2g_rt.outputs.session_writer import create_exclusively

if TYPE_CHECKING:
    import h5py

_BLOCK_BYTES = 16 * 1024 * 1024
_GROWING = ("mua", "markers", "frames", "events")


def repair(path: Path, target: Path | None = None) -> Path:
    """Copy a session to a clean file.

    Parameters
    ----------
    path : Path
        The file of a killed recorder; not one that is being written.
    target : Path, optional
        ``STEM-repaired.h5`` beside it by default.

    Returns
    -------
    Path
        The new file.

    Raises
    ------
    SessionError
        No session file, the target is there already, or it cannot be written.
    """
    target = target or path.with_name(f"{path.stem}-repaired.h5")
    with SessionFile(path) as session, create_exclusively(target) as clean:
        source = session.file
        clean.attrs.update(dict(source.attrs))
        try:
            for name, group in source.items():
                _copy_group(group, clean.create_group(name), growing=name in _GROWING)
        except OSError as error:
            raise SessionError(
                f"{target}: {str(error).splitlines()[0]}. The original is untouched; check room and rights."
            ) from None
    return target


def _copy_group(source: h5py.Group, clean: h5py.Group, *, growing: bool) -> None:
    blobs = {name for name in source if name.endswith("_bytes")}
    texts = [name.removesuffix("_bytes") for name in blobs]
    rows = [len(source[name]) for name in source if name not in blobs]
    rows += [_n_whole_entries(source, name) for name in texts]
    # The column that says whether a row counts.
    rows += [n_written(source[name]) for name in ("index", "sequence") if name in source]
    n = min(rows, default=0)
    for name, data in source.items():
        if name in blobs:
            stops = source[f"{name.removesuffix('_bytes')}_stop"][:n]
            _copy_rows(data, clean, name, int(stops[-1]) if n else 0)
        else:
            _copy_rows(data, clean, name, n if growing else len(data))


def _n_whole_entries(group: h5py.Group, name: str) -> int:
    column = group[f"{name}_stop"]
    stops = column[: n_written(column)]
    return int(np.searchsorted(stops, len(group[f"{name}_bytes"]), "right"))


def _copy_rows(data: h5py.Dataset, clean: h5py.Group, name: str, n: int) -> None:
    copy = clean.create_dataset(
        name,
        shape=(n, *data.shape[1:]),
        maxshape=data.maxshape,
        dtype=data.dtype,
        chunks=data.chunks,
        fillvalue=data.fillvalue,
    )
    row_bytes = max(1, data.dtype.itemsize * int(np.prod(data.shape[1:], dtype=np.int64)))
    step = max(1, _BLOCK_BYTES // row_bytes)
    for start in range(0, n, step):
        copy[start : min(start + step, n)] = data[start : min(start + step, n)]
