"""One ONNX model with fixed shapes, its buffers bound once: the same code on CPU, CUDA and TensorRT.

Inputs are written into the same device buffers before each run and outputs are copied out after it, so nothing
is allocated in the loop and a CUDA graph could be captured. Idle sessions do not spin.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from b2g_rt.errors import ProviderError
from b2g_rt.inference.bound_session import BoundSession, TensorSpec
from b2g_rt.inference.providers import ProviderSettings, candidates

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """What two runs must share to be equal bit for bit; recorded with every session.

    ``nodes``: how many nodes of the graph each provider took, see ``BoundSession``; empty: not known.
    """

    asked: str
    provider: str
    device_id: int
    threads: int
    batch: int
    ort_version: str
    nodes: dict[str, int] = field(default_factory=dict)

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
    ``record.nodes`` says how many, and a warning is logged.
    """

    def __init__(
        self,
        path: Path,
        settings: ProviderSettings,
        inputs: Mapping[str, TensorSpec],
        outputs: Mapping[str, TensorSpec],
    ) -> None:
        import onnxruntime

        self.path = path
        self._bound = _first_that_works(path, settings, inputs, outputs)
        self._session = self._bound.session
        self.record = SessionRecord(
            asked=settings.request,
            provider=self._session.get_providers()[0],
            device_id=settings.device_id,
            threads=settings.threads,
            batch=1,
            ort_version=onnxruntime.__version__,
            nodes=self._bound.nodes,
        )

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
        return self._bound.run(inputs)


def _first_that_works(
    path: Path,
    settings: ProviderSettings,
    inputs: Mapping[str, TensorSpec],
    outputs: Mapping[str, TensorSpec],
) -> BoundSession:
    failed: ProviderError | None = None
    for kind in candidates(settings.request):
        try:
            return BoundSession(path, settings, kind, inputs, outputs)
        except ProviderError as error:
            failed = error
            if settings.request == "auto":
                LOG.warning("%s", error)
    raise failed if failed else ProviderError(f"inference.provider '{settings.request}': unknown.")
