"""The tensors of a TorchScript archive, by name, without executing anything in it.

OpenAI published CLIP as such archives (``ViT-L-14-336px.pt``): programs with their weights, which torch only loads as
programs. Here the archive's pickle is walked, not unpickled, and the tensors are mapped from the file. Knows no
network.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from b2g_rt.errors import CheckpointError, FeatureError
from offline.stimuli.checkpoints.nodes import Call, Global, Items, pairs_of
from offline.stimuli.checkpoints.pickle_walk import PickleWalk

if TYPE_CHECKING:
    import torch

MAX_PICKLE_BYTES = 64 << 20
MAX_DIMENSIONS = 16
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_CLASSES = "__torch__"
_TENSOR = "torch._utils._rebuild_tensor_v2"
_DTYPES = {
    "HalfStorage": "<f2",
    "BFloat16Storage": "<i2",
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "ByteStorage": "u1",
    "BoolStorage": "?",
    "IntStorage": "<i4",
    "LongStorage": "<i8",
}

_UNREADABLE = (
    OSError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What zipfile raises about damaged archives."""


def is_torchscript(path: Path) -> bool:
    """Say whether a file is such an archive; one that cannot be read is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except _UNREADABLE:
        return False
    return _pickle_name(names) is not None


def read_torchscript(path: Path) -> dict[str, torch.Tensor]:
    """Read all tensors that are attributes of modules.

    Returns
    -------
    dict of str to torch.Tensor
        Parameters and buffers as ``state_dict`` names them; mapped from the file.

    Raises
    ------
    FeatureError
        It is no such archive, is damaged, or wants more than it holds.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {info.filename: info for info in archive.infolist()}
            name = _pickle_name(entries)
            if name is None:
                raise _damaged(path, "no program in it")
            if entries[name].file_size > MAX_PICKLE_BYTES:
                raise _damaged(path, f"a description of {entries[name].file_size} bytes")
            pickled = archive.read(name)
        root, _ = PickleWalk(io.BytesIO(pickled), 0, len(pickled), str(path)).walk()
        data = np.memmap(path, np.uint8, mode="c")
    except CheckpointError as error:
        raise FeatureError(f"{error}") from None
    except _UNREADABLE as error:
        raise _damaged(path, f"{error!s:.100}") from None
    folder = name.removesuffix("data.pkl") + "data/"
    reader = _Storages(path, data, entries, folder)
    return {name: reader.tensor(call) for name, call in _attributes(root)}


def _pickle_name(names: Any) -> str | None:
    """Return the entry that describes the program; what has no code is no program."""
    for name in names:
        folder, slash, last = name.rpartition("/")
        if slash and last == "data.pkl" and any(n.startswith(f"{folder}/code/") for n in names):
            return str(name)
    return None


def _attributes(root: Any) -> Iterator[tuple[str, Call]]:
    """Yield the name and the node of each tensor of a module and of those in it; shared modules once."""
    left, seen = [("", root)], set()
    while left:
        prefix, module = left.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        for state in module.state or () if isinstance(module, Call) else ():
            for key, value in pairs_of(state.flat_pairs) if isinstance(state, Items) else ():
                if not isinstance(key, str) or not isinstance(value, Call):
                    continue
                function = value.function
                path = function.path if isinstance(function, Global) else ""
                if path == _TENSOR:
                    yield prefix + key, value
                elif path.startswith(_CLASSES):
                    left.append((f"{prefix}{key}.", value))


class _Storages:
    """The numbers of an archive, each tensor compared with its storage before it is made."""

    def __init__(
        self, path: Path, data: np.memmap, entries: dict[str, zipfile.ZipInfo], folder: str
    ) -> None:
        self._path = path
        self._data = data
        self._entries = entries
        self._folder = folder

    def tensor(self, call: Call) -> torch.Tensor:
        import torch

        try:
            persistent, offset, shape, strides = call.arguments[:4]
            kind, storage, key, _, _ = persistent.identity
            code = _DTYPES[storage.name]
            whole = [offset, *shape, *strides]
        except (AttributeError, KeyError, TypeError, ValueError):
            raise _damaged(self._path, "a tensor of another kind") from None
        if kind != "storage" or storage.module != "torch" or len(shape) != len(strides):
            raise _damaged(self._path, "a tensor of another kind")
        if not all(type(n) is int and n >= 0 for n in whole) or len(shape) > MAX_DIMENSIONS:
            raise _damaged(self._path, "a tensor of no size")
        start, size = self._place(f"{self._folder}{key}")
        dtype = np.dtype(code)
        n = math.prod(shape)
        extent = sum((k - 1) * stride for k, stride in zip(shape, strides, strict=True)) + 1
        if n and ((offset + extent) * dtype.itemsize > size or n * dtype.itemsize > size):
            raise _damaged(self._path, f"a tensor of shape {shape} over {size} bytes")
        if n == 0:
            view: Any = np.zeros(shape, dtype)
        else:
            view = np.ndarray(
                shape,
                dtype,
                buffer=self._data,
                offset=start + offset * dtype.itemsize,
                strides=tuple(stride * dtype.itemsize for stride in strides),
            )
        # Archives align their numbers; what is not is copied.
        tensor = torch.from_numpy(view if view.flags.aligned else view.copy())
        return tensor.view(torch.bfloat16) if storage.name == "BFloat16Storage" else tensor

    def _place(self, name: str) -> tuple[int, int]:
        """Return where an entry's bytes lie in the file, and how many they are."""
        info = self._entries.get(name)
        if info is None or info.compress_type != zipfile.ZIP_STORED:
            raise _damaged(self._path, f"numbers {name!r:.60} that are not there as such")
        header = info.header_offset
        if header + _LOCAL_HEADER.size > len(self._data):
            raise _damaged(self._path, "an entry beyond its end")
        mark, n_name, n_extra = _LOCAL_HEADER.unpack(
            self._data[header : header + _LOCAL_HEADER.size].tobytes()
        )
        start = header + _LOCAL_HEADER.size + n_name + n_extra
        if mark != b"PK\x03\x04" or start + info.file_size > len(self._data):
            raise _damaged(self._path, "an entry beyond its end")
        return start, info.file_size


def _damaged(path: Path, what: str) -> FeatureError:
    return FeatureError(
        f"{path}: {what}, expected a whole TorchScript archive of weights. Download it again."
    )
