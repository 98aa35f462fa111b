"""Opens one ONNX Runtime session, and says in one line who is at fault when it cannot.

Whatever ONNX Runtime raises becomes ``BundleError`` (the file) or ``ProviderError`` (the provider). Knows nothing of
buffers or of what the model computes.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from b2g_rt.errors import BundleError, ProviderError
from b2g_rt.inference.onnx_file import OnnxFacts
from b2g_rt.inference.providers import (
    ProviderSettings,
    forbid_tf32,
    preload_gpu_libraries,
    provider_options,
    unavailable,
)
from b2g_rt.inference.session_checks import TensorSpec
from b2g_rt.inference.tensorrt_engines import forget_engines

LOG = logging.getLogger(__name__)

# ONNX Runtime's exceptions derive from Exception, not from RuntimeError; which of them exist depends on its version.
_BROKEN_FILE = ("InvalidProtobuf", "InvalidGraph", "NoSuchFile", "NoModel")
_OTHER = (
    "DeviceReset",
    "EPFail",
    "EngineError",
    "Fail",
    "InvalidArgument",
    "ModelLoadCanceled",
    "ModelLoaded",
    "ModelRequiresCompilation",
    "NotFound",
    "NotImplemented",
    "RuntimeException",
)
_NOISE = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : |/\S+?\.(?:cc|h):\d+ .*?\) (?=[A-Z])")
_MAX_DETAIL = 300
_NO_GRAPH = "captur"
_BROKEN_ENGINE = "could not deserialize engine"


def open_session(
    path: Path,
    settings: ProviderSettings,
    kind: str,
    free_dimensions: Mapping[str, int],
    *,
    engine_prefix: str = "",
    capture: bool = False,
) -> Any:
    """Open a session, on a GPU with as little left to the CPU as possible; within ``explained`` and ``quiet``.

    Parameters
    ----------
    path : Path
    settings : ProviderSettings
    kind : {'cpu', 'cuda', 'tensorrt'}
    free_dimensions : mapping of name to int
        What the model's free dimensions are from now on: a graph of fixed shapes is folded farther, a TensorRT engine
        is built here instead of at the first run.
    engine_prefix : str
        Of this model's TensorRT engines.
    capture : bool
        Whether its runs become a CUDA graph.

    Returns
    -------
    onnxruntime.InferenceSession
    """
    providers = provider_options(kind, settings, engine_prefix=engine_prefix, capture=capture)
    if kind == "cuda":
        try:
            return _session(path, settings, providers, free_dimensions, forbid_cpu=True)
        except _exceptions(("Fail",)):
            # Also raised for a graph with a node that only the CPU can run: look at what a session really uses.
            pass
    if kind == "tensorrt":
        try:
            return _session(path, settings, providers, free_dimensions, forbid_cpu=False)
        except _exceptions(_OTHER) as error:
            # It is an error for ONNX Runtime, not a reason to build: a start that was cut off would last for ever.
            if _BROKEN_ENGINE not in str(error):
                raise
            if not forget_engines(settings.tensorrt_cache, engine_prefix):
                raise
            LOG.warning("%s: its TensorRT engine is broken and is built again", path)
    return _session(path, settings, providers, free_dimensions, forbid_cpu=False)


def _session(
    path: Path,
    settings: ProviderSettings,
    providers: list[Any],
    free_dimensions: Mapping[str, int],
    *,
    forbid_cpu: bool,
) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.threads
    options.inter_op_num_threads = 1
    # Its own lines about a failure say what its exceptions say.
    options.log_severity_level = 4
    # By default idle threads spin for milliseconds after each run: at a 25 ms stride that is all the time.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    for name, size in free_dimensions.items():
        options.add_free_dimension_override_by_name(name, size)
    if forbid_cpu:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    # Its own fallback prints a banner on stdout and goes on, on the CPU.
    return onnxruntime.InferenceSession(str(path), options, providers=providers, enable_fallback=0)


def free_dimensions(
    path: Path, facts: OnnxFacts, inputs: Mapping[str, TensorSpec]
) -> dict[str, int]:
    """Return the size of each named free dimension of a model's inputs.

    Raises
    ------
    BundleError
        One name would have two sizes.
    """
    sizes: dict[str, int] = {}
    for name, spec in inputs.items():
        shape = facts.inputs.get(name, ())
        if len(shape) != len(spec.shape):
            continue
        for dim, size in zip(shape, spec.shape, strict=True):
            if isinstance(dim, int) or not dim:
                continue
            if sizes.setdefault(dim, size) != size:
                raise BundleError(
                    f"{path}: input '{name}': dimension '{dim}' is {size} here and {sizes[dim]} elsewhere, expected "
                    "one size. Export the model again."
                )
    return sizes


@contextmanager
def quiet(kind: str) -> Iterator[None]:
    """Load a GPU's libraries, and keep ONNX Runtime's own lines about a missing one to itself.

    ``unavailable`` says it in one.
    """
    if kind == "cpu":
        yield
        return
    import onnxruntime

    if kind == "tensorrt":
        forbid_tf32()
    preload_gpu_libraries(kind)
    onnxruntime.set_default_logger_severity(4)
    try:
        yield
    finally:
        onnxruntime.set_default_logger_severity(2)


@contextmanager
def explained(path: Path, kind: str, *, capture: bool = False) -> Iterator[None]:
    """Turn what ONNX Runtime raises into the error of who is at fault.

    Raises
    ------
    BundleError, ProviderError
    """
    others: tuple[type[Exception], ...] = (RuntimeError, *_exceptions(_OTHER))
    try:
        yield
    except _exceptions(_BROKEN_FILE) as error:
        raise _no_model(path, error) from None
    except others as error:
        # The file is read before any provider is looked at.
        if kind == "cpu" or "Load model from" in str(error):
            raise _no_model(path, error) from None
        if capture and _NO_GRAPH in str(error):
            raise ProviderError(
                f"inference.cuda_graph: {path}: {_plain(error).rstrip('.')}, expected the run to be captured. "
                "Set inference.cuda_graph=false."
            ) from None
        raise unavailable(kind, _plain(error)) from None


def _no_model(path: Path, error: BaseException) -> BundleError:
    import onnxruntime

    return BundleError(
        f"{path}: {_plain(error).rstrip('.')}, expected an ONNX model that onnxruntime "
        f"{onnxruntime.__version__} runs. Export the model again."
    )


def _plain(error: BaseException) -> str:
    return _NOISE.sub("", " ".join(str(error).split()))[:_MAX_DETAIL]


def _exceptions(names: tuple[str, ...]) -> tuple[type[Exception], ...]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return tuple(getattr(state, name) for name in names if hasattr(state, name))
