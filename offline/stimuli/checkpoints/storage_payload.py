"""Where the numbers of a stored tensor lie within the file: the archive inside the archive, opened without unpickling.

``torch.storage._load_from_bytes`` gets the bytes of a file of its own, as ``torch.save`` wrote it for one storage: the
old format (five small pickles, then the raw numbers) or a zip archive (``data.pkl`` and uncompressed members). Both
are walked like the file around them; the result is a dtype and a place in the file, nothing is copied.
"""

from __future__ import annotations

import struct
import zipfile
from dataclasses import dataclass
from typing import IO, Any

from b2g_rt.errors import CheckpointError
from offline.stimuli.checkpoints.allowed_names import check_storage_names
from offline.stimuli.checkpoints.bounded_reader import Budget
from offline.stimuli.checkpoints.file_part import FilePart
from offline.stimuli.checkpoints.nodes import Blob, Global, Items, Persistent, pairs_of, shown
from offline.stimuli.checkpoints.pickle_walk import PickleWalk

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_ZIP = b"PK\x03\x04"
MAX_MEMBERS = 64
MAX_DIRECTORY_BYTES = 1 << 18  # read of an archive's end and table of contents
STORAGES = {
    "HalfStorage": "<f2",
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "BFloat16Storage": "bfloat16",
}


@dataclass(frozen=True, slots=True)
class Storage:
    """Numbers in a row, in the file.

    Attributes
    ----------
    dtype : str
        '<f2', '<f4', '<f8' or 'bfloat16'.
    start : int
        Byte of the file where they begin.
    n : int
        How many there are.
    """

    dtype: str
    start: int
    n: int

    @property
    def itemsize(self) -> int:
        """Bytes of one number."""
        return 2 if self.dtype == "bfloat16" else int(self.dtype[-1])


def storage_of(file: IO[bytes], payload: Any, where: str, budget: Budget) -> Storage:
    """Find the numbers of a payload.

    Parameters
    ----------
    file : binary file
    payload : node
        What ``_load_from_bytes`` was to be given.
    where : str
        Opens the error's line.
    budget : Budget

    Raises
    ------
    CheckpointError
        It holds anything but one storage of real numbers that lies within it.
    """
    if not isinstance(payload, Blob) or payload.is_text:
        raise CheckpointError(f"{where}: no bytes for a tensor, expected its storage. {_DAMAGED}")
    file.seek(payload.start)
    if file.read(len(_ZIP)) == _ZIP:
        return _zipped(file, payload, where, budget)
    return _legacy(file, payload, where, budget)


_DAMAGED = "The file is damaged: download it again."


def _legacy(file: IO[bytes], payload: Blob, where: str, budget: Budget) -> Storage:
    end = payload.start + payload.length
    position = payload.start
    parts: list[Any] = []
    for _ in range(5):
        part, position = PickleWalk(file, position, end, where, budget).walk()
        check_storage_names(part, where)
        parts.append(part)
    magic, protocol, system, storage, keys = parts
    if magic != _MAGIC or protocol != _PROTOCOL:
        raise CheckpointError(f"{where}: no storage written by torch, expected one. {_DAMAGED}")
    if not isinstance(system, Items) or dict_of_texts(system).get("little_endian") is not True:
        raise CheckpointError(
            f"{where}: a storage written on a big-endian machine, expected little-endian numbers."
        )
    dtype, key, n = _identity(storage, where)
    if not isinstance(keys, list) or keys != [key]:
        raise CheckpointError(f"{where}: several storages in one, expected one. {_DAMAGED}")
    if end - position < 8:
        raise CheckpointError(f"{where}: a storage without its numbers. {_DAMAGED}")
    file.seek(position)
    (told,) = struct.unpack("<q", file.read(8))
    found = Storage(dtype, position + 8, n)
    if told != n or n * found.itemsize != end - found.start:
        raise CheckpointError(
            f"{where}: {n} numbers promised and {told} announced, expected "
            f"{(end - found.start) // found.itemsize} as there are bytes. {_DAMAGED}"
        )
    return found


