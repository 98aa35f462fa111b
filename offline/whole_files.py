"""Files that appear whole or not at all, and their hashes.

What is being written lies beside its goal under a hidden name, so a killed run or a full disk leaves the older file,
and a reader never sees half of one. Knows nothing of what the files hold.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

_PIECE_BYTES = 1 << 20


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a path to write to; it takes the place of ``path`` when the block ends, and goes when the block fails."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it appears whole or not at all."""
    with whole_file(path) as part:
        part.write_bytes(data)


def file_sha256(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """Return a file's SHA-256; see ``stream_sha256``."""
    with path.open("rb") as file:
        return stream_sha256(file, progress)


def stream_sha256(file: IO[bytes], progress: Callable[[int], None] | None = None) -> str:
    """Return the SHA-256 of what is left to read; ``progress`` is called with the bytes of each piece."""
    hashed = hashlib.sha256()
    while piece := file.read(_PIECE_BYTES):
        hashed.update(piece)
        if progress is not None:
            progress(len(piece))
    return hashed.hexdigest()
