"""From nodes to the plain values that describe a network: numbers, texts, dictionaries, small arrays.

Each function takes one kind of node and refuses every other with a line that says where it stood. numpy's arrays are
rebuilt from their bytes for a few dtypes; objects are never made. Knows nothing of tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import CheckpointError
from offline.stimuli.checkpoints import allowed_names as names
from offline.stimuli.checkpoints.nodes import MAX_SHOWN, Blob, Call, Global, Items, pairs_of, shown

MAX_KEYS = 4096
MAX_ARRAY_BYTES = 4096
_DTYPES = frozenset({"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"})

Read = Callable[[Blob], bytes]
"""Gives the bytes of a blob."""


def reading(file: IO[bytes]) -> Read:
    """Return what reads small blobs of a file."""

    def read(blob: Blob) -> bytes:
        file.seek(blob.start)
        return file.read(min(blob.length, MAX_ARRAY_BYTES + 1))

    return read


def called(node: Any, *functions: str) -> Call | None:
    """Return the node if it is a call of one of these names, else None."""
    if isinstance(node, Call) and isinstance(node.function, Global):
        return node if node.function.path in functions else None
    return None


def as_dict(node: Any, where: str) -> dict[str, Any]:
    """Return a dictionary with texts as keys (plain, ordered or EasyDict).

    Raises
    ------
    CheckpointError
        Another kind of node, or a key that is no text.
    """
    call = called(node, names.ORDERED_DICT, names.EASY_DICT)
    if call is not None and call.arguments == () and not call.state and not call.appended:
        flat = call.flat_pairs
    elif isinstance(node, Items):
        flat = node.flat_pairs
    else:
        raise unexpected(node, "a dictionary", where)
    if flat is not None and len(flat) > 2 * MAX_KEYS:
        raise mismatch(f"{len(flat) // 2} keys", f"at most {MAX_KEYS}", where)
    made: dict[str, Any] = {}
    for key, value in pairs_of(flat):
        if not isinstance(key, str):
            raise unexpected(key, "a text as key", where)
        made[key] = value
    return made


def as_text(node: Any, where: str) -> str:
    """Return a short text."""
    if not isinstance(node, str):
        raise unexpected(node, "a text", where)
    return node


def as_float(node: Any, where: str, read: Read) -> float:
    """Return a finite number, from Python's or numpy's."""
    values = as_array(node, where, read)
    if values.size != 1:
        raise mismatch(f"{values.size} numbers", "one", where)
    value = float(values.reshape(-1)[0])
    if not math.isfinite(value):
        raise unexpected(value, "a finite number", where)
    return value


def as_int(node: Any, where: str, read: Read) -> int:
    """Return a whole number, from Python's or numpy's."""
    value = as_float(node, where, read)
    if value != int(value) or abs(value) > 2**53:
        raise unexpected(value, "a whole number", where)
    return int(value)


def as_bool(node: Any, where: str, read: Read) -> bool:
    """Return a truth value, from Python's or numpy's."""
    value = as_int(node, where, read)
    if value not in (0, 1):
        raise unexpected(value, "True or False", where)
    return bool(value)


def as_array(node: Any, where: str, read: Read) -> NDArray[Any]:
    """Return numbers as an array, from a number, a list or tuple of numbers, or numpy's scalar or array.

    Raises
    ------
    CheckpointError
        Another kind of node, another dtype, or more than ``MAX_ARRAY_BYTES``.
    """
    if isinstance(node, bool) or isinstance(node, float):
        return np.asarray(node)
    if isinstance(node, int):
        return np.asarray(node if abs(node) < 2**63 else float("inf"))
    if isinstance(node, (list, tuple)):
        if len(node) > 64:
            raise mismatch(f"{len(node)} values", "at most 64", where)
        flat = [v for v in node if not isinstance(v, (list, tuple))]
        if len(flat) != len(node):
            raise mismatch("a list in a list", "numbers", where)
        parts = [as_array(value, where, read).reshape(-1) for value in node]
        return np.concatenate(parts) if parts else np.zeros(0)
    if (call := called(node, *names.SCALARS)) is not None:
        dtype, raw = _arguments(call, 2, where)
        return _from_bytes(_raw(raw, where, read), _dtype(dtype, where), (), where)
    if (call := called(node, *names.ARRAYS)) is not None:
        return _array(call.state[0] if call.state and len(call.state) == 1 else None, where, read)
    if (call := called(node, names.DILL_ARRAY)) is not None:
        maker, _, state, _ = _arguments(call, 4, where)
        if not isinstance(maker, Global) or maker.path not in names.ARRAYS:
            raise unexpected(maker, "numpy's array", where)
        return _array(state, where, read)
    if (call := called(node, *names.ARRAY_BUFFERS)) is not None:
        raw, dtype, shape, order = _arguments(call, 4, where)
        values = _from_bytes(
            _raw(raw, where, read), _dtype(dtype, where), _shape(shape, where), where
        )
        return values if order == "C" else values.reshape(values.shape[::-1]).T
    raise unexpected(node, "a number or numbers", where)


def unexpected(node: Any, expected: str, where: str) -> CheckpointError:
    """Return the error of a node that is not what it should be."""
    if isinstance(node, Call):
        told = shown(node.function.path) if isinstance(node.function, Global) else "a call"
    elif isinstance(node, Global):
        told = shown(node.path)
    elif isinstance(node, str):
        told = shown(repr(node[:MAX_SHOWN]))
    elif isinstance(node, (int, float)) or node is None:
        told = shown(node)
    else:
        told = f"a {type(node).__name__.lower()}"
    return mismatch(told, expected, where)


def mismatch(found: str, expected: str, where: str) -> CheckpointError:
    """Return the error of something found that is not what it should be."""
    return CheckpointError(
        f"{where}: {found}, expected {expected}. The file is damaged, or a network of another kind."
    )


def _arguments(call: Call, n: int, where: str) -> tuple[Any, ...]:
    if not isinstance(call.arguments, tuple) or len(call.arguments) != n:
        raise unexpected(call, f"its {n} arguments", where)
    return call.arguments


def _array(state: Any, where: str, read: Read) -> NDArray[Any]:
    """``_reconstruct(ndarray, (0,), b'b')``, then a state (version, shape, dtype, is Fortran, bytes)."""
    if not isinstance(state, tuple) or len(state) != 5:
        raise unexpected(state, "the state of an array", where)
    _, shape, dtype, is_fortran, raw = state
    values = _from_bytes(_raw(raw, where, read), _dtype(dtype, where), _shape(shape, where), where)
    return values.reshape(values.shape[::-1]).T if is_fortran is True else values


def _dtype(node: Any, where: str) -> np.dtype[Any]:
    """``dtype('f8', False, True)``, then a state (version, byte order, None...)."""
    call = called(node, names.DTYPE)
    if call is None or not isinstance(call.arguments, tuple) or not call.arguments:
        raise unexpected(node, "a dtype of numbers", where)
    code = call.arguments[0]
    if not isinstance(code, str) or code not in _DTYPES:
        raise unexpected(code, "a dtype of numbers", where)
    state = call.state[0] if call.state else (3, "<")
    order = state[1] if isinstance(state, tuple) and len(state) > 1 else None
    if order not in ("<", ">", "|", "="):
        raise unexpected(order, "a byte order", where)
    # As written on the usual little-endian machine.
    return np.dtype(("<" if order in "=|" else order) + code)


def _shape(node: Any, where: str) -> tuple[int, ...]:
    if not isinstance(node, tuple) or len(node) > 4:
        raise unexpected(node, "the shape of a small array", where)
    for n in node:
        if type(n) is not int or not 0 <= n <= MAX_ARRAY_BYTES:
            raise unexpected(n, "a length", where)
    return node


def _raw(node: Any, where: str, read: Read) -> bytes:
    if isinstance(node, bytes):
        return node
    if isinstance(node, Blob) and not node.is_text and node.length <= MAX_ARRAY_BYTES:
        return read(node)
    raise unexpected(node, f"at most {MAX_ARRAY_BYTES} bytes", where)


def _from_bytes(
    raw: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], where: str
) -> NDArray[Any]:
    if len(raw) != dtype.itemsize * math.prod(shape):
        raise mismatch(f"{len(raw)} bytes", f"{dtype.itemsize * math.prod(shape)}", where)
    return np.frombuffer(raw, dtype).reshape(shape)
