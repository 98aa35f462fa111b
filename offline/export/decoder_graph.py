"""What every decoder's and encoder's ONNX file is made of: inputs, outputs, and the few nodes that all kinds share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

OPSET = 20


class Nodes:
    """Collects nodes and numbers, then makes the file."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._numbers: list[Any] = []

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node with one output; returns its name."""
        from onnx import helper

        self._nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, values: NDArray[Any], name: str) -> str:
        """Add numbers; float16 ones are cast to float32 when the file is loaded."""
        from onnx import TensorProto, numpy_helper

        if values.dtype == np.float16:
            self._numbers.append(numpy_helper.from_array(values, f"{name}_f16"))
            return self.node("Cast", [f"{name}_f16"], name, to=TensorProto.FLOAT)
        self._numbers.append(numpy_helper.from_array(values, name))
        return name

    def reshaped(self, name: str, shape: Sequence[int], output: str) -> str:
        """Add a change of shape."""
        wanted = self.constant(np.array(shape, np.int64), f"{output}_shape")
        return self.node("Reshape", [name, wanted], output)

    def columns(self, name: str, start: int, stop: int, output: str) -> str:
        """Add the columns [start, stop) of a row."""
        parts = (("start", start), ("stop", stop), ("axis", 1))
        bounds = [self.constant(np.array([n], np.int64), f"{output}_{what}") for what, n in parts]
        return self.node("Slice", [name, *bounds], output)

    def file(self, name: str, inputs: Sequence[Any], outputs: Sequence[Any], about: str) -> bytes:
        """Return the file, checked; inputs and outputs are value infos."""
        import onnx
        from onnx import helper

        graph = helper.make_graph(
            self._nodes, name, list(inputs), list(outputs), self._numbers, doc_string=about
        )
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(
            graph, opset_imports=[opset], ir_version=9, producer_name="b2g_rt"
        )
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())


def float_row(name: str, n: int) -> Any:
    """Return the value info of float32 numbers, axes (1, n)."""
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, n])


class Graph(Nodes):
    """A decoder's file.

    Parameters
    ----------
    n_channels, n_latents : int
    n_state : int
        0: no ``state``, no ``next_state``.
    about : str
        The graph's description.
    """

    def __init__(self, n_channels: int, n_latents: int, n_state: int, about: str) -> None:
        super().__init__()
        self._n_channels, self._n_latents, self._n_state = n_channels, n_latents, n_state
        self._about = about

    def at_window(self, values: NDArray[Any], name: str) -> str:
        """Add numbers whose first axis is the window, and pick the window's: axes (1, ...)."""
        return self.node("Gather", [self.constant(values, name), "window_idx"], f"{name}_k", axis=0)

    def model(self) -> bytes:
        """Return the file, checked."""
        from onnx import TensorProto, helper

        inputs = [
            float_row("features", self._n_channels),
            helper.make_tensor_value_info("window_idx", TensorProto.INT64, [1]),
        ]
        outputs = [float_row("latent", self._n_latents)]
        if self._n_state:
            inputs.append(float_row("state", self._n_state))
            outputs.append(float_row("next_state", self._n_state))
        return self.file("decoder", inputs, outputs, self._about)
