"""A small builder of ONNX graphs: names, nodes and constants, the same bytes every time. Knows nothing of networks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

OPSET = 20
IR_VERSION = 9

Value = str | NDArray[Any]
"""An input of a node: the name of a tensor, or a constant."""


class GraphWriter:
    """A graph while it is written.

    Parameters
    ----------
    name : str
        Of the graph.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._scope = ""
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Open the names of all nodes and constants written inside with this one."""
        before = self._scope
        self._scope = f"{before}{name}/"
        yield
        self._scope = before

    def constant(self, array: NDArray[Any], what: str = "value") -> str:
        """Return the name of a constant; equal ones are stored once."""
        array = np.ascontiguousarray(array)
        digest = hashlib.sha256(array.tobytes()).digest()
        key = (array.dtype.str, array.shape, digest)
        if key not in self._constants:
            name = f"{self._scope}{what}.constant{len(self._constants)}"
            self._constants[key] = name
            self._initializers.append(numpy_helper.from_array(array, name))
        return self._constants[key]

    def node(
        self, op: str, *inputs: Value, what: str = "", name: str = "", **attributes: Any
    ) -> str:
        """Append a node with one output and return the output's name.

        Parameters
        ----------
        op : str
        *inputs : str or ndarray
        what : str
            Goes into the node's name, for profiles; by default the operator.
        name : str
            Of the output, where it is one of the graph's.
        **attributes
        """
        return self.split(op, *inputs, what=what, names=[name], **attributes)[0]

    def split(
        self, op: str, *inputs: Value, names: Sequence[str], what: str = "", **attributes: Any
    ) -> list[str]:
        """Append a node with as many outputs as ``names`` ('': made up) and return their names."""
        taken = [i if isinstance(i, str) else self.constant(i) for i in inputs]
        own = f"{self._scope}{what or op}.{len(self._nodes)}"
        made = [name or (own if len(names) == 1 else f"{own}.{k}") for k, name in enumerate(names)]
        self._nodes.append(helper.make_node(op, taken, made, name=own, **attributes))
        return made

    def reshape(self, x: Value, *shape: int) -> str:
        """Reshape to a constant shape; 0 keeps a dimension, -1 takes the rest."""
        return self.node("Reshape", x, np.array(shape, np.int64))

    def model(
        self, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        """Return what was written as a model."""
        graph = helper.make_graph(
            self._nodes, self._name, inputs, outputs, initializer=self._initializers
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="b2g_rt",
        )
