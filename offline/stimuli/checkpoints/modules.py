"""A network as a tree of modules: class names, plain numbers, and nodes of its tensors.

From the two ways in which a file stores a module: the originals' persistent classes (whose source text, stored beside
them, stays in the file and is never compiled) and torch's own. Knows nothing of what the numbers mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from b2g_rt.errors import CheckpointError
from offline.stimuli.checkpoints import allowed_names as names
from offline.stimuli.checkpoints.nodes import Call, Global, shown
from offline.stimuli.checkpoints.plain_values import as_dict, as_text, called, unexpected

MAX_DEPTH = 16
MAX_MODULES = 1024
_TREE = ("_parameters", "_buffers", "_modules")


@dataclass(frozen=True, slots=True)
class Module:
    """One module.

    Attributes
    ----------
    class_name : str
    version : int or None
        Of the persistent class, where it is one.
    numbers : dict of str to node
        All of its state that is neither tensor nor module.
    tensors : dict of str to node
        Parameters and buffers that are there.
    modules : dict of str to Module
    path : str
        Such as ``G_ema.synthesis.input``.
    """

    class_name: str
    version: int | None
    numbers: dict[str, Any]
    tensors: dict[str, Any]
    modules: dict[str, Module]
    path: str

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Yield every module with its name within this one; this one's is empty."""
        yield prefix, self
        for name, module in self.modules.items():
            yield from module.walk(f"{prefix}.{name}" if prefix else name)


def is_module(node: Any) -> bool:
    """Return whether a node is a stored module."""
    return called(node, names.RECONSTRUCT) is not None or _torch_class(node) is not None


def module_of(node: Any, path: str, where: str) -> Module:
    """Return a module and all below it.

    Parameters
    ----------
    node : node
    path : str
        How it is called in messages.
    where : str
        Opens them.

    Raises
    ------
    CheckpointError
        It is no module, or nested deeper than any network.
    """
    return _module(node, path, where, 0, [0])


def _module(node: Any, path: str, where: str, depth: int, count: list[int]) -> Module:
    count[0] += 1
    if depth > MAX_DEPTH or count[0] > MAX_MODULES:
        raise CheckpointError(
            f"{where}: {shown(path)}: modules nested too deep or too many, expected a generator."
        )
    class_name, version, state = _stored(node, f"{where}: {shown(path)}")
    tensors: dict[str, Any] = {}
    for group in ("_parameters", "_buffers"):
        entries = as_dict(state.get(group), f"{where}: {shown(path)}.{group}")
        tensors.update({name: value for name, value in entries.items() if value is not None})
    children = as_dict(state.get("_modules"), f"{where}: {shown(path)}._modules")
    return Module(
        class_name=class_name,
        version=version,
        numbers={key: value for key, value in state.items() if key not in _TREE},
        tensors=tensors,
        modules={
            name: _module(child, f"{path}.{name}", where, depth + 1, count)
            for name, child in children.items()
            if child is not None
        },
        path=path,
    )


def _stored(node: Any, where: str) -> tuple[str, int | None, dict[str, Any]]:
    """Return class name, version and state of a module."""
    call = called(node, names.RECONSTRUCT)
    if call is not None:
        if not isinstance(call.arguments, tuple) or len(call.arguments) != 1 or call.state:
            raise unexpected(call, "one description of a class", where)
        told = as_dict(call.arguments[0], where)
        if told.get("type") != "class":
            raise unexpected(told.get("type"), "type 'class'", where)
        version = told.get("version")
        class_name = as_text(told.get("class_name"), f"{where}: class_name")
        return (
            class_name,
            version if type(version) is int else None,
            as_dict(told.get("state"), where),
        )
    cls = _torch_class(node)
    if cls is None:
        raise unexpected(node, "a module", where)
    if not node.state or len(node.state) != 1 or node.flat_pairs or node.appended:
        raise unexpected(node, "a module with its state", where)
    return cls.name, None, as_dict(node.state[0], where)


def _torch_class(node: Any) -> Global | None:
    """Return the class of one of torch's own modules: made by ``__new__``, without arguments."""
    if not isinstance(node, Call) or node.how != "new" or node.arguments != ():
        return None
    cls = node.function
    return cls if isinstance(cls, Global) and names.is_torch_module(cls) else None
