"""One ONNX model with fixed shapes, its buffers bound once: the same code on CPU, CUDA and TensorRT.

Inputs are written into the same device buffers before each run and outputs are copied out after it, so nothing
is allocated in the loop and a CUDA graph can be captured. Idle sessions do not spin.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from b2g_rt.errors import ProviderError
from b2g_rt.inference.bound_session import BoundSession
from b2g_rt.inference.onnx_file import read_facts
from b2g_rt.inference.providers import ORT_NAMES, ProviderSettings, candidates
from b2g_rt.inference.session_checks import Arrays, TensorSpec

LOG = logging.getLogger(__name__)

Opened = TypeVar("Opened")


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """What two runs must share to be equal bit for bit; recorded with every session.

    ``nodes``: how many nodes of the graph each provider took, see ``BoundSession``; empty: not known. ``precision``:
    'float16' where the file holds float16. ``cuda_graph``: whether runs are replays of a captured graph.
    """

    asked: str
    provider: str
    device_id: int
    threads: int
    batch: int
    ort_version: str
    nodes: dict[str, int] = field(default_factory=dict)
    precision: str = "float32"
    cuda_graph: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)


class OnnxModel:
    """A session and its bound buffers, on the best provider that works.

    Parameters
    ----------
    path : Path
        The ONNX file.
    settings : ProviderSettings
    inputs, outputs : mapping of name to TensorSpec
        All of the model's; dynamic dimensions are fixed by these.
    waiting : callable, optional
        Told every second what takes so long, in words; without one the log is.

    Attributes
    ----------
    record : SessionRecord

    Raises
    ------
    ProviderError
        The provider that was asked for cannot be had; the line names what is missing.
    BundleError
        The file is no ONNX model that runs, or has other inputs, outputs or types.

    Notes
    -----
    On CUDA and TensorRT some nodes may run on the CPU all the same, where the GPU has no kernel for them:
    ``record.nodes`` says how many, and a warning is logged. A CUDA graph that was asked for and cannot be had costs
    a warning, not the session: pictures are the same without it.
    """

    def __init__(
        self,
        path: Path,
        settings: ProviderSettings,
        inputs: Mapping[str, TensorSpec],
        outputs: Mapping[str, TensorSpec],
        waiting: Callable[[str], None] | None = None,
    ) -> None:
        import onnxruntime

        self.path = path
        facts = read_facts(path)

        def opened(kind: str, capture: bool) -> BoundSession:
            return BoundSession(
                path, settings, kind, inputs, outputs, facts, capture=capture, waiting=waiting
            )

        self._bound, captured = first_that_works(path, settings, opened)
        self._session = self._bound.session
        self.record = SessionRecord(
            asked=settings.request,
            provider=self._session.get_providers()[0],
            device_id=settings.device_id,
            threads=settings.threads,
            batch=1,
            ort_version=onnxruntime.__version__,
            nodes=self._bound.nodes,
            precision=facts.precision,
            cuda_graph=captured,
        )
        if facts.float16 and self.record.provider == ORT_NAMES["cpu"]:
            LOG.warning(
                "%s: float16 on the CPU: right, but several times slower than float32, to which it is converted at "
                "each step. Export it without --half for the CPU",
                path,
            )

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run once.

        Parameters
        ----------
        inputs : mapping of name to array
            Of exactly the shapes and dtypes given at construction; C order.

        Returns
        -------
        dict of name to array; the caller's own copies.
        """
        return self._bound.run(inputs)


def first_that_works(
    path: Path, settings: ProviderSettings, opened: Callable[[str, bool], Opened]
) -> tuple[Opened, bool]:
    """Decide which provider serves a model, and whether with a CUDA graph.

    Parameters
    ----------
    path : Path
        The model's file, for messages.
    settings : ProviderSettings
    opened : callable
        ``opened(kind, capture)`` gives a session that has run, or raises ``ProviderError``.

    Returns
    -------
    session
        Of the first kind that can be had; without a graph where only that can.
    bool
        Whether its runs are replays of a graph.

    Raises
    ------
    ProviderError
        The last one's, where none can be had.
    """
    failed: ProviderError | None = None
    for kind in candidates(settings.request):
        no_graph = ""
        if settings.cuda_graph and kind != "cpu":
            try:
                return opened(kind, True), True
            except ProviderError as error:
                # As text: the error itself would keep the session's memory.
                no_graph = str(error)
        try:
            session = opened(kind, False)
        except ProviderError as error:
            failed = error
            if settings.request == "auto":
                LOG.warning("%s", error)
            continue
        if no_graph:
            LOG.warning("%s: runs without a CUDA graph. %s", path, no_graph)
        return session, False
    raise failed if failed else ProviderError(f"inference.provider '{settings.request}': unknown.")
