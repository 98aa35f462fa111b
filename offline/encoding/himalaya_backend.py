"""Who multiplies for himalaya: it has one backend for the whole process, which is set here and given back."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

OnProcessor = Literal["torch", "numpy"]

_lock = threading.RLock()


@contextmanager
def himalaya_backend(device: str = "cpu", on_processor: OnProcessor = "torch") -> Iterator[Any]:
    """Yield himalaya's backend for a device; other threads wait for it, and the former one comes back.

    Parameters
    ----------
    device : str
        cpu, cuda (or cuda:1), auto; ``torch`` is torch on the processor, as everywhere in this room.
    on_processor : {'torch', 'numpy'}
        Where the device is the processor.

    Raises
    ------
    ProviderError
        There is no such device.
    """
    from himalaya.backend import get_backend, set_backend

    from offline.stimuli.devices import device_named

    if device == "torch":
        device, on_processor = "cpu", "torch"
    found = device_named(device)
    with _lock, ExitStack() as stack:
        stack.callback(set_backend, get_backend().name)
        if found.type != "cuda":
            yield set_backend(on_processor)
            return
        import torch

        if found.index is not None:
            stack.enter_context(torch.cuda.device(found.index))
        # Said once per process, of float64: who asks for it knows.
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", "GPU backend .* is much faster", UserWarning)
        yield set_backend("torch_cuda")
