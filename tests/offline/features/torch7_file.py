"""Write files as Torch7 wrote them, for tests: values, tensors over storages, objects, functions."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

_NAMES = {
    "u1": "Byte",
    "i1": "Char",
    "i2": "Short",
    "i4": "Int",
    "i8": "Long",
    "f2": "Half",
    "f4": "Float",
    "f8": "Double",
}


@dataclass(eq=False)
class Module:
    """An object of a Lua class that is a table of fields."""

    name: str
    fields: dict[Any, Any] = field(default_factory=dict)


@dataclass(eq=False)
class Storage:
    values: np.ndarray


@dataclass(eq=False)
class Tensor:
    """A view of a storage; offset counts from 0."""

    storage: Storage | None
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0
    dtype: str = "f4"


@dataclass(eq=False)
class Function:
    code: bytes = b"\x1bLua"
    tag: int = 8


class Torch7Writer:
    """Collects the bytes of values; tables and objects met again are written as references."""

    def __init__(self, *, version: bool = True) -> None:
        self.data = bytearray()
        self._version = version
        self._seen: dict[int, int] = {}
        self._kept: list[Any] = []

    def value(self, value: Any) -> Torch7Writer:
        if value is None:
            self._int(0)
        elif isinstance(value, bool):
            self._int(5, int(value))
        elif isinstance(value, int | float):
            self._int(1)
            self.data += struct.pack("<d", value)
        elif isinstance(value, str):
            self._int(2)
            self._text(value)
        elif isinstance(value, Function):
            if value.tag == 6:
                self._int(6)
            elif not self._begins(value.tag, value):
                return self
            self._int(len(value.code))
            self.data += value.code
            self.value({})
        elif isinstance(value, np.ndarray):
            self.value(tensor_of(value))
        elif isinstance(value, list):
            self.value({k: v for k, v in enumerate(value, 1)})
        elif isinstance(value, dict):
            if self._begins(3, value):
                self._int(len(value))
                for key, content in value.items():
                    self.value(key).value(content)
        elif isinstance(value, Module):
            if self._begins(4, value):
                self._class(value.name)
                self.value(value.fields)
        elif isinstance(value, Storage):
            if self._begins(4, value):
                self._class(f"torch.{_NAMES[value.values.dtype.str[1:]]}Storage")
                self._long(value.values.size)
                self.data += value.values.tobytes()
        elif isinstance(value, Tensor):
            if self._begins(4, value):
                self._class(f"torch.{_NAMES[value.dtype]}Tensor")
                self._int(len(value.shape))
                self._long(*value.shape, *value.strides, value.offset + 1)
                self.value(value.storage)
        else:
            raise TypeError(type(value))
        return self

    def _begins(self, tag: int, value: Any) -> bool:
        self._int(tag)
        known = self._seen.get(id(value))
        if known is not None:
            self._int(known)
            return False
        self._kept.append(value)
        self._seen[id(value)] = len(self._kept)
        self._int(len(self._kept))
        return True

    def _class(self, name: str) -> None:
        if self._version:
            self._text("V 1")
        self._text(name)

    def _text(self, text: str) -> None:
        self._int(len(text))
        self.data += text.encode("latin-1")

    def _int(self, *values: int) -> None:
        self.data += struct.pack(f"<{len(values)}i", *values)

    def _long(self, *values: int) -> None:
        self.data += struct.pack(f"<{len(values)}q", *values)


def tensor_of(values: np.ndarray) -> Tensor:
    """A tensor over all of a storage of its own."""
    values = np.ascontiguousarray(values)
    strides = tuple(stride // values.itemsize for stride in values.strides)
    return Tensor(Storage(values.reshape(-1)), values.shape, strides, 0, values.dtype.str[1:])


def write_torch7(path: Path, value: Any, **options: Any) -> Path:
    path.write_bytes(Torch7Writer(**options).value(value).data)
    return path
