"""ONNX Runtime on the CPU, as every export opens what it wrote: idle threads sleep, as in the live service.

Knows no model. The profiler opens its own (``stylegan/profile.py``), which records as it runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnxruntime

PROVIDER = "CPUExecutionProvider"


def cpu_session(
    model: bytes | Path, *, threads: int = 1, keeps_memory: bool = True
) -> onnxruntime.InferenceSession:
    """Open an ONNX file.

    Parameters
    ----------
    model : bytes or Path
        A path where weights lie beside the file.
    threads : int
        Within an operator; 0: one per core.
    keeps_memory : bool
        Whether memory is kept for the next run; of no use to a large network that runs a few times only.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.enable_cpu_mem_arena = keeps_memory
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=[PROVIDER])
