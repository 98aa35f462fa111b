"""What must hold of a session before it is trusted: names and types, where nodes run, answers that follow the input."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import BundleError, ProviderError
from b2g_rt.inference.providers import ORT_NAMES

LOG = logging.getLogger(__name__)

_ONNX_TYPES = {"float32": "tensor(float)", "int64": "tensor(int64)", "uint8": "tensor(uint8)"}

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Shape and dtype that an input or output must have: ``float32``, ``int64`` or ``uint8``."""

    shape: tuple[int, ...]
    dtype: str = "float32"


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


def check_placement(
    path: Path, kind: str, nodes: Mapping[str, int], *, capture: bool = False
) -> None:
    """Say when a session on a GPU leaves nodes to the CPU.

    Raises
    ------
    ProviderError
        The provider took none of the nodes: the model would run somewhere else altogether. Or a CUDA graph was asked
        for (``capture``) and not every node is known to run on the provider.
    """
    if kind == "cpu":
        return
    n_nodes, n_here = sum(nodes.values()), nodes.get(ORT_NAMES[kind], 0)
    if nodes and not n_here:
        others = ", ".join(sorted(nodes))
        raise ProviderError(
            f"inference.provider '{kind}': runs no node of {path} ({others} would), expected {ORT_NAMES[kind]} to. "
            "Set inference.provider to another one."
        )
    if capture and n_here < max(n_nodes, 1):
        found = f"{n_nodes - n_here} of {n_nodes} nodes run elsewhere" if nodes else "not told"
        raise ProviderError(
            f"inference.cuda_graph: {path}: {found}, expected all nodes on {ORT_NAMES[kind]}. "
            "Set inference.cuda_graph=false, or export the model without shape arithmetic."
        )
    if not nodes:
        LOG.warning(
            "%s: this onnxruntime does not tell where nodes run, some may run on the CPU", path
        )
        return
    on_cpu = nodes.get(ORT_NAMES["cpu"], 0)
    if on_cpu:
        LOG.warning("%s: %d of %d nodes run on the CPU", path, on_cpu, n_nodes)


def check_answers_differ(
    path: Path, run: Callable[[Arrays], Arrays], inputs: Mapping[str, TensorSpec]
) -> None:
    """Run two inputs and compare: a CUDA graph that was captured from other buffers gives its first picture for ever.

    Parameters
    ----------
    path : Path
        The model's file, for the message.
    run : callable
        Inputs by name -> outputs by name.
    inputs : mapping of name to TensorSpec

    Raises
    ------
    ProviderError
        All outputs are the same, bit for bit.
    """
    rng = np.random.default_rng(1)
    nothing = {name: np.zeros(spec.shape, spec.dtype) for name, spec in inputs.items()}
    something = {
        name: rng.standard_normal(spec.shape).astype(spec.dtype)
        if spec.dtype == "float32"
        else nothing[name]
        for name, spec in inputs.items()
    }
    first, second = dict(run(nothing)), run(something)
    if all(first[name].tobytes() == second[name].tobytes() for name in first):
        raise ProviderError(
            f"inference.cuda_graph: {path}: two inputs give one output, expected the output to follow the input. "
            "Set inference.cuda_graph=false."
        )
