"""The whole chunks of an XDF file as a file of its own: what pyxdf is given to read. Copies nothing."""

from __future__ import annotations

import io
from typing import IO, Any

import numpy as np


class WholeChunks(io.RawIOBase):
    """The parts of a file that hold whole chunks, as a file of its own: what pyxdf is given to read.

    Parameters
    ----------
    file : binary file
        Its position is moved.
    parts : list of (start, stop)
    """

    def __init__(self, file: IO[bytes], parts: list[tuple[int, int]]) -> None:
        super().__init__()
        self._file = file
        self._starts = np.array([start for start, _ in parts], np.int64)
        lengths = np.array([stop - start for start, stop in parts], np.int64)
        self._edges = np.r_[0, np.cumsum(lengths)]
        self._pos = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a byte of the whole chunks."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._pos, io.SEEK_END: int(self._edges[-1])}[whence]
        self._pos = max(0, base + offset)
        return self._pos

    def tell(self) -> int:
        """Return the position."""
        return self._pos

    def readinto(self, buffer: Any, /) -> int:
        """Fill the buffer as far as there are bytes."""
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view) and self._pos < self._edges[-1]:
            part = int(np.searchsorted(self._edges, self._pos, side="right")) - 1
            n = min(len(view) - done, int(self._edges[part + 1]) - self._pos)
            self._file.seek(int(self._starts[part]) + self._pos - int(self._edges[part]))
            data = self._file.read(n)
            if not data:
                break
            view[done : done + len(data)] = data
            done += len(data)
            self._pos += len(data)
        return done
