"""Read files of Torch7 (.t7, the Lua library before PyTorch), without executing anything in them.

For files from strangers. Values become plain Python; of tensors only the place in the file is noted, and their numbers
are read when asked for. Lua functions and classes that the caller did not expect are refused. Sizes in the file are
claims: each is compared with what the file still holds before anything is made, and nesting is limited. Knows nothing
of any network.

The format, little endian, as 64-bit machines write it: a value is a 32-bit tag and its content. 0 nil; 1 number
(float64); 2 text (32-bit length, bytes); 3 table (index, number of pairs, key and value each); 4 object (index, version
as text ``V 1``, class as text, content); 5 truth (32-bit); 6, 7, 8 function. Index: 32-bit, counts tables and objects
from 1; an index met before stands for that very table or object and has no content. Content of a class of ``nn``: one
table; of a storage: 64-bit number of elements, elements; of a tensor: 32-bit number of dimensions, sizes, strides and
1-based offset in 64-bit, then its storage as a value (or nil).
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Collection
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from b2g_rt.errors import FeatureError
from offline.features.torch7_values import Table, Torch7Object, Torch7Storage, Torch7Tensor

MAX_DEPTH = 60
MAX_DIMENSIONS = 16
MAX_VALUES = 200_000
MAX_TEXT_BYTES = 1 << 20

_NIL, _NUMBER, _TEXT, _TABLE, _OBJECT, _TRUTH = range(6)
_FUNCTIONS = (6, 7, 8)
_DTYPES = {
    "Byte": "<u1",
    "Char": "<i1",
    "Short": "<i2",
    "Int": "<i4",
    "Long": "<i8",
    "Half": "<f2",
    "Float": "<f4",
    "Double": "<f8",
}
_TENSORS = {f"torch.{name}Tensor": np.dtype(code) for name, code in _DTYPES.items()}
_STORAGES = {f"torch.{name}Storage": np.dtype(code) for name, code in _DTYPES.items()}
_PAIR_BYTES = 12  # the shortest key (an empty text) and the shortest value (nil)


def read_torch7(path: Path, classes: Collection[str]) -> Any:
    """Read the one value of a file.

    Parameters
    ----------
    path : Path
        Written by ``torch.save`` in the binary format.
    classes : collection of str
        Classes whose objects may be in it, such as ``nn.Linear``; tensors and storages of numbers always may.

    Returns
    -------
    None, bool, float, int, str, dict, Torch7Object, Torch7Tensor or Torch7Storage
        Tables and objects that the file mentions several times are the same object, also within themselves.

    Raises
    ------
    FeatureError
        It cannot be read, is no such file, is damaged, or holds a function or another class.
    """
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        told = (error.strerror or str(error)).lower() if isinstance(error, OSError) else "is empty"
        raise FeatureError(f"{path}: {told}, expected a file of Torch7 (.t7).") from None
    reader = _Reader(data, str(path), classes)
    try:
        value = reader.value(0)
    except BaseException:
        data.close()
        raise
    if reader.at != len(data):
        reader.damaged(f"{len(data) - reader.at} bytes behind its value")
    return value


class _Reader:
    """Goes through the file once, from its beginning."""

    def __init__(self, data: mmap.mmap, where: str, classes: Collection[str]) -> None:
        self.at = 0
        self._data = data
        self._where = where
        self._classes = classes
        self._seen: dict[int, Any] = {}
        self._values = 0
        self._text_bytes = 0

    # ------------------------------------------------------------ values

    def value(self, depth: int) -> Any:
        tag = self._int()
        self._values += 1
        if self._values > MAX_VALUES or depth > MAX_DEPTH:
            self.damaged("more values or deeper nesting than any network has")
        if tag == _NIL:
            return None
        if tag == _NUMBER:
            return self._number()
        if tag == _TEXT:
            return self._text()
        if tag == _TRUTH:
            return self._int() == 1
        if tag in _FUNCTIONS:
            self._refuse("a Lua function, which would have to be executed", "numbers only")
        if tag not in (_TABLE, _OBJECT):
            self.damaged(f"a value of kind {tag}")
        index = self._int()
        if index in self._seen:
            return self._seen[index]
        return self._table(index, depth) if tag == _TABLE else self._object(index, depth)

    def _table(self, index: int, depth: int) -> Table:
        table: Table = {}
        self._seen[index] = table
        n = self._int()
        self._check_left(n, _PAIR_BYTES)
        for _ in range(n):
            key = self.value(depth + 1)
            if isinstance(key, bool) or not isinstance(key, str | int | float):
                self._refuse("a table whose key is neither number nor text", "those")
            table[key] = self.value(depth + 1)
        return table

    def _object(self, index: int, depth: int) -> Any:
        name = self._text()
        if name.startswith("V "):
            name = self._text()
        if name in _STORAGES:
            self._seen[index] = storage = self._storage(_STORAGES[name])
            return storage
        if name in _TENSORS:
            self._seen[index] = tensor = self._tensor(_TENSORS[name])
            return tensor
        if name not in self._classes:
            self._refuse(f"an object of class {_shown(name)}", ", ".join(sorted(self._classes)))
        made = Torch7Object(name)
        self._seen[index] = made
        fields = self.value(depth + 1)
        if not isinstance(fields, dict):
            self.damaged(f"a {name} without its fields")
        made.fields = fields
        return made

    # ------------------------------------------------------------ numbers

    def _storage(self, dtype: np.dtype[Any]) -> Torch7Storage:
        size = self._long()
        self._check_left(size, dtype.itemsize)
        storage = Torch7Storage(dtype, size, self._data, self.at)
        self.at += size * dtype.itemsize
        return storage

    def _tensor(self, dtype: np.dtype[Any]) -> Torch7Tensor:
        n = self._int()
        if not 0 <= n <= MAX_DIMENSIONS:
            self.damaged(f"a tensor of {n} dimensions")
        shape = tuple(self._long() for _ in range(n))
        strides = tuple(self._long() for _ in range(n))
        offset = self._long() - 1
        tag = self._int()
        storage: Any = None
        if tag == _OBJECT:
            index = self._int()
            storage = self._seen[index] if index in self._seen else self._fresh_storage(index)
        if tag not in (_NIL, _OBJECT) or not isinstance(storage, Torch7Storage | None):
            self.damaged("a tensor without its numbers")
        if storage is not None and storage.dtype != dtype:
            self.damaged(f"a tensor of {dtype} over {storage.dtype}")
        if n == 0:
            # Torch7 knows no scalars: without a dimension it is empty.
            return Torch7Tensor((0,), (1,), 0, storage)
        self._check_within(shape, strides, offset, 0 if storage is None else storage.size)
        return Torch7Tensor(shape, strides, offset, storage)

    def _fresh_storage(self, index: int) -> Torch7Storage | None:
        name = self._text()
        if name.startswith("V "):
            name = self._text()
        if name not in _STORAGES:
            self._refuse(f"a tensor over {_shown(name)}", "a storage of numbers")
        self._seen[index] = storage = self._storage(_STORAGES[name])
        return storage

    def _check_within(
        self, shape: tuple[int, ...], strides: tuple[int, ...], offset: int, size: int
    ) -> None:
        """Refuse a tensor that reaches beyond its storage, or repeats its numbers without end."""
        if min(shape) < 0 or min(strides) < 0:
            self.damaged("a tensor of negative size")
        n = math.prod(shape)
        if n == 0:
            return
        last = offset + sum((k - 1) * stride for k, stride in zip(shape, strides, strict=True))
        if offset < 0 or last >= size or n > size:
            self.damaged(f"a tensor of shape {shape} over {size} numbers")

    # ------------------------------------------------------------ bytes

    def _int(self) -> int:
        return int(self._unpack("<i", 4))

    def _long(self) -> int:
        return int(self._unpack("<q", 8))

    def _number(self) -> float:
        value = float(self._unpack("<d", 8))
        return int(value) if value.is_integer() and abs(value) < 2**53 else value

    def _text(self) -> str:
        n = self._int()
        self._check_left(n, 1)
        self._text_bytes += n
        if self._text_bytes > MAX_TEXT_BYTES:
            self.damaged("more text than any network has")
        self.at += n
        return self._data[self.at - n : self.at].decode("latin-1")

    def _unpack(self, code: str, n: int) -> Any:
        self._check_left(n, 1)
        self.at += n
        return struct.unpack_from(code, self._data, self.at - n)[0]

    def _check_left(self, n: int, each: int) -> None:
        if n < 0:
            self.damaged(f"a length of {n}")
        if n * each > len(self._data) - self.at:
            self.damaged(f"{n * each} bytes announced and {len(self._data) - self.at} left")

    # ------------------------------------------------------------ refusals

    def damaged(self, what: str) -> NoReturn:
        if self._data[:2] in (b"4\n", b"3\n"):
            raise FeatureError(
                f"{self._where}: Torch7's text format, expected its binary one. Save it again in Torch7 with "
                'torch.save(file, value, "binary").'
            )
        raise FeatureError(
            f"{self._where}: {what} at byte {self.at}, expected a whole file of Torch7 (.t7, 64-bit binary). It is "
            "damaged or something else: download it again, or unpack it first."
        )

    def _refuse(self, what: str, expected: str) -> NoReturn:
        raise FeatureError(
            f"{self._where}: holds {what}, expected {expected}. Nothing of it was read further."
        )


def _shown(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:60])
