"""Read a part of a file forwards, with nothing taken before it is known to be there and to be affordable.

For walking pickles from strangers: lengths in them are claims. Knows no opcodes.
"""

from __future__ import annotations

from typing import IO, NoReturn

from b2g_rt.errors import CheckpointError

MAX_OPCODES = 2_000_000
MAX_TEXT_BYTES = 32 << 20
MAX_LINE = 65536


class Budget:
    """What may still be taken, shared by all pickles of one file.

    Attributes
    ----------
    opcodes, text_bytes : int
        Left to be used.
    """

    def __init__(self, opcodes: int = MAX_OPCODES, text_bytes: int = MAX_TEXT_BYTES) -> None:
        self.opcodes = opcodes
        self.text_bytes = text_bytes


class BoundedReader:
    """Bytes ``start`` to ``end`` of a file, read once.

    Parameters
    ----------
    file : binary file
        Seekable; its position is moved.
    start, end : int
    where : str
        Opens the lines of errors.
    budget : Budget

    Raises
    ------
    CheckpointError
        By every method: the part ends too early, or the budget is spent.
    """

    def __init__(self, file: IO[bytes], start: int, end: int, where: str, budget: Budget) -> None:
        self.file = file
        self.pos = start
        self.end = end
        self.where = where
        self.budget = budget
        file.seek(start)

    def take(self, n: int) -> bytes:
        """Return the next ``n`` bytes."""
        self.check_left(n)
        data = self.file.read(n)
        if len(data) != n:
            self.truncated(n)
        self.pos += n
        return data

    def check_left(self, n: int) -> None:
        """Refuse a length that is negative or beyond the end."""
        if n < 0:
            self.broken("a negative length")
        if n > self.end - self.pos:
            self.truncated(n)

    def line(self) -> str:
        """Return the text up to the next line's end, without it."""
        line = self.file.readline(min(MAX_LINE, self.end - self.pos))
        if not line.endswith(b"\n"):
            if self.pos + len(line) < self.end:
                self.broken("a long line")
            self.truncated(1)
        self.pos += len(line)
        self.charge(len(line))
        return line[:-1].decode("utf-8", "backslashreplace")

    def charge(self, n: int) -> None:
        """Count bytes of names or numbers that are kept."""
        self.budget.text_bytes -= n
        if self.budget.text_bytes < 0:
            self.too_much("bytes of names and numbers", MAX_TEXT_BYTES)

    def uint(self, n: int) -> int:
        """Return the next ``n`` bytes as a number."""
        return int.from_bytes(self.take(n), "little")

    def skip(self, n: int) -> None:
        """Go on by ``n`` bytes without reading them."""
        self.check_left(n)
        self.pos += n
        self.file.seek(self.pos)

    def opcode(self) -> bytes:
        """Return the next byte, counted as an opcode."""
        self.budget.opcodes -= 1
        if self.budget.opcodes < 0:
            self.too_much("opcodes", MAX_OPCODES)
        return self.take(1)

    def truncated(self, n: int) -> NoReturn:
        """Raise: ``n`` bytes are missing."""
        raise CheckpointError(
            f"{self.where}: ends at byte {self.end}, expected {n} more behind byte {self.pos}. The file is "
            "incomplete: download it again and compare its size."
        )

    def broken(self, what: str) -> NoReturn:
        """Raise: this is no pickle."""
        raise CheckpointError(
            f"{self.where}: no readable pickle at byte {self.pos} ({what}), expected an official checkpoint (.pkl). "
            "The file is damaged or something else: download it again."
        )

    def too_much(self, what: str, most: int) -> NoReturn:
        """Raise: it wants more than any checkpoint."""
        raise CheckpointError(
            f"{self.where}: more than {most} {what}, expected far fewer in a checkpoint. It was made to fill the "
            "memory: do not use it."
        )
