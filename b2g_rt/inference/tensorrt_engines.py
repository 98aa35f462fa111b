"""TensorRT's built engines on disk: under which name, whether one is there, and how a broken one is removed.

An engine fits one model, one ONNX Runtime, one TensorRT and one kind of GPU. ONNX Runtime names it after the graph's
nodes alone, so a retrained model would get the old one's engine (onnxruntime#6455), and an engine of another TensorRT
is an error, not a reason to build: all of that stands in the prefix.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
from pathlib import Path

from b2g_rt.errors import ProviderError
from b2g_rt.inference.gpu_devices import gpu_devices

_KEY_LENGTH = 16
_NO_FILE_NAME = re.compile(r"[^A-Za-z0-9.]+")
_ENDINGS = (".engine", ".profile")


def engine_prefix(path: Path, cache_key: str, device_id: int, precision: str) -> str:
    """Return what the names of a model's engines begin with.

    Parameters
    ----------
    path : Path
        The ONNX file.
    cache_key : str
        The bundle's hash; '' for a model without one: the file's own is taken.
    device_id : int
    precision : {'float32', 'float16'}
        What the file was exported in.
    """
    import onnxruntime

    key = cache_key or hashlib.sha256(path.read_bytes()).hexdigest()
    parts = (
        key[:_KEY_LENGTH],
        path.stem,
        f"ort{onnxruntime.__version__}",
        f"trt{tensorrt_version() or '?'}",
        _device_part(device_id),
        precision,
    )
    return "-".join(_NO_FILE_NAME.sub("_", part) for part in parts)


def _device_part(device_id: int) -> str:
    for device in gpu_devices():
        if device.number == device_id:
            major, minor = device.capability
            # An engine made on a card with more memory may not load on one with less.
            return f"{device.name}_sm{major}{minor}_{round(device.memory_mb / 1024)}GiB"
    return f"gpu{device_id}"


def tensorrt_version() -> str:
    """Return the version of the TensorRT that this ONNX Runtime links, '' when it cannot be loaded."""
    try:
        number: int = ctypes.CDLL(tensorrt_library()).getInferLibVersion()
    except (OSError, AttributeError):
        return ""
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


def tensorrt_library() -> str:
    """Return the name of the library that ONNX Runtime's provider links, e.g. 'libnvinfer.so.10'; '' without one."""
    import onnxruntime

    provider = Path(onnxruntime.__file__).parent / "capi" / "libonnxruntime_providers_tensorrt.so"
    if not provider.exists():
        return ""
    found = re.search(rb"libnvinfer\.so\.\d+", provider.read_bytes())
    return found[0].decode() if found else ""


def make_folder(folder: Path) -> None:
    """Make the folder for engines.

    Raises
    ------
    ProviderError
        It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ProviderError(
            f"inference.tensorrt_cache: {folder}: {error.strerror}, expected a folder that can be "
            "written. Choose another one."
        ) from None


def engines(folder: Path, prefix: str) -> list[Path]:
    """Return a model's engine files, and what TensorRT wrote beside them."""
    # Not by glob: a prefix is no pattern.
    if not folder.is_dir():
        return []
    return sorted(
        file
        for file in folder.iterdir()
        if file.name.startswith(f"{prefix}_") and file.suffix in _ENDINGS
    )


def forget_engines(folder: Path, prefix: str) -> int:
    """Remove a model's engines (one that was cut off while it was written loads no more); return how many files."""
    broken = engines(folder, prefix)
    for file in broken:
        file.unlink(missing_ok=True)
    return len(broken)
