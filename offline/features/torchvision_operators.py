"""Import torchvision beside a torch that its compiled part was not built for.

torchvision's wheels are built for CUDA builds of torch; beside the CPU build their extension does not load, and
``import torchvision`` fails on two operators that only detectors use. Declared without an implementation they let
torchvision, and timm, open_clip and torchmetrics, which import it, load; calling them still fails. Networks, weights
and transforms need nothing of the extension.

Call ``import_torchvision`` before importing any of the four.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

_OPERATORS = ("nms", "qnms")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"

_lock = threading.Lock()
_declared: list[Any] = []
"""torch forgets operators when the library that declared them is collected."""


def import_torchvision() -> ModuleType:
    """Import torchvision, with its operators declared where its extension cannot be loaded.

    Raises
    ------
    ImportError
        torchvision is not installed.
    RuntimeError
        It belongs to another release of torch.
    """
    with _lock:
        if not _extension_loads():
            _declare()
        return importlib.import_module("torchvision")


def _extension_loads() -> bool:
    """Load torchvision's compiled operators, and say whether that worked; torchvision loads them only once."""
    import torch

    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'torchvision'", name="torchvision")
    finder = importlib.machinery.FileFinder(
        str(Path(spec.origin).parent),
        (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
    )
    extension = finder.find_spec("_C")
    if extension is None or extension.origin is None:
        return False
    try:
        torch.ops.load_library(extension.origin)
    except (ImportError, OSError):
        return False
    return True


def _declare() -> None:
    import torch

    missing = [name for name in _OPERATORS if not hasattr(torch.ops.torchvision, name)]
    if missing:
        # A fragment: whoever defines the whole namespace later is not refused.
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in missing:
            library.define(name + _SCHEMA)
        _declared.append(library)
