"""One ONNX Runtime session on one kind of provider: opened, checked, its buffers bound, run once.

Whatever ONNX Runtime raises on the way becomes one line: the file is at fault (``BundleError``) or the provider is
(``ProviderError``). Knows nothing of what the model computes, nor which provider to try next (onnx_model.py).
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import BundleError, ProviderError
from b2g_rt.inference.providers import (
    ORT_NAMES,
    ProviderSettings,
    forbid_tf32,
    preload_gpu_libraries,
    provider_options,
    unavailable,
)

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
_ONNX_TYPES = {"float32": "tensor(float)", "int64": "tensor(int64)", "uint8": "tensor(uint8)"}
_NOISE = re.compile(r"\[ONNXRuntimeError\] : \d+ : \w+ : |/\S+?\.(?:cc|h):\d+ .*?\) (?=[A-Z])")
_MAX_DETAIL = 300


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Shape and dtype that an input or output must have: ``float32``, ``int64`` or ``uint8``."""

    shape: tuple[int, ...]
    dtype: str = "float32"


class BoundSession:
    """A session whose inputs and outputs are bound to buffers that never move.

    Parameters
    ----------
    path : Path
        The ONNX file.
    settings : ProviderSettings
    kind : {'cpu', 'cuda', 'tensorrt'}
        Where the buffers and, but for what ``nodes`` says, the computation are.
    inputs, outputs : mapping of name to TensorSpec
        All of them; dynamic dimensions are fixed by these.

    Attributes
    ----------
    session : onnxruntime.InferenceSession
    nodes : dict of provider name to int
        How many of the graph's nodes each provider took, after ONNX Runtime's basic optimisations; empty where
        ONNX Runtime (before 1.24) does not tell.

    Raises
    ------
    ProviderError
        The provider cannot be had, is out of memory, or takes no node of the model.
    BundleError
        The file is no ONNX model that this ONNX Runtime reads and runs, or has other inputs, outputs or types.

    Notes
    -----
    The model is run once on zeros, so that what fails only then (memory, an operator) fails here.
    """

    def __init__(
        self,
        path: Path,
        settings: ProviderSettings,
        kind: str,
        inputs: Mapping[str, TensorSpec],
        outputs: Mapping[str, TensorSpec],
    ) -> None:
        with _explained(path, kind), _quiet(kind):
            self.session = _open(path, settings, kind)
            check_names(f"{path}: input", self.session.get_inputs(), inputs)
            check_names(f"{path}: output", self.session.get_outputs(), outputs)
            self.nodes = _nodes(self.session)
            if self.session.get_providers()[0] != ORT_NAMES[kind]:
                raise unavailable(kind)
            check_placement(path, kind, self.nodes)
            self._inputs = _buffers(inputs, kind, settings.device_id)
            self._outputs = _buffers(outputs, kind, settings.device_id)
            self._binding = self.session.io_binding()
            for name, value in self._inputs.items():
                self._binding.bind_ortvalue_input(name, value)
            for name, value in self._outputs.items():
                self._binding.bind_ortvalue_output(name, value)
            self.run({name: np.zeros(s.shape, s.dtype) for name, s in inputs.items()})

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once; see ``OnnxModel.run``."""
        for name, array in inputs.items():
            self._inputs[name].update_inplace(np.ascontiguousarray(array))
        self.session.run_with_iobinding(self._binding)
        # On the CPU numpy() is a view of the bound buffer, which the next run overwrites.
        return {name: np.array(value.numpy()) for name, value in self._outputs.items()}


def check_names(where: str, found: list[Any], expected: Mapping[str, TensorSpec]) -> None:
    """Compare a session's inputs or outputs with what they must be.

    Raises
    ------
    BundleError
        One is missing, is too much, or has another type or shape.
    """
    for node in found:
        spec = expected.get(node.name)
        if spec is None:
            raise BundleError(
                f"{where} '{node.name}': not expected, expected {', '.join(expected)}. Export the model again."
            )
        if node.type != _ONNX_TYPES[spec.dtype]:
            raise BundleError(
                f"{where} '{node.name}': {node.type}, expected {_ONNX_TYPES[spec.dtype]}. Export the model again."
            )
        fits = len(spec.shape) == len(node.shape) and all(
            not isinstance(n, int) or n == s for n, s in zip(node.shape, spec.shape, strict=True)
        )
        if not fits:
            raise BundleError(
                f"{where} '{node.name}': shape {node.shape}, expected {spec.shape}. Export the model again."
            )
    missing = [name for name in expected if name not in {node.name for node in found}]
    if missing:
        raise BundleError(
            f"{where} '{missing[0]}': missing, expected {', '.join(expected)}. Export the model again."
        )


def check_placement(path: Path, kind: str, nodes: Mapping[str, int]) -> None:
    """Say when a session on a GPU leaves nodes to the CPU.

    Raises
    ------
    ProviderError
        The provider took none of the nodes: the model would run somewhere else altogether.
    """
    if kind == "cpu":
        return
    if not nodes:
        LOG.warning(
            "%s: this onnxruntime does not tell where nodes run, some may run on the CPU", path
        )
        return
    if not nodes.get(ORT_NAMES[kind]):
        others = ", ".join(sorted(nodes))
        raise ProviderError(
            f"inference.provider '{kind}': runs no node of {path} ({others} would), expected {ORT_NAMES[kind]} to. "
            "Set inference.provider to another one."
        )
    on_cpu = nodes.get(ORT_NAMES["cpu"], 0)
    if on_cpu:
        LOG.warning("%s: %d of %d nodes run on the CPU", path, on_cpu, sum(nodes.values()))


def _open(path: Path, settings: ProviderSettings, kind: str) -> Any:
    providers = provider_options(kind, settings)
    if kind == "tensorrt":
        forbid_tf32()
    if kind == "cuda":
        try:
            return _session(path, settings, providers, forbid_cpu=True)
        except _exceptions(("Fail",)):
            # Also raised for a graph with a node that only the CPU can run: look at what a session really uses.
            pass
    return _session(path, settings, providers, forbid_cpu=False)


def _session(
    path: Path, settings: ProviderSettings, providers: list[Any], *, forbid_cpu: bool
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
    if forbid_cpu:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    # Its own fallback prints a banner on stdout and goes on, on the CPU.
    return onnxruntime.InferenceSession(str(path), options, providers=providers, enable_fallback=0)


def _nodes(session: Any) -> dict[str, int]:
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return {}
    counted: Counter[str] = Counter()
    for part in session.get_provider_graph_assignment_info():
        counted[part.ep_name] += len(part.get_nodes())
    return dict(counted)


def _buffers(specs: Mapping[str, TensorSpec], kind: str, device_id: int) -> dict[str, Any]:
    import onnxruntime

    device, number = ("cpu", 0) if kind == "cpu" else ("cuda", device_id)
    return {
        name: onnxruntime.OrtValue.ortvalue_from_shape_and_type(
            spec.shape, np.dtype(spec.dtype).type, device, number
        )
        for name, spec in specs.items()
    }


@contextmanager
def _quiet(kind: str) -> Iterator[None]:
    """Keep ONNX Runtime's own lines about a missing library to itself: ``unavailable`` says it in one."""
    if kind == "cpu":
        yield
        return
    import onnxruntime

    preload_gpu_libraries()
    onnxruntime.set_default_logger_severity(4)
    try:
        yield
    finally:
        onnxruntime.set_default_logger_severity(2)


@contextmanager
def _explained(path: Path, kind: str) -> Iterator[None]:
    """Turn what ONNX Runtime raises into the error of who is at fault."""
    others: tuple[type[Exception], ...] = (RuntimeError, *_exceptions(_OTHER))
    try:
        yield
    except _exceptions(_BROKEN_FILE) as error:
        raise _no_model(path, error) from None
    except others as error:
        # The file is read before any provider is looked at.
        if kind == "cpu" or "Load model from" in str(error):
            raise _no_model(path, error) from None
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
