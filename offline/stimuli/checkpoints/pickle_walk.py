"""Walk a pickle's opcodes and note what they say: no name is looked up, nothing is called, nothing is imported.

For files from strangers. Python's own unpickler looks names up and calls them; this one builds `nodes` instead, and
large bytes stay in the file. It knows all opcodes of protocols 0 to 5 and nothing of checkpoints.

Memory is bounded whatever the file says (`bounded_reader`): so many opcodes, which make about 100 bytes each, and so
many bytes of names and numbers. There is no recursion.

Source of the opcodes' meaning: the Python Library Reference, `pickletools`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import IO, Any

from offline.stimuli.checkpoints.bounded_reader import BoundedReader, Budget
from offline.stimuli.checkpoints.nodes import Blob, Call, Global, Items, Members, Persistent

MAX_KEPT_TEXT = 4096  # longer texts (source code) stay in the file
MAX_KEPT_BYTES = 64  # longer bytes (tensors) stay in the file
MAX_NUMBER_BYTES = 1024
LAST_PROTOCOL = 5
_PROGRESS_STEP = 1 << 22
_EXTENSION = "copyreg extension"  # numbers that stand for names on the machine that wrote them


class PickleWalk:
    """One pickle within a file.

    Parameters
    ----------
    file : binary file
        Seekable; its position is moved.
    start, end : int
        Bytes of the file that the pickle may use.
    where : str
        Opens the lines of errors.
    budget : Budget, optional
    progress : callable, optional
        Called with the number of bytes gone on.
    """

    def __init__(
        self,
        file: IO[bytes],
        start: int,
        end: int,
        where: str,
        budget: Budget | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self.reader = BoundedReader(file, start, end, where, budget or Budget())
        self._told = start
        self._progress = progress
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def walk(self) -> tuple[Any, int]:
        """Return what the pickle describes, and the position behind it.

        Raises
        ------
        CheckpointError
            It ends too early, is no pickle, or wants more than the budget.
        """
        try:
            while (opcode := self.reader.opcode()) != b".":
                handler = _HANDLERS.get(opcode)
                if handler is None:
                    self.reader.broken(f"no opcode {opcode.hex()}")
                handler(self)
                if self._progress is not None and self.reader.pos - self._told >= _PROGRESS_STEP:
                    self._progress(self.reader.pos - self._told)
                    self._told = self.reader.pos
            return self._stack.pop(), self.reader.pos
        except (IndexError, KeyError, ValueError, OverflowError, struct.error) as error:
            self.reader.broken(f"{type(error).__name__}")

    # ------------------------------------------------------------ stack

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _mark(self) -> None:
        self._below.append(self._stack)
        self._stack = []

    def _to_mark(self) -> list[Any]:
        values, self._stack = self._stack, self._below.pop()
        return values

    def _pop(self) -> None:
        # Popping a mark is allowed: what was above it is gone already.
        if self._stack:
            self._stack.pop()
        else:
            self._to_mark()

    def _pop_mark(self) -> None:
        self._to_mark()

    # ------------------------------------------------------------ values

    def _text(self, n: int, encoding: str = "utf-8") -> None:
        self.reader.check_left(n)
        if n > MAX_KEPT_TEXT:
            self._blob(n, is_text=True)
            return
        self.reader.charge(n)
        self._push(self.reader.take(n).decode(encoding, "surrogatepass"))

    def _bytes(self, n: int) -> None:
        self.reader.check_left(n)
        if n > MAX_KEPT_BYTES:
            self._blob(n, is_text=False)
            return
        self._push(self.reader.take(n))

    def _blob(self, n: int, *, is_text: bool) -> None:
        self._push(Blob(self.reader.pos, n, is_text))
        self.reader.skip(n)

    def _long(self, n: int) -> None:
        self.reader.check_left(n)
        if n > MAX_NUMBER_BYTES:
            self.reader.broken(f"a number of {n} bytes")
        self.reader.charge(n)
        self._push(int.from_bytes(self.reader.take(n), "little", signed=True))

    def _signed(self, n: int) -> int:
        return int.from_bytes(self.reader.take(n), "little", signed=True)

    def _decimal(self) -> None:
        line = self.reader.line()
        self._push({"00": False, "01": True}.get(line, None) if line in ("00", "01") else int(line))

    # ------------------------------------------------------------ names and calls

    def _name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            self.reader.broken("a name that is no text")
        self._push(Global(module, name))

    def _stack_global(self) -> None:
        name = self._stack.pop()
        self._name(self._stack.pop(), name)

    def _reduce(self, how: Any) -> None:
        arguments = self._stack.pop()
        self._push(Call(self._stack.pop(), arguments, how))

    def _new_with_keywords(self) -> None:
        keywords, arguments = self._stack.pop(), self._stack.pop()
        self._push(Call(self._stack.pop(), (arguments, keywords), "new"))

    def _instance(self) -> None:
        cls = Global(self.reader.line(), self.reader.line())
        self._push(Call(cls, tuple(self._to_mark()), "call"))

    def _object(self) -> None:
        cls, *arguments = self._to_mark()
        self._push(Call(cls, tuple(arguments), "call"))

    def _build(self) -> None:
        state = self._stack.pop()
        target = self._stack[-1]
        if not isinstance(target, Call):
            self.reader.broken(f"a state for {type(target).__name__}")
        if target.state is None:
            target.state = []
        target.state.append(state)

    # ------------------------------------------------------------ containers

    def _set_items(self, flat: list[Any]) -> None:
        target = self._stack[-1]
        if len(flat) % 2 or not isinstance(target, (Items, Call)):
            self.reader.broken("items for no dictionary")
        if target.flat_pairs is None:
            target.flat_pairs = flat
        else:
            target.flat_pairs.extend(flat)

    def _set_item(self) -> None:
        value = self._stack.pop()
        self._set_items([self._stack.pop(), value])

    def _dict(self) -> None:
        flat = self._to_mark()
        if len(flat) % 2:
            self.reader.broken("a key without a value")
        self._push(Items(flat))

    def _append(self, values: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, list):
            target.extend(values)
        elif isinstance(target, (Members, Call)):
            if target.appended is None:
                target.appended = []
            target.appended.extend(values)
        else:
            self.reader.broken("a value for no list")

    def _tuple(self, n: int) -> None:
        values = tuple(self._stack.pop() for _ in range(n))
        self._push(values[::-1])

    # ------------------------------------------------------------ memo, frames, the rest

    def _put(self, key: int) -> None:
        self._memo[key] = self._stack[-1]

    def _protocol(self) -> None:
        version = self.reader.uint(1)
        if version > LAST_PROTOCOL:
            self.reader.broken(f"protocol {version}")

    def _frame(self) -> None:
        self.reader.check_left(self.reader.uint(8))


def _pushing(value: Callable[[PickleWalk], Any]) -> Callable[[PickleWalk], None]:
    return lambda walk: walk._push(value(walk))


_HANDLERS: dict[bytes, Callable[[PickleWalk], None]] = {
    b"\x80": PickleWalk._protocol,
    b"\x95": PickleWalk._frame,
    # numbers
    b"N": _pushing(lambda _: None),
    b"\x88": _pushing(lambda _: True),
    b"\x89": _pushing(lambda _: False),
    b"I": PickleWalk._decimal,
    b"J": _pushing(lambda walk: walk._signed(4)),
    b"K": _pushing(lambda walk: walk.reader.uint(1)),
    b"M": _pushing(lambda walk: walk.reader.uint(2)),
    b"L": _pushing(lambda walk: int(walk.reader.line().rstrip("L"))),
    b"\x8a": lambda walk: walk._long(walk.reader.uint(1)),
    b"\x8b": lambda walk: walk._long(walk._signed(4)),
    b"F": _pushing(lambda walk: float(walk.reader.line())),
    b"G": _pushing(lambda walk: struct.unpack(">d", walk.reader.take(8))[0]),
    # texts and bytes
    b"S": _pushing(lambda walk: walk.reader.line().strip("'\"")),
    b"T": lambda walk: walk._text(walk._signed(4), "latin-1"),
    b"U": lambda walk: walk._text(walk.reader.uint(1), "latin-1"),
    b"V": _pushing(lambda walk: walk.reader.line()),
    b"X": lambda walk: walk._text(walk.reader.uint(4)),
    b"\x8c": lambda walk: walk._text(walk.reader.uint(1)),
    b"\x8d": lambda walk: walk._text(walk.reader.uint(8)),
    b"B": lambda walk: walk._bytes(walk.reader.uint(4)),
    b"C": lambda walk: walk._bytes(walk.reader.uint(1)),
    b"\x8e": lambda walk: walk._bytes(walk.reader.uint(8)),
    b"\x96": lambda walk: walk._bytes(walk.reader.uint(8)),
    # containers
    b"]": _pushing(lambda _: []),
    b"}": _pushing(lambda _: Items([])),
    b")": _pushing(lambda _: ()),
    b"\x8f": _pushing(lambda _: Members([])),
    b"l": _pushing(lambda walk: walk._to_mark()),
    b"t": _pushing(lambda walk: tuple(walk._to_mark())),
    b"d": PickleWalk._dict,
    b"\x91": _pushing(lambda walk: Members(walk._to_mark())),
    b"\x85": lambda walk: walk._tuple(1),
    b"\x86": lambda walk: walk._tuple(2),
    b"\x87": lambda walk: walk._tuple(3),
    b"a": lambda walk: walk._append([walk._stack.pop()]),
    b"e": lambda walk: walk._append(walk._to_mark()),
    b"\x90": lambda walk: walk._append(walk._to_mark()),
    b"s": PickleWalk._set_item,
    b"u": lambda walk: walk._set_items(walk._to_mark()),
    # names and calls
    b"c": lambda walk: walk._name(walk.reader.line(), walk.reader.line()),
    b"\x93": PickleWalk._stack_global,
    b"R": lambda walk: walk._reduce("call"),
    b"\x81": lambda walk: walk._reduce("new"),
    b"\x92": PickleWalk._new_with_keywords,
    b"i": PickleWalk._instance,
    b"o": PickleWalk._object,
    b"b": PickleWalk._build,
    b"P": _pushing(lambda walk: Persistent(walk.reader.line())),
    b"Q": _pushing(lambda walk: Persistent(walk._stack.pop())),
    b"\x82": _pushing(lambda walk: Global(_EXTENSION, str(walk.reader.uint(1)))),
    b"\x83": _pushing(lambda walk: Global(_EXTENSION, str(walk.reader.uint(2)))),
    b"\x84": _pushing(lambda walk: Global(_EXTENSION, str(walk.reader.uint(4)))),
    # stack and memo
    b"(": PickleWalk._mark,
    b"0": PickleWalk._pop,
    b"1": PickleWalk._pop_mark,
    b"2": _pushing(lambda walk: walk._stack[-1]),
    b"p": lambda walk: walk._put(int(walk.reader.line())),
    b"q": lambda walk: walk._put(walk.reader.uint(1)),
    b"r": lambda walk: walk._put(walk.reader.uint(4)),
    b"\x94": lambda walk: walk._put(len(walk._memo)),
    b"g": _pushing(lambda walk: walk._memo[int(walk.reader.line())]),
    b"h": _pushing(lambda walk: walk._memo[walk.reader.uint(1)]),
    b"j": _pushing(lambda walk: walk._memo[walk.reader.uint(4)]),
    # buffers outside the pickle
    b"\x97": lambda walk: walk.reader.broken("a buffer outside the file"),
    b"\x98": lambda walk: walk.reader.broken("a buffer outside the file"),
}
