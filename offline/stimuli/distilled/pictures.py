"""Targets of the training: face parameters and the procedural renderer's pictures of them.

Step k's parameters depend on the plan's seed and on k alone, so that a resumed training goes on as if it had never
stopped. The renderer runs as its exported ONNX file, ten times faster than in torch. Must not know networks.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from offline.stimuli.distilled.plan import Plan
from offline.stimuli.faces.face_parameters import PARAMETERS
from offline.whole_files import whole_file


class Renderer(Protocol):
    """What draws targets."""

    def pictures(self, parameters: Tensor) -> Tensor:
        """Draw (N, 3, row, col) within -1..1 from standard normal parameters (N, parameter)."""
        ...


class OnnxRenderer:
    """The procedural renderer in ONNX Runtime; pictures are quantised to 8 bits as on the display.

    Parameters
    ----------
    path : Path
        Kept for the next time; made if it does not exist (half a minute).
    n_threads : int
        Pictures drawn at once.
    """

    def __init__(self, path: Path, n_threads: int = 2) -> None:
        import onnxruntime

        if not path.exists():
            export_plain(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        # Its threads must not spin while torch's work.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self._pool = ThreadPoolExecutor(n_threads)

    def pictures(self, parameters: Tensor) -> Tensor:
        """Draw (N, 3, row, col) from parameters (N, parameter)."""
        rows = parameters.numpy()[:, None, None]  # (N, 1, layer, parameter)
        levels = list(self._pool.map(self._draw, rows))
        stacked = torch.from_numpy(np.concatenate(levels))  # (N, row, col, rgb), uint8
        # The middle of what was truncated to this level.
        return ((stacked.float() - 127.5) / 127.5).permute(0, 3, 1, 2)

    def _draw(self, row: NDArray[np.float32]) -> NDArray[np.uint8]:
        levels: NDArray[np.uint8] = self._session.run(None, {"w": row})[0]
        return levels


def export_plain(path: Path) -> None:
    """Write the renderer that takes the parameters themselves as its latent."""
    from offline.stimuli.faces.export_renderer import export_renderer
    from offline.stimuli.faces.face_renderer import FaceRenderer

    n = len(PARAMETERS)
    renderer = FaceRenderer(np.zeros(n, np.float32), np.eye(n, dtype=np.float32)).eval()
    with whole_file(path) as part:
        export_renderer(renderer, part)


def parameters_of_step(plan: Plan, step: int, phase_idx: int, share: float) -> Tensor:
    """Draw a step's face parameters, float32, (picture, parameter); ``share`` is how much of the phase is done."""
    phase = plan.phases[phase_idx]
    low, high = (
        begin + share * (end - begin)
        for begin, end in zip(phase.spread, phase.final_spread, strict=True)
    )
    rng = np.random.default_rng([plan.seed, 1, step])
    spread = rng.uniform(low, high, size=(phase.batch, 1))
    drawn = rng.standard_normal((phase.batch, len(PARAMETERS))) * spread
    return torch.from_numpy(drawn.astype(np.float32))


def held_out_parameters(n: int, spread: float, seed: int = 0) -> Tensor:
    """Draw face parameters that no training saw, float32, (n, parameter)."""
    rng = np.random.default_rng([seed, 2])
    return torch.from_numpy((rng.standard_normal((n, len(PARAMETERS))) * spread).astype(np.float32))
