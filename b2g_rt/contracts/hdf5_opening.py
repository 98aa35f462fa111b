"""Open an HDF5 file for reading: closed properly, being written in SWMR mode, or left by a killed writer.

HDF5 tries again without end where a file that is marked as being written lacks bytes: it takes them for late. So
the superblock is asked first how long the file must be. A recording that ended on a full disk is shorter, too, and
must open: whether the structure of a short file is all there is found out in a process that can be ended.
Knows HDF5, nothing of what the file holds.
"""

from __future__ import annotations

import logging
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from b2g_rt.errors import SessionError

if TYPE_CHECKING:
    import h5py

LOG = logging.getLogger(__name__)

# Superblock version 3, all little-endian: signature, version, size of offsets, size of lengths, consistency flags;
# then base address, superblock extension address, end-of-file address, each of the size of offsets (HDF5 file format
# specification 3.0, II.A). SWMR needs version 3, and this HDF5 writes offsets of 8 bytes.
_SUPERBLOCK = struct.Struct("<8s4B3Q")
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SWMR_VERSION = 3
_OFFSET_BYTES = 8
_WRITTEN_IN_SWMR = 0x04
# A writer's flush writes the superblock a moment before the file has that length.
_GROWS_WITHIN_S = 0.5
# Touches every header and every index of chunks, and no data.
_READ_STRUCTURE = """
import sys, h5py
def look(name, item):
    if isinstance(item, h5py.Dataset) and item.chunks:
        item.id.get_num_chunks()
with h5py.File(sys.argv[1], "r", libver="latest", swmr=True) as file:
    file.visititems(look)
"""
_STRUCTURE_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class _Lengths:
    expected: int
    found: int
    swmr: bool


def open_session_hdf5(path: Path) -> h5py.File:
    """Open for reading; in SWMR mode what is being written, or was when its writer was killed.

    Raises
    ------
    SessionError
        No such file, no HDF5, shorter than its superblock says, or locked by another program.
    """
    import h5py

    if not path.exists():
        raise SessionError(f"{path}: no such file, expected a recorded session. Check the path.")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        reason = str(error).splitlines()[0]
    lengths = _settled_lengths(path)
    missing = lengths.expected - lengths.found if lengths else 0
    if lengths and missing > 0:
        # A full disk costs what one flush holds; HDF5 would read what is missing as zeros.
        written = lengths.swmr and missing < lengths.found
        if not (written and _has_structure(path)):
            raise SessionError(
                f"{path}: {lengths.found} bytes, expected {lengths.expected}: the file is cut short. Copy it again."
            )
        LOG.warning(
            "%s: the last %d bytes are missing (a full disk, or a copy cut short)", path, missing
        )
    if lengths and lengths.swmr:
        try:
            return h5py.File(path, "r", libver="latest", swmr=True)
        except OSError as error:
            reason = str(error).splitlines()[0]
    raise SessionError(
        f"{path}: {reason}, expected an HDF5 file. If it is being written elsewhere, wait."
    )


def _has_structure(path: Path) -> bool:
    try:
        result = subprocess.run(
            [sys.executable, "-c", _READ_STRUCTURE, str(path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_STRUCTURE_WITHIN_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return result.returncode == 0


def _settled_lengths(path: Path) -> _Lengths | None:
    deadline = time.monotonic() + _GROWS_WITHIN_S
    lengths = _lengths(path)
    while lengths and lengths.swmr and lengths.found < lengths.expected:
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
        lengths = _lengths(path)
    return lengths


def _lengths(path: Path) -> _Lengths | None:
    """Return how long the file must be and is; None where there is no superblock of version 3."""
    try:
        with path.open("rb") as file:
            head = file.read(_SUPERBLOCK.size)
            # After the head: a file that grows meanwhile is longer than its head said, never shorter.
            found = file.seek(0, 2)
    except OSError:
        return None
    if len(head) < _SUPERBLOCK.size:
        return None
    signature, version, offset_bytes, _, flags, base, _, end = _SUPERBLOCK.unpack(head)
    if (signature, version, offset_bytes) != (_SIGNATURE, _SWMR_VERSION, _OFFSET_BYTES):
        return None
    return _Lengths(base + end, found, bool(flags & _WRITTEN_IN_SWMR))
