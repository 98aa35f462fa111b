"""A part of a file as a file of its own, read-only: for libraries that want one. Copies nothing."""

from __future__ import annotations

import io
from typing import IO


class FilePart(io.RawIOBase):
    """Bytes ``start`` to ``start + length`` of another file, whose position it moves.

    Parameters
    ----------
    file : binary file
    start, length : int
    most : int
        Bytes that may be read in all: a library that wants more gets ValueError.
    """

    def __init__(self, file: IO[bytes], start: int, length: int, most: int) -> None:
        super().__init__()
        self._most = most
        self._file = file
        self._start = start
        self._length = length
        self._pos = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a byte of the part.

        Raises
        ------
        ValueError
            Before its beginning.
        """
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._pos, io.SEEK_END: self._length}[whence]
        if base + offset < 0:
            raise ValueError("before the beginning")
        self._pos = base + offset
        return self._pos

    def tell(self) -> int:
        """Return the position within the part."""
        return self._pos

    def read(self, size: int | None = -1) -> bytes:
        """Return at most ``size`` bytes, never beyond the part's end.

        Raises
        ------
        ValueError
            More in all than allowed.
        """
        left = max(0, self._length - self._pos)
        n = left if size is None or size < 0 else min(size, left)
        self._most -= n
        if self._most < 0:
            raise ValueError("its directory is too large")
        self._file.seek(self._start + self._pos)
        data = self._file.read(n)
        self._pos += len(data)
        return data
