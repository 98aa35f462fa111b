"""Execution providers: what was asked for, what the session really uses, and why not.

ONNX Runtime falls back to the CPU silently in every obvious call, so a session is opened with the fallback
forbidden, asked which provider it uses, and compared with the request.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from b2g_rt.errors import ProviderError
from b2g_rt.inference.tensorrt_engines import make_folder

LOG = logging.getLogger(__name__)

Request = Literal["auto", "cpu", "cuda", "tensorrt"]
ORT_NAMES = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_LIBRARIES = {
    "cuda": "libonnxruntime_providers_cuda.so",
    "tensorrt": "libonnxruntime_providers_tensorrt.so",
}
_INSTALL = {
    "cuda": "Install the NVIDIA driver and: .venv/bin/pip install -c constraints.txt -e '.[cuda]'",
    # ONNX Runtime 1.31 links libnvinfer.so.10; pip alone would take 11.
    "tensorrt": "Install the NVIDIA driver and: .venv/bin/pip install -c constraints.txt -e '.[cuda]' "
    "'tensorrt-cu13<11'",
}


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """What a session is opened with.

    ``cache_key`` distinguishes TensorRT engines of models that share an architecture: the bundle's hash.
    ``cuda_graph``: capture the run as one CUDA graph where that is possible; no effect on the CPU.
    """

    request: Request = "auto"
    device_id: int = 0
    threads: int = 1
    gpu_mem_limit_mb: int = 0
    tensorrt_cache: Path = Path(".b2g-cache/tensorrt")
    cache_key: str = ""
    cuda_graph: bool = False


def provider_options(
    kind: str, settings: ProviderSettings, *, engine_prefix: str = "", capture: bool = False
) -> list[Any]:
    """Return ONNX Runtime's ``providers`` argument for one kind of provider.

    Parameters
    ----------
    kind : {'cpu', 'cuda', 'tensorrt'}
    settings : ProviderSettings
    engine_prefix : str
        What the names of this model's TensorRT engines begin with, see ``tensorrt_engines.engine_prefix``.
    capture : bool
        Whether the run becomes a CUDA graph.

    Notes
    -----
    TF32 is off (TensorRT has no option for it: ``forbid_tf32``) and the arena grows only as asked, so results stay
    comparable and two sessions fit on a card. ``trt_fp16_enable`` stays off too: without it TensorRT's network is
    strongly typed, so what was exported as float16 runs as float16 and what was kept in float32 runs as float32; with
    it TensorRT would choose.

    Raises
    ------
    ProviderError
        The folder for TensorRT's engines cannot be made.
    """
    if kind == "cpu":
        return [ORT_NAMES["cpu"]]
    cuda: dict[str, str] = {
        "device_id": str(settings.device_id),
        "use_tf32": "0",
        "cudnn_conv_algo_search": "HEURISTIC",
        "arena_extend_strategy": "kSameAsRequested",
    }
    if settings.gpu_mem_limit_mb:
        cuda["gpu_mem_limit"] = str(settings.gpu_mem_limit_mb * 1024 * 1024)
    if kind == "cuda":
        if capture:
            cuda["enable_cuda_graph"] = "1"
        return [(ORT_NAMES["cuda"], cuda)]
    make_folder(settings.tensorrt_cache)
    tensorrt = {
        "device_id": str(settings.device_id),
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(settings.tensorrt_cache),
        # Without a prefix of our own the cache confuses models of one architecture (onnxruntime#6455).
        "trt_engine_cache_prefix": engine_prefix,
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(settings.tensorrt_cache),
    }
    if capture:
        tensorrt["trt_cuda_graph_enable"] = "1"
    return [(ORT_NAMES["tensorrt"], tensorrt), (ORT_NAMES["cuda"], cuda)]


def forbid_tf32() -> None:
    """Switch TF32 off for every NVIDIA library of this process.

    TensorRT obeys nothing else, and only what is set when the process opens its first session on a GPU.
    """
    os.environ["NVIDIA_TF32_OVERRIDE"] = "0"


def candidates(request: Request) -> tuple[str, ...]:
    """Return the kinds to try, best first; ``auto`` tries a GPU only where a driver is installed."""
    if request != "auto":
        return (request,)
    return ("cuda", "cpu") if has_driver() else ("cpu",)


def has_driver() -> bool:
    """Whether the NVIDIA driver's library is there."""
    return ctypes.util.find_library("cuda") is not None


def missing_library(kind: str) -> str:
    """Return what the dynamic loader says is missing for a provider, or ''."""
    import onnxruntime

    folder = Path(onnxruntime.__file__).parent / "capi"
    library = folder / _LIBRARIES[kind]
    if not library.exists():
        return f"{library.name} is not part of this onnxruntime"
    try:
        ctypes.CDLL(str(folder / "libonnxruntime_providers_shared.so"), ctypes.RTLD_GLOBAL)
        ctypes.CDLL(str(library))
    except OSError as error:
        return str(error).split(": cannot open shared object file")[0] + " is missing"
    if not has_driver():
        return "libcuda.so.1 (the NVIDIA driver) is missing"
    return ""


def how_to_install(kind: str) -> str:
    """Return what to do to get a provider of a GPU."""
    return _INSTALL[kind]


def unavailable(kind: str, detail: str = "") -> ProviderError:
    """Return the error that says why a provider cannot be had, and how to get it."""
    import onnxruntime

    name = ORT_NAMES[kind]
    reason = missing_library(kind) or detail or "no usable GPU was found"
    return ProviderError(
        f"inference.provider '{kind}': {reason}, expected {name} of onnxruntime {onnxruntime.__version__} to start. "
        f"{_INSTALL[kind]}; or set inference.provider=cpu."
    )


def preload_gpu_libraries(kind: str) -> None:
    """Load CUDA's and cuDNN's libraries, for ``tensorrt`` TensorRT's too, from pip's packages, if installed."""
    import onnxruntime

    if hasattr(onnxruntime, "preload_dlls"):
        # It prints what it does not find; what is missing is named by ``unavailable`` in our own words.
        import contextlib
        import io

        with contextlib.redirect_stdout(io.StringIO()):
            onnxruntime.preload_dlls()
    if kind == "tensorrt":
        _preload_tensorrt()


def _preload_tensorrt() -> None:
    # preload_dlls knows no TensorRT, and pip's libraries lie where the loader does not look.
    package = importlib.util.find_spec("tensorrt_libs")
    for folder in (package.submodule_search_locations or []) if package else []:
        # In the order in which they need each other.
        for name in ("libnvinfer.so.*", "libnvinfer_plugin.so.*", "libnvonnxparser.so.*"):
            for library in sorted(Path(folder).glob(name)):
                try:
                    ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
                except OSError as error:
                    LOG.debug("%s: %s", library, error)
