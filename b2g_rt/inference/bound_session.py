"""One ONNX Runtime session on one kind of provider: opened, checked, its buffers bound, run once.

The same code on CPU, CUDA and TensorRT. Knows nothing of what the model computes, nor which provider to try next
(onnx_model.py).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.inference.onnx_file import OnnxFacts
from b2g_rt.inference.providers import ORT_NAMES, ProviderSettings, unavailable
from b2g_rt.inference.session_checks import (
    Arrays,
    TensorSpec,
    check_answers_differ,
    check_names,
    check_placement,
)
from b2g_rt.inference.session_opening import explained, free_dimensions, open_session, quiet
from b2g_rt.inference.session_thread import SessionThread
from b2g_rt.inference.tensorrt_engines import engine_prefix, engines

LOG = logging.getLogger(__name__)

TELL_EVERY_S = 1.0
LOG_EVERY_S = 5.0

__all__ = ["BoundSession", "TensorSpec"]


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
    facts : OnnxFacts, optional
        What the file says about itself.
    capture : bool
        Whether the run becomes a CUDA graph (the first one captures it; not on the CPU).
    waiting : callable, optional
        Told every ``TELL_EVERY_S`` what takes so long; without one the log is, every ``LOG_EVERY_S``.

    Attributes
    ----------
    session : onnxruntime.InferenceSession
    nodes : dict of provider name to int
        How many of the graph's nodes each provider took, after ONNX Runtime's basic optimisations; empty where
        ONNX Runtime (before 1.24) does not tell.

    Raises
    ------
    ProviderError
        The provider cannot be had, is out of memory, takes no node of the model, or cannot capture it.
    BundleError
        The file is no ONNX model that this ONNX Runtime reads and runs, or has other inputs, outputs or types.

    Notes
    -----
    The model is run once on zeros, so that what fails only then (memory, an operator) fails here. On a GPU everything
    happens on one thread, see ``session_thread``; on the CPU a run is in the caller's.
    """

    def __init__(
        self,
        path: Path,
        settings: ProviderSettings,
        kind: str,
        inputs: Mapping[str, TensorSpec],
        outputs: Mapping[str, TensorSpec],
        facts: OnnxFacts | None = None,
        *,
        capture: bool = False,
        waiting: Callable[[str], None] | None = None,
    ) -> None:
        self._path, self._kind, self._waiting = path, kind, waiting
        self._doing, self._logged_s = f"being opened on {kind}", 0.0
        facts = facts or OnnxFacts()
        self._thread: SessionThread | None = SessionThread(f"b2g-{kind}-{path.stem}")
        self._thread.call(
            lambda: self._open(settings, inputs, outputs, facts, capture), self._say, TELL_EVERY_S
        )
        if kind == "cpu":
            self._thread.close()
            self._thread = None

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run once; see ``OnnxModel.run``."""
        if self._thread is None:
            return self._run(inputs)
        return self._thread.call(lambda: self._run(inputs))

    def _run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        for name, array in inputs.items():
            self._inputs[name].update_inplace(np.ascontiguousarray(array))
        if self._kind != "cpu":
            # The copy may be on another stream than the run.
            self._binding.synchronize_inputs()
        self.session.run_with_iobinding(self._binding)
        return {name: _kept(value.numpy()) for name, value in self._outputs.items()}

    def _open(
        self,
        settings: ProviderSettings,
        inputs: Mapping[str, TensorSpec],
        outputs: Mapping[str, TensorSpec],
        facts: OnnxFacts,
        capture: bool,
    ) -> None:
        path, kind = self._path, self._kind
        sizes = free_dimensions(path, facts, inputs)
        with explained(path, kind, capture=capture), quiet(kind):
            prefix = self._engine(settings, facts) if kind == "tensorrt" else ""
            self.session = open_session(
                path, settings, kind, sizes, engine_prefix=prefix, capture=capture
            )
            check_names(f"{path}: input", self.session.get_inputs(), inputs)
            check_names(f"{path}: output", self.session.get_outputs(), outputs)
            self.nodes = _nodes(self.session)
            if self.session.get_providers()[0] != ORT_NAMES[kind]:
                raise unavailable(kind)
            check_placement(path, kind, self.nodes, capture=capture)
            self._inputs = _buffers(inputs, kind, settings.device_id)
            self._outputs = _buffers(outputs, kind, settings.device_id)
            self._binding = self.session.io_binding()
            for name, value in self._inputs.items():
                self._binding.bind_ortvalue_input(name, value)
            for name, value in self._outputs.items():
                self._binding.bind_ortvalue_output(name, value)
            self._run({name: np.zeros(s.shape, s.dtype) for name, s in inputs.items()})
            if capture:
                check_answers_differ(path, self._run, inputs)

    def _engine(self, settings: ProviderSettings, facts: OnnxFacts) -> str:
        prefix = engine_prefix(self._path, settings.cache_key, settings.device_id, facts.precision)
        if not engines(settings.tensorrt_cache, prefix):
            self._doing = (
                f"TensorRT builds its engine (minutes; kept in {settings.tensorrt_cache} for "
                "the next start)"
            )
        return prefix

    def _say(self, waited_s: float) -> None:
        text = f"{self._path.name}: {self._doing}, {waited_s:.0f} s so far"
        if self._waiting:
            self._waiting(text)
        elif waited_s - self._logged_s >= LOG_EVERY_S:
            self._logged_s = waited_s
            LOG.warning("%s", text)


def _kept(output: NDArray[Any]) -> NDArray[Any]:
    # Of a bound buffer on the CPU numpy() is a view, which the next run overwrites; of one on a GPU a copy already.
    return output if output.flags.owndata else output.copy()


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