def _zipped(file: IO[bytes], payload: Blob, where: str, budget: Budget) -> Storage:
    part = FilePart(file, payload.start, payload.length, MAX_DIRECTORY_BYTES)
    try:
        with zipfile.ZipFile(part) as archive:
            members = {info.filename: info for info in archive.infolist()}
            if len(members) > MAX_MEMBERS or any(
                m.compress_type != zipfile.ZIP_STORED or m.file_size != m.compress_size
                for m in members.values()
            ):
                raise CheckpointError(
                    f"{where}: a compressed or large archive for a tensor, expected a few plain members. Do not use "
                    "this file."
                )
            pickled = next((name for name in members if name.endswith("/data.pkl")), None)
            if pickled is None:
                raise CheckpointError(f"{where}: an archive without data.pkl. {_DAMAGED}")
            start, size = _place(file, payload, members[pickled], where)
            storage, _ = PickleWalk(file, start, start + size, where, budget).walk()
            check_storage_names(storage, where)
            dtype, key, n = _identity(storage, where)
            name = f"{pickled.removesuffix('data.pkl')}data/{key}"
            if name not in members:
                raise CheckpointError(f"{where}: no {shown(name)} in the archive. {_DAMAGED}")
            start, size = _place(file, payload, members[name], where)
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError) as error:
        raise CheckpointError(
            f"{where}: an archive that cannot be read ({shown(error)}). {_DAMAGED}"
        ) from None
    found = Storage(dtype, start, n)
    if n * found.itemsize != size:
        raise CheckpointError(
            f"{where}: {n} numbers promised, expected {size // found.itemsize}. {_DAMAGED}"
        )
    return found


def _place(file: IO[bytes], payload: Blob, member: zipfile.ZipInfo, where: str) -> tuple[int, int]:
    """Return first byte and size of a plain member: behind its local header, which has lengths of its own."""
    header = payload.start + member.header_offset
    end = payload.start + payload.length
    if not payload.start <= header <= end - 30:
        raise CheckpointError(f"{where}: a member outside its archive. {_DAMAGED}")
    file.seek(header)
    local = file.read(30)
    name, extra = struct.unpack("<HH", local[26:30])
    start = header + 30 + name + extra
    if local[:4] != _ZIP or start + member.file_size > end:
        raise CheckpointError(f"{where}: a member outside its archive. {_DAMAGED}")
    return start, member.file_size


def _identity(storage: Any, where: str) -> tuple[str, str, int]:
    """('storage', type, key, location, n, view) as torch names a storage within its own files."""
    told = storage.identity if isinstance(storage, Persistent) else None
    if not isinstance(told, tuple) or len(told) not in (5, 6) or told[0] != "storage":
        raise CheckpointError(f"{where}: no storage, expected one. {_DAMAGED}")
    kind, key, n = told[1], told[2], told[4]
    if len(told) == 6 and told[5] is not None:
        raise CheckpointError(
            f"{where}: a view of another storage, expected a whole one. {_DAMAGED}"
        )
    if not isinstance(kind, Global) or kind.module != "torch" or kind.name not in STORAGES:
        name = shown(kind.path) if isinstance(kind, Global) else type(kind).__name__
        raise CheckpointError(
            f"{where}: {name}, expected one of torch's {', '.join(sorted(STORAGES))}. Weights are real numbers."
        )
    if not isinstance(key, str) or len(key) > 256 or type(n) is not int or n < 0:
        raise CheckpointError(f"{where}: a storage without key and size. {_DAMAGED}")
    return STORAGES[kind.name], key, n


def dict_of_texts(items: Items) -> dict[str, Any]:
    """Return the entries whose keys are texts."""
    return {k: v for k, v in pairs_of(items.flat_pairs) if isinstance(k, str)}
