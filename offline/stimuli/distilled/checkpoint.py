"""The memory of a training: everything that the next step depends on, in one file of a few MB.

Must not know how a step is made.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from b2g_rt.errors import CheckpointError
from offline.whole_files import whole_file

FILE = "training.pt"


@dataclass(slots=True)
class TrainingState:
    """Where a training stands.

    Attributes
    ----------
    plan_digest : str
    step, images : int
        Done so far.
    seconds : float
        Active time; while the process is stopped it stands still.
    network, average, optimiser : dict
        State dictionaries; ``average`` holds the moving average of the synthesis' parameters.
    history : list of (step, progress, phase, loss)
        One entry every so many steps, the loss averaged between them.
    losses : list of float
        Since the last entry.
    phase_began : (phase, step)
        When the current phase began.
    """

    plan_digest: str
    step: int
    images: int
    seconds: float
    network: dict[str, Tensor]
    average: dict[str, Tensor]
    optimiser: dict[str, Any]
    history: list[tuple[int, float, int, float]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    phase_began: tuple[int, int] = (0, 0)


def save(state: TrainingState, folder: Path) -> None:
    """Write the checkpoint; an older one stays until the new one is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / FILE) as part:
        torch.save({name: getattr(state, name) for name in TrainingState.__slots__}, part)


def load(folder: Path, plan_digest: str) -> TrainingState | None:
    """Read the checkpoint of a folder, None where there is none.

    Raises
    ------
    CheckpointError
        It cannot be read, or is of another plan.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        state = TrainingState(**torch.load(path, weights_only=True))
    except (OSError, RuntimeError, TypeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"{path}: {reason}, expected the checkpoint of a training. Remove it to begin anew."
        ) from None
    if state.plan_digest != plan_digest:
        raise CheckpointError(
            f"{path}: the checkpoint of another plan, expected this release's. Give another --work folder."
        )
    return state
