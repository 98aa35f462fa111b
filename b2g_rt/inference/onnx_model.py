"""One ONNX model with fixed shapes, its buffers bound once: the same code on CPU, CUDA and TensorRT.

Inputs are written into the same device buffers before each run and outputs are copied out after it, so nothing
is allocated in the loop and a CUDA graph could be captured. Idle sessions do not spin.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import BundleError, ProviderError
from b2g_rt.inference.providers import (
    ORT_NAMES,
    ProviderSettings,
    candidates,
    preload_gpu_libraries,
    provider_options,
    unavailable,
)

LOG = logging.getLogger(__name__)

_DTYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(uint8)": np.uint8}


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """What two runs must share to be equal bit for bit; recorded with every session."""

    asked: str
    provider: str
    device_id: int
    threads: int
    batch: int
    ort_version: str

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)


class OnnxModel:
    """A session and its bound buffers.

    Parameters
    ----------
    path : Path
        The ONNX file.
    settings : ProviderSettings
    shapes : mapping of name to shape
        Of every input and output; dynamic dimensions are fixed by these.

    Attributes
    ----------
    record : SessionRecord

    Raises
    ------
    ProviderError
        The provider that was asked for cannot be had; the line names what is missing.
    BundleError
        The file is no ONNX model, or has other inputs, outputs or types.
    """

    def __init__(
        self, path: Path, settings: ProviderSettings, shapes: Mapping[str, tuple[int, ...]]
    ) -> None:
        import onnxruntime

        self.path = path
        kind, self._session = _open(path, settings)
        self.record = SessionRecord(
            asked=settings.request,
            provider=self._session.get_providers()[0],
            device_id=settings.device_id,
            threads=settings.threads,
            batch=1,
            ort_version=onnxruntime.__version__,
        )
        self._inputs = self._buffers(self._session.get_inputs(), shapes, kind, settings.device_id)
        self._outputs = self._buffers(self._session.get_outputs(), shapes, kind, settings.device_id)
        self._binding = self._session.io_binding()
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        for name, value in self._outputs.items():
            self._binding.bind_ortvalue_output(name, value)

    def _buffers(
        self, nodes: list[Any], shapes: Mapping[str, tuple[int, ...]], kind: str, device_id: int
    ) -> dict[str, Any]:
        import onnxruntime

        device = "cpu" if kind == "cpu" else "cuda"
        buffers = {}
        for node in nodes:
            where = f"{self.path}: '{node.name}'"
            shape = shapes.get(node.name)
            if shape is None:
                raise BundleError(
                    f"{where}: not expected, expected {', '.join(shapes)}. Export the model again."
                )
            fits = len(shape) == len(node.shape) and all(
                not isinstance(n, int) or n == s for n, s in zip(node.shape, shape, strict=True)
            )
            if not fits:
                raise BundleError(
                    f"{where}: shape {node.shape}, expected {shape}. Export the model again."
                )
            if node.type not in _DTYPES:
                raise BundleError(f"{where}: {node.type}, expected one of {', '.join(_DTYPES)}.")
            buffers[node.name] = onnxruntime.OrtValue.ortvalue_from_shape_and_type(
                shape, _DTYPES[node.type], device, device_id if device == "cuda" else 0
            )
        return buffers

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once.

        Parameters
        ----------
        inputs : mapping of name to array
            Of exactly the shapes and dtypes given at construction; C order.

        Returns
        -------
        dict of name to array; the caller's own copies.
        """
        for name, array in inputs.items():
            self._inputs[name].update_inplace(np.ascontiguousarray(array))
        self._session.run_with_iobinding(self._binding)
        # On the CPU numpy() is a view of the bound buffer, which the next run overwrites.
        return {name: np.array(value.numpy()) for name, value in self._outputs.items()}


def _open(path: Path, settings: ProviderSettings) -> tuple[str, Any]:
    failed: ProviderError | None = None
    for kind in candidates(settings.request):
        try:
            session = _open_with(path, settings, kind)
        except ProviderError as error:
            failed = error
            if settings.request == "auto":
                LOG.warning("%s", error)
            continue
        return kind, session
    raise failed if failed else ProviderError(f"inference.provider '{settings.request}': unknown.")


def _open_with(path: Path, settings: ProviderSettings, kind: str) -> Any:
    import onnxruntime

    if kind != "cpu":
        preload_gpu_libraries()
        # ONNX Runtime's own lines about a missing library are replaced by the one of ``unavailable``.
        onnxruntime.set_default_logger_severity(4)
    providers = provider_options(kind, settings)
    try:
        session = _session(path, settings, providers, forbid_cpu=kind == "cuda")
    except onnxruntime.capi.onnxruntime_pybind11_state.Fail:
        # A graph with a node that only the CPU can run is refused as well: look at what a session really uses.
        session = _session(path, settings, providers, forbid_cpu=False)
    except (
        onnxruntime.capi.onnxruntime_pybind11_state.InvalidProtobuf,
        onnxruntime.capi.onnxruntime_pybind11_state.InvalidGraph,
        onnxruntime.capi.onnxruntime_pybind11_state.NoSuchFile,
    ) as error:
        raise BundleError(
            f"{path}: {' '.join(str(error).split())}, expected an ONNX model."
        ) from None
    except RuntimeError as error:
        if kind == "cpu":
            raise
        raise unavailable(kind, " ".join(str(error).split())[:200]) from None
    finally:
        if kind != "cpu":
            onnxruntime.set_default_logger_severity(2)
    if session.get_providers()[0] != ORT_NAMES[kind]:
        raise unavailable(kind)
    return session


def _session(
    path: Path, settings: ProviderSettings, providers: list[Any], *, forbid_cpu: bool
) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4 if forbid_cpu else 3
    # By default idle threads spin for milliseconds after each run: at a 25 ms stride that is all the time.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    if forbid_cpu:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return onnxruntime.InferenceSession(str(path), options, providers=providers)
