"""What a checkpoint's G_ema may name: a short list; anything else is refused by its name.

G_ema alone is judged. What other keys hold (discriminators are made of timm and other packages) is never used and may
name what it likes. Knows nodes, nothing of what they mean.
"""

from __future__ import annotations

import re
from typing import Any

from b2g_rt.errors import CheckpointError
from offline.stimuli.checkpoints.nodes import Call, Global, Persistent, children, shown

RECONSTRUCT = "torch_utils.persistence._reconstruct_persistent_obj"
EASY_DICT = "dnnlib.util.EasyDict"
ORDERED_DICT = "collections.OrderedDict"
TENSOR = "torch._utils._rebuild_tensor_v2"
PARAMETER = "torch._utils._rebuild_parameter"
PARAMETER_WITH_STATE = "torch._utils._rebuild_parameter_with_state"
STORAGE = "torch.storage._load_from_bytes"
DTYPE = "numpy.dtype"
# numpy 2 writes numpy._core, numpy 1 numpy.core.
ARRAYS = frozenset(f"numpy.{core}.multiarray._reconstruct" for core in ("core", "_core"))
SCALARS = frozenset(f"numpy.{core}.multiarray.scalar" for core in ("core", "_core"))
ARRAY_BUFFERS = frozenset(f"numpy.{core}.numeric._frombuffer" for core in ("core", "_core"))
# How dill 0.3 stores numpy arrays, by its source. Programs that descend from StyleGAN-XL's training save with dill; of
# the published files none was at hand to see whether it holds such an array.
DILL_ARRAY = "dill._dill._create_array"
SETS = frozenset({"builtins.set", "builtins.frozenset"})
SIZE = "torch.Size"
TORCH_MODULE = re.compile(r"torch\.nn\.modules\.[a-z]+\.[A-Z][A-Za-z0-9]*")

CALLED = (
    frozenset(
        {
            RECONSTRUCT,
            EASY_DICT,
            ORDERED_DICT,
            TENSOR,
            PARAMETER,
            PARAMETER_WITH_STATE,
            STORAGE,
            DTYPE,
            DILL_ARRAY,
            SIZE,
            "torch.device",
        }
    )
    | ARRAYS
    | SCALARS
    | ARRAY_BUFFERS
    | SETS
)
NAMED = frozenset(
    {"numpy.ndarray"}
    | {f"torch.{kind}" for kind in ("float16", "float32", "float64", "bfloat16", "int64")}
)


def check_names(root: Any, key: str, where: str) -> None:
    """Refuse whatever is reached from a node and not on the list.

    Parameters
    ----------
    root : node
    key : str
        How the node is called in messages (``G_ema``).
    where : str
        Opens the error's line.

    Raises
    ------
    CheckpointError
        Naming what was refused, and where in the network it stands.
    """
    seen: set[int] = set()
    # (node, its label, the position of its parent in this list)
    found: list[tuple[Any, str, int]] = [(root, key, -1)]
    position = 0
    while position < len(found):
        node = found[position][0]
        reason = _refused(node)
        if reason is not None:
            raise CheckpointError(
                f"{where}: {_path(found, position)} {reason}, expected only what networks are made of. Nothing was "
                "executed. Do not open this file with other programs; get it from the project's own page."
            )
        for label, child in children(node):
            if _is_plain(child) or id(child) in seen:
                continue
            seen.add(id(child))
            found.append((child, label, position))
        position += 1


def check_storage_names(root: Any, where: str) -> None:
    """Refuse names within a tensor's own archive that are no storages.

    Raises
    ------
    CheckpointError
        Naming what was refused.
    """
    seen: set[int] = {id(root)}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        bad = node if isinstance(node, Global) and not _is_storage(node) else None
        if bad is not None or isinstance(node, Call):
            told = f"names {shown(bad.path)}" if bad is not None else _refused(node) or "calls"
            raise CheckpointError(
                f"{where}: its archive {told}, expected a storage only. Nothing was executed. Do not open this file "
                "with other programs; get it from the project's own page."
            )
        for _, child in children(node):
            if not _is_plain(child) and id(child) not in seen:
                seen.add(id(child))
                waiting.append(child)


def names_in(roots: list[Any], but_for: Any) -> list[str]:
    """Return the names reached from some nodes that networks are not made of, sorted, without those of another node."""
    seen: set[int] = {id(but_for)}
    waiting = list(roots)
    names: set[str] = set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, Global) and not _is_allowed_name(node):
            names.add(shown(node.path))
        for _, child in children(node):
            if not _is_plain(child) and id(child) not in seen:
                seen.add(id(child))
                waiting.append(child)
    return sorted(names)


def _is_plain(node: Any) -> bool:
    return node is None or isinstance(node, (str, bytes, int, float))


def _refused(node: Any) -> str | None:
    if isinstance(node, Global):
        return None if _is_allowed_name(node) else f"names {shown(node.path)}"
    if isinstance(node, Persistent):
        return "refers to something outside the file"
    if isinstance(node, Call):
        function = node.function
        if not isinstance(function, Global):
            while isinstance(function, Call):
                function = function.function
            made_by = f" but made by {shown(function.path)}" if isinstance(function, Global) else ""
            return f"calls what is no name{made_by}"
        if not (function.path in CALLED or (node.how == "new" and is_torch_module(function))):
            return f"calls {shown(function.path)}"
    return None


def _is_allowed_name(node: Global) -> bool:
    return node.path in CALLED or node.path in NAMED or is_torch_module(node)


def _is_storage(node: Global) -> bool:
    return node.module == "torch" and node.name.endswith("Storage") and node.name.isidentifier()


def is_torch_module(node: Global) -> bool:
    """Return whether a name is a class of torch.nn, and no attribute of something else."""
    return TORCH_MODULE.fullmatch(node.path) is not None and "." not in node.name


def _path(found: list[tuple[Any, str, int]], position: int) -> str:
    labels: list[str] = []
    while position >= 0 and len(labels) < 64:
        _, label, position = found[position]
        if label and label not in ("state", "_modules"):
            labels.append(label)
    return shown(".".join(reversed(labels)), 160)
