"""The Brain2GAN latents, ``*_w.pickle``: a dictionary {'train': (4000, 512), 'test': (100 | 200, 512)}, read safely.

A pickle can run any program when Python loads it. This reader loads none: opcodes are walked by the checkpoints'
`pickle_walk`, only numpy arrays of numbers are understood, and their bytes are read from where they lie.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import CheckpointError, SessionError
from offline.recordings.formats.reader import one_line
from offline.stimuli.checkpoints import allowed_names as names
from offline.stimuli.checkpoints.nodes import Blob, Call, Global, Items, pairs_of, shown
from offline.stimuli.checkpoints.pickle_walk import PickleWalk
from offline.stimuli.checkpoints.plain_values import called

_DTYPES = {"f2", "f4", "f8"}
_EXPECTED = "expected a pickled dictionary with 'train' and 'test', axes (stimulus, latent)"
_GET = "Get the original *_w.pickle of Brain2GAN."


def read_latents(path: Path) -> dict[str, NDArray[np.float32]]:
    """Return the latents of a set.

    Parameters
    ----------
    path : Path

    Returns
    -------
    dict of 'train' and 'test' to float32, axes (stimulus, latent)

    Raises
    ------
    SessionError
        No such file, no pickle, cut short, or anything in it but such arrays: then nothing was executed.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            if file.read(1) != b"\x80":
                raise SessionError(f"{path}: no pickle, {_EXPECTED}. {_GET}")
            root, _ = PickleWalk(file, 0, size, str(path)).walk()
            return _latents(root, file, path)
    except OSError as error:
        raise SessionError(f"{path}: {error.strerror or one_line(error)}, {_EXPECTED}.") from None
    except CheckpointError as error:
        text = str(error).replace("an official checkpoint (.pkl)", "latents")
        raise SessionError(text) from None


def _latents(root: Any, file: IO[bytes], path: Path) -> dict[str, NDArray[np.float32]]:
    if not isinstance(root, Items):
        raise _unexpected(root, "a dictionary", path)
    found = {}
    for key, node in pairs_of(root.flat_pairs):
        if not isinstance(key, str):
            raise _unexpected(key, "texts as keys", path)
        found[key] = _array(node, key, file, path)
    if set(found) != {"train", "test"}:
        raise SessionError(
            f"{path}: keys {', '.join(shown(k) for k in found) or 'none'}, {_EXPECTED}. {_GET}"
        )
    widths = {k: v.shape for k, v in found.items()}
    if any(len(s) != 2 for s in widths.values()) or len({s[1] for s in widths.values()}) != 1:
        raise SessionError(f"{path}: shapes {widths}, {_EXPECTED}. {_GET}")
    if any(not np.isfinite(v).all() for v in found.values()):
        raise SessionError(f"{path}: numbers that are not finite, {_EXPECTED}. {_GET}")
    return found


def _array(node: Any, key: str, file: IO[bytes], path: Path) -> NDArray[np.float32]:
    if (call := called(node, *names.ARRAYS)) is not None:
        state = call.state[0] if call.state and len(call.state) == 1 else None
        if isinstance(state, tuple) and len(state) == 5:
            _, shape, dtype, fortran, raw = state
            return _numbers(raw, dtype, shape, fortran is True, key, file, path)
    elif (call := called(node, *names.ARRAY_BUFFERS)) is not None:
        if isinstance(call.arguments, tuple) and len(call.arguments) == 4:
            raw, dtype, shape, order = call.arguments
            return _numbers(raw, dtype, shape, order == "F", key, file, path)
    raise _unexpected(node, f"a numpy array under '{key}'", path)


def _numbers(
    raw: Any, dtype: Any, shape: Any, fortran: bool, key: str, file: IO[bytes], path: Path
) -> NDArray[np.float32]:
    kind = _dtype(dtype)
    lengths = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
    if kind is None or not lengths:
        raise _unexpected(dtype, f"real numbers under '{key}'", path)
    if isinstance(raw, bytes):
        data = raw
    elif isinstance(raw, Blob) and not raw.is_text:
        file.seek(raw.start)
        data = file.read(raw.length)
    else:
        raise _unexpected(raw, f"the bytes of '{key}' (pickle protocol 3 or later)", path)
    if len(data) != kind.itemsize * math.prod(shape):
        raise SessionError(
            f"{path}: '{key}' has {len(data)} bytes, expected {kind.itemsize * math.prod(shape)} for {shape}. {_GET}"
        )
    values = np.frombuffer(data, kind).astype(np.float32)
    return values.reshape(shape[::-1]).T.copy() if fortran else values.reshape(shape)


def _dtype(node: Any) -> np.dtype[Any] | None:
    call = called(node, names.DTYPE)
    if call is None or not isinstance(call.arguments, tuple) or not call.arguments:
        return None
    code = call.arguments[0]
    state = call.state[0] if call.state else (3, "<")
    order = state[1] if isinstance(state, tuple) and len(state) > 1 else "<"
    if code not in _DTYPES or order not in ("<", ">", "="):
        return None
    return np.dtype(("<" if order == "=" else order) + code)


def _unexpected(node: Any, expected: str, path: Path) -> SessionError:
    if isinstance(node, Call) and isinstance(node.function, Global):
        told = f"calls {shown(node.function.path)}"
    elif isinstance(node, Global):
        told = f"names {shown(node.path)}"
    else:
        told = f"holds a {type(node).__name__.lower()}"
    return SessionError(
        f"{path}: {told}, expected {expected}. Nothing was executed. Do not open this file with other programs unless "
        "you know where it comes from."
    )
