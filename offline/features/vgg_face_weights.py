"""The convolutions of VGG-Face: from the original Torch7 file, or from safetensors made of it.

The original is a sequence of modules, in the order of processing; only the numbers of its convolutions are read, and
every module's settings are compared with the published ones (Parkhi, Vedaldi & Zisserman, BMVC 2015, table 3,
configuration D, which is VGG16). The fully connected modules stay in the file. Knows no pictures.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import FeatureError
from offline.features.torch7 import read_torch7
from offline.features.torch7_values import Torch7Object, Torch7Tensor
from offline.whole_files import file_sha256, write_whole

BLOCKS: tuple[tuple[int, ...], ...] = (
    (64, 64),
    (128, 128),
    (256, 256, 256),
    (512, 512, 512),
    (512, 512, 512),
)
"""Output channels of each convolution, axes (block, convolution); a pooling ends each block."""

WHERE_TO_GET = (
    "The original VGG_FACE.t7 is in vgg_face_torch.tar.gz at www.robots.ox.ac.uk/~vgg/software/vgg_face "
    "(non-commercial research)"
)
_MARK = {"network": "vgg-face", "input": "bgr, 0-255, minus the mean"}
_SEQUENCE = "nn.Sequential"
_CONVOLUTIONS = ("nn.SpatialConvolution", "nn.SpatialConvolutionMM")
_POOLING = "nn.SpatialMaxPooling"
_RECTIFIERS = ("nn.ReLU", "nn.Threshold")
_BEHIND = (
    "nn.Dropout",
    "nn.Identity",
    "nn.Linear",
    "nn.LogSoftMax",
    "nn.Reshape",
    "nn.SoftMax",
    "nn.View",
)
_CLASSES = frozenset((_SEQUENCE, *_CONVOLUTIONS, _POOLING, *_RECTIFIERS, *_BEHIND))

Numbers = dict[str, NDArray[np.float32]]
"""``conv1_1.weight``, axes (output, input, row, col), and ``conv1_1.bias``, axes (output,), to ``conv5_3``."""


def read_weights(path: Path) -> tuple[Numbers, dict[str, Any]]:
    """Read the convolutions.

    Parameters
    ----------
    path : Path
        ``VGG_FACE.t7``, what ``write_safetensors`` made of it, or the folder of ``VGG_FACE.t7``.

    Returns
    -------
    Numbers
    dict
        For provenance: the file's name, its SHA-256, and that of the numbers, which both forms share.

    Raises
    ------
    FeatureError
        The file is missing, damaged, or not this network.
    """
    if path.is_dir():
        path = path / "VGG_FACE.t7"
    if not path.is_file():
        raise FeatureError(
            f"{path}: no such file, expected the weights of VGG-Face. {WHERE_TO_GET}."
        )
    if path.suffix == ".safetensors":
        numbers = _from_safetensors(path)
    else:
        numbers = _from_torch7(path)
    told = {
        "file": path.name,
        "sha256": file_sha256(path),
        "convolutions_sha256": _numbers_sha256(numbers),
    }
    return numbers, told


def write_safetensors(source: Path, out: Path) -> None:
    """Write the convolutions of the original file (580 MB) as safetensors (59 MB), which give the very same features.

    Parameters
    ----------
    source : Path
        ``VGG_FACE.t7``.
    out : Path
        Ends in ``.safetensors``; appears whole or not at all. Its folder is made.

    Raises
    ------
    FeatureError
        ``source`` is not the original, or ``out`` has another ending or cannot be written.
    """
    from safetensors.numpy import save

    if out.suffix != ".safetensors":
        raise FeatureError(f"{out}: expected a name that ends in .safetensors.")
    numbers, told = read_weights(source)
    origin = {"source": told["file"], "source_sha256": told["sha256"]}
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_whole(out, save(numbers, metadata={**_MARK, **origin}))
    except OSError as error:
        raise FeatureError(
            f"{out}: {error.strerror}, expected a place for a file of 59 MB."
        ) from None


def _shapes() -> Iterator[tuple[str, tuple[int, int, int, int]]]:
    n_in = 3
    for block, outputs in enumerate(BLOCKS, 1):
        for position, n_out in enumerate(outputs, 1):
            yield f"conv{block}_{position}", (n_out, n_in, 3, 3)
            n_in = n_out


def _numbers_sha256(numbers: Numbers) -> str:
    hashed = hashlib.sha256()
    for name in sorted(numbers):
        hashed.update(name.encode())
        hashed.update(np.ascontiguousarray(numbers[name], "<f4").data)
    return hashed.hexdigest()


# ------------------------------------------------------------ safetensors


def _from_safetensors(path: Path) -> Numbers:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            mark = file.metadata() or {}
            names = set(file.keys())
            if any(mark.get(key) != value for key, value in _MARK.items()):
                raise FeatureError(
                    f"{path}: not marked as VGG-Face in the order blue, green, red, expected what b2g-offline features "
                    "writes from VGG_FACE.t7: other conversions may expect red first."
                )
            numbers: Numbers = {}
            for name, shape in _shapes():
                for key, axes in ((f"{name}.weight", shape), (f"{name}.bias", shape[:1])):
                    found = file.get_tensor(key) if key in names else None
                    if found is None or found.shape != axes or found.dtype != np.float32:
                        raise FeatureError(
                            f"{path}: {key} is missing or of another shape, expected {axes} float32. Write the file "
                            "again from VGG_FACE.t7."
                        )
                    numbers[key] = found
            return numbers
    except (OSError, SafetensorError) as error:
        raise FeatureError(
            f"{path}: no safetensors file ({error!s:.80}), expected the weights of VGG-Face. {WHERE_TO_GET}."
        ) from None


# ------------------------------------------------------------ Torch7


def _from_torch7(path: Path) -> Numbers:
    modules = list(_modules(read_torch7(path, _CLASSES), path))
    position = 0

    def following(what: str, *names: str) -> Mapping[Any, Any]:
        nonlocal position
        found = modules[position] if position < len(modules) else None
        if found is None or found.name not in names:
            told = "its end" if found is None else found.name
            raise _other(path, f"module {position + 1} is {told}", what)
        position += 1
        return found.fields

    numbers: Numbers = {}
    names = _shapes()
    for block, outputs in enumerate(BLOCKS, 1):
        for _ in outputs:
            name, shape = next(names)
            fields = following(f"the convolution {name}", *_CONVOLUTIONS)
            _check_settings(fields, name, path, k=3, d=1, pad=1)
            numbers[f"{name}.weight"] = _numbers(fields, "weight", shape, f"{name}", path)
            numbers[f"{name}.bias"] = _numbers(fields, "bias", shape[:1], f"{name}", path)
            rectifier = following(f"a rectifier behind {name}", *_RECTIFIERS)
            if rectifier.get("threshold", 0) != 0 or rectifier.get("val", 0) != 0:
                raise _other(path, f"the rectifier behind {name} is another", "max(x, 0)")
        name = f"the pooling of block {block}"
        _check_settings(following(name, _POOLING), name, path, k=2, d=2, pad=0)
    return numbers


def _modules(value: Any, path: Path) -> Iterator[Torch7Object]:
    """Yield the modules of a sequence in order, those of sequences within it in their place."""
    if not isinstance(value, Torch7Object) or value.name != _SEQUENCE:
        raise _other(path, "its value is another", "a sequence of modules (nn.Sequential)")
    open_ = [iter(_list(value, path))]
    seen = {id(value)}
    while open_:
        module = next(open_[-1], None)
        if module is None:
            open_.pop()
        elif module.name != _SEQUENCE:
            yield module
        elif id(module) in seen:
            raise _other(path, "a sequence that occurs twice", "each once")
        else:
            seen.add(id(module))
            open_.append(iter(_list(module, path)))


def _list(sequence: Torch7Object, path: Path) -> list[Torch7Object]:
    table = sequence.fields.get("modules")
    table = table if isinstance(table, dict) else {}
    modules = [table.get(k) for k in range(1, len(table) + 1)]
    if not modules or not all(isinstance(module, Torch7Object) for module in modules):
        raise _other(path, "a sequence without its modules", "a numbered table of them")
    return [module for module in modules if isinstance(module, Torch7Object)]


def _check_settings(
    fields: Mapping[Any, Any], name: str, path: Path, *, k: int, d: int, pad: int
) -> None:
    # Older versions wrote one padding for both directions.
    padding = fields.get("padding", 0)
    expected = {"kW": k, "kH": k, "dW": d, "dH": d}
    found = {key: fields.get(key) for key in expected}
    found |= {key: fields.get(key, padding) for key in ("padW", "padH")}
    if found != expected | {"padW": pad, "padH": pad}:
        raise _other(path, f"{name} has {found!s:.120}", f"kernel {k}, step {d}, padding {pad}")


def _numbers(
    fields: Mapping[Any, Any], field: str, shape: tuple[int, ...], name: str, path: Path
) -> NDArray[np.float32]:
    """Return the numbers of a module; convolutions by matrix product hold (output, input x row x col)."""
    tensor = fields.get(field)
    flat = (shape[0], math.prod(shape[1:]))
    if not isinstance(tensor, Torch7Tensor) or tensor.shape not in (shape, flat):
        told = f"shape {tensor.shape}" if isinstance(tensor, Torch7Tensor) else "no numbers"
        raise _other(path, f"{name} has {told} as {field}", f"{shape}")
    values = tensor.array()
    if values.dtype.kind != "f" or not np.isfinite(values).all():
        raise _other(path, f"{name} has {values.dtype} or no finite numbers", "finite numbers")
    return np.ascontiguousarray(values.reshape(shape), np.float32)


def _other(path: Path, found: str, expected: str) -> FeatureError:
    return FeatureError(
        f"{path}: {found}, expected {expected}, as VGG-Face has it. {WHERE_TO_GET}."
    )
