"""Tensors of a checkpoint: first only shape and place, then, when they are wanted, their numbers as float32.

A tensor is a view of a storage; shape and strides come from the file and are compared with the storage before any
memory is taken. Knows nothing of what a tensor is for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from b2g_rt.errors import CheckpointError
from offline.stimuli.checkpoints import allowed_names as names
from offline.stimuli.checkpoints.bounded_reader import Budget
from offline.stimuli.checkpoints.nodes import Call
from offline.stimuli.checkpoints.plain_values import called, mismatch, unexpected
from offline.stimuli.checkpoints.storage_payload import Storage, storage_of

MAX_DIMENSIONS = 8
_PARAMETERS = (names.PARAMETER, names.PARAMETER_WITH_STATE)


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A view of a storage; shape, strides and offset in numbers, not bytes.

    Attributes
    ----------
    storage : Storage
    offset : int
    shape, strides : tuple of int
    where : str
        Name for messages.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    where: str

    @property
    def n(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def extent(self) -> int:
        """Number of stored numbers from the first that is used to the last."""
        if self.n == 0:
            return 0
        return sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True)) + 1


class TensorFinder:
    """Finds stored tensors by their nodes; each storage is looked at once.

    Parameters
    ----------
    file : binary file
    budget : Budget
    """

    def __init__(self, file: IO[bytes], budget: Budget) -> None:
        self._file = file
        self._budget = budget
        self._storages: dict[int, Storage] = {}

    def find(self, node: Any, where: str) -> StoredTensor:
        """Return where a tensor's or a parameter's numbers lie.

        Raises
        ------
        CheckpointError
            No tensor, or one that reaches beyond its storage.
        """
        parameter = called(node, *_PARAMETERS)
        if parameter is not None:
            node = _first_of(parameter, (3, 4), where)
        call = called(node, names.TENSOR)
        if call is None:
            raise unexpected(node, "a tensor", where)
        _first_of(call, (6, 7), where)
        stored, offset, shape, strides = call.arguments[:4]
        found = StoredTensor(
            storage=self._storage(stored, where),
            offset=_lengths((offset,), where)[0],
            shape=_lengths(_size(shape, where), where),
            strides=_lengths(strides, where),
            where=where,
        )
        if len(found.shape) != len(found.strides) or len(found.shape) > MAX_DIMENSIONS:
            raise mismatch(f"shape {found.shape} and strides {found.strides}", "a tensor", where)
        # Below: one number repeated, which makes a small file a large network.
        if not found.n <= found.extent <= 2 * found.n + 16:
            raise mismatch(
                f"strides {found.strides} for shape {found.shape}", "a dense tensor", where
            )
        if found.offset + found.extent > found.storage.n:
            raise CheckpointError(
                f"{where}: reaches to number {found.offset + found.extent}, expected at most {found.storage.n} as "
                "there are in its storage. The file is damaged: download it again."
            )
        return found

    def _storage(self, node: Any, where: str) -> Storage:
        call = called(node, names.STORAGE)
        if call is None:
            raise unexpected(node, "a storage", where)
        if id(call) not in self._storages:
            payload = _first_of(call, (1,), where)
            self._storages[id(call)] = storage_of(self._file, payload, where, self._budget)
        return self._storages[id(call)]


def read_float32(file: IO[bytes], tensor: StoredTensor) -> Tensor:
    """Return a tensor's numbers, contiguous, float32.

    Raises
    ------
    CheckpointError
        A number is not finite.
    """
    storage = tensor.storage
    file.seek(storage.start + tensor.offset * storage.itemsize)
    raw = np.fromfile(file, np.uint8, tensor.extent * storage.itemsize)
    if raw.size != tensor.extent * storage.itemsize:
        raise CheckpointError(f"{tensor.where}: the file became shorter while it was read.")
    row = _float32(raw, storage.dtype)
    if tensor.n == 0:
        return torch.empty(tensor.shape)
    view = np.lib.stride_tricks.as_strided(row, tensor.shape, [4 * s for s in tensor.strides])
    values = np.array(view, order="C", copy=None)
    if not np.isfinite(values).all():
        raise CheckpointError(
            f"{tensor.where}: numbers that are not finite, expected weights. The training had failed, or the file is "
            "damaged."
        )
    return torch.from_numpy(values)


def _float32(raw: NDArray[np.uint8], dtype: str) -> NDArray[np.float32]:
    if dtype == "bfloat16":
        # The upper half of a float32.
        return (raw.view("<u2").astype(np.uint32) << 16).view(np.float32)
    with np.errstate(over="ignore"):
        return raw.view(dtype).astype(np.float32, copy=False)


def _first_of(call: Call, counts: tuple[int, ...], where: str) -> Any:
    """Return the first argument of a call that has one of these numbers of arguments and nothing else."""
    plain = not call.flat_pairs and not call.appended
    if not isinstance(call.arguments, tuple) or len(call.arguments) not in counts or not plain:
        raise unexpected(call, f"its {counts[0]} arguments", where)
    return call.arguments[0]


def _size(node: Any, where: str) -> Any:
    """Return the lengths in a tuple or a ``torch.Size``."""
    call = called(node, names.SIZE)
    return node if call is None else _first_of(call, (1,), where)


def _lengths(node: Any, where: str) -> tuple[int, ...]:
    if not isinstance(node, (tuple, list)) or len(node) > MAX_DIMENSIONS:
        raise unexpected(node, "a shape", where)
    for n in node:
        if type(n) is not int or not 0 <= n < 2**40:
            raise unexpected(n, "a length", where)
    return tuple(node)
