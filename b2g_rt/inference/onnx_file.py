"""What an ONNX file says of itself before ONNX Runtime opens it: free dimensions, and whether it computes in float16.

Reads the few protobuf fields that are needed and skips the rest, so gigabytes of weights cost nothing. Layout of the
fields: onnx.proto of the ONNX standard (ModelProto.graph 7; GraphProto.node 1, .initializer 5, .input 11, .output 12).
Needs no onnx package: the live wing has none.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FLOAT16 = 10
# Operators that move values and compute nothing: weights may be stored as float16 to be small, and cast before use.
_MOVES = frozenset(
    "Concat Expand Gather Identity Reshape Slice Squeeze Transpose Unsqueeze".split()
)
_MAX_VARINT_BITS = 63

# A field of a message: its number, and its value: a number, or where its bytes are.
_Field = tuple[int, int | slice]


@dataclass(frozen=True, slots=True)
class OnnxFacts:
    """Names and shapes of inputs and outputs, a free dimension by its name ('' when it has none).

    ``float16``: some operator computes in it (weights that are only stored so do not count).
    """

    inputs: dict[str, tuple[int | str, ...]] = field(default_factory=dict)
    outputs: dict[str, tuple[int | str, ...]] = field(default_factory=dict)
    float16: bool = False

    @property
    def precision(self) -> str:
        """'float16' or 'float32'."""
        return "float16" if self.float16 else "float32"


def read_facts(path: Path) -> OnnxFacts:
    """Read a file's facts.

    Returns
    -------
    OnnxFacts
        Empty when the file cannot be read or is no ONNX model: ONNX Runtime, which opens it next, says why.
    """
    try:
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        ):
            return _facts(data)
    except (OSError, ValueError, IndexError):
        return OnnxFacts()


def _facts(data: mmap.mmap) -> OnnxFacts:
    inputs: dict[str, tuple[int | str, ...]] = {}
    outputs: dict[str, tuple[int | str, ...]] = {}
    float16 = False
    for graph in _messages(data, slice(0, len(data)), 7):
        initializers = {_text(data, t, 8): _number(data, t, 2) for t in _messages(data, graph, 5)}
        # Old files list their weights among the inputs too.
        inputs.update((n, s) for n, s in _values(data, graph, 11) if n not in initializers)
        outputs.update(_values(data, graph, 12))
        half = {name for name, kind in initializers.items() if kind == _FLOAT16}
        float16 |= _computes_in_half(data, graph, half)
    return OnnxFacts(inputs, outputs, float16)


def _computes_in_half(data: mmap.mmap, graph: slice, half: set[str]) -> bool:
    """Whether a node computes in float16; ``half``: names of values of that type, here the weights."""
    # NodeProto: input 1, output 2, op_type 4, attribute 5. Nodes stand in the order in which they are computed.
    for node in _messages(data, graph, 1):
        operator = _text(data, node, 4)
        if operator == "Cast":
            if _attribute_type(data, node) == _FLOAT16:
                return True
            continue
        if operator == "Constant":
            is_half = _attribute_type(data, node) == _FLOAT16
        else:
            is_half = any(
                data[name].decode("utf-8", "replace") in half for name in _messages(data, node, 1)
            )
        if not is_half:
            continue
        if operator != "Constant" and operator not in _MOVES:
            return True
        half.update(data[name].decode("utf-8", "replace") for name in _messages(data, node, 2))
    return False


def _attribute_type(data: mmap.mmap, node: slice) -> int | None:
    """Return the type that a Cast casts to, or that the tensor of a Constant has."""
    for attribute in _messages(data, node, 5):
        # AttributeProto: name 1, i 3, t 5.
        if _text(data, attribute, 1) == "to":
            return _number(data, attribute, 3)
        for tensor in _messages(data, attribute, 5):
            return _number(data, tensor, 2)
    return None


def _values(
    data: mmap.mmap, graph: slice, number: int
) -> Iterator[tuple[str, tuple[int | str, ...]]]:
    # ValueInfoProto: name 1, type 2; TypeProto: tensor_type 1; Tensor: shape 2; TensorShapeProto: dim 1.
    for value in _messages(data, graph, number):
        shape: list[int | str] = []
        for kind in _messages(data, value, 2):
            for tensor in _messages(data, kind, 1):
                for dims in _messages(data, tensor, 2):
                    shape += [_dimension(data, dim) for dim in _messages(data, dims, 1)]
        yield _text(data, value, 1), tuple(shape)


def _dimension(data: mmap.mmap, dim: slice) -> int | str:
    size = _number(data, dim, 1)
    return _text(data, dim, 2) if size is None else size


def _messages(data: mmap.mmap, within: slice, number: int) -> Iterator[slice]:
    return (v for n, v in _fields(data, within) if n == number and isinstance(v, slice))


def _number(data: mmap.mmap, within: slice, number: int) -> int | None:
    return next((v for n, v in _fields(data, within) if n == number and isinstance(v, int)), None)


def _text(data: mmap.mmap, within: slice, number: int) -> str:
    found = next(_messages(data, within, number), None)
    return data[found].decode("utf-8", "replace") if found else ""


def _fields(data: mmap.mmap, within: slice) -> Iterator[_Field]:
    at, stop = within.start, within.stop
    while at < stop:
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == _BYTES:
            size, at = _varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if at + size > stop:
            raise ValueError("a field ends behind its message")
        yield number, slice(at, at + size)
        at += size


def _varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > _MAX_VARINT_BITS:
            raise ValueError("a number of more than 64 bits")
