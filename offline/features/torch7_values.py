"""What a file of Torch7 says, as inert data: tables, objects, tensors whose numbers stay in the file.

Made by `torch7`, which has compared every size with the file before; nothing here can run.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Table: TypeAlias = dict[str | float, Any]
"""A Lua table: keys are texts (latin-1, so that bytes survive) and numbers (whole ones as int)."""


@dataclass(slots=True, eq=False)
class Torch7Object:
    """An object of a class of ``nn``: its name and its fields; nothing of the class is known."""

    name: str
    fields: Table = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Torch7Storage:
    """Numbers in a row, left in the file."""

    dtype: np.dtype[Any]
    size: int
    _data: mmap.mmap = field(repr=False)
    _start: int = field(repr=False)

    def array(self) -> NDArray[Any]:
        """Return a copy of the numbers."""
        return np.frombuffer(self._data, self.dtype, self.size, self._start).copy()


@dataclass(frozen=True, slots=True, eq=False)
class Torch7Tensor:
    """A tensor whose numbers are left in the file.

    Attributes
    ----------
    shape : tuple of int
    """

    shape: tuple[int, ...]
    _strides: tuple[int, ...] = field(repr=False)
    _offset: int = field(repr=False)
    _storage: Torch7Storage | None = field(repr=False)

    def array(self) -> NDArray[Any]:
        """Return a copy of the numbers, C order; never larger than the file."""
        storage = self._storage
        if storage is None or 0 in self.shape:
            return np.zeros(self.shape, np.float32 if storage is None else storage.dtype)
        size = storage.dtype.itemsize
        view = np.ndarray(
            self.shape,
            storage.dtype,
            buffer=storage._data,
            offset=storage._start + self._offset * size,
            strides=tuple(stride * size for stride in self._strides),
        )
        return view.copy(order="C")
