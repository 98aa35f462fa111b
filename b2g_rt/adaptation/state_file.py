"""What a session taught the online ridge, as a file: .npz, written once, whole or not at all. No pickle.

    correction   float32, axes (window, channel + 1, latent): what was added at the end, the trusted share of what was
                 learnt (online_ridge.py); the last row belongs to the constant
    n_learnt     int64, axes (window,), trials learnt
    provenance   JSON text: bundle, settings, trials

For whoever studies the session afterwards. Knows nothing of services.
"""

from __future__ import annotations

import json
import os
import zipfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.adaptation.online_ridge import added
from b2g_rt.errors import SessionError


@dataclass(frozen=True, slots=True, eq=False)
class SavedCorrection:
    """The file's content; fields as in the module's header."""

    correction: NDArray[np.float32] = field(repr=False)
    n_learnt: NDArray[np.int64]
    provenance: dict[str, Any]

    def predict(self, features: NDArray[np.float32], window_idx: int) -> NDArray[np.float32]:
        """Return what is added to the bundle's latents, float32, axes (latent,); see ``OnlineRidge.predict``."""
        return added(features, self.correction[window_idx])


def beside(recording: Path) -> Path:
    """Return where a session's correction is kept: next to its recording."""
    return recording.with_suffix(".adaptation.npz")


def write_correction(path: Path, saved: SavedCorrection) -> None:
    """Write the file.

    Raises
    ------
    SessionError
        It is there already, or cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if path.exists():
            raise FileExistsError(0, "is there already, and is never overwritten")
        with part.open("wb") as file:
            np.savez(
                file,
                correction=saved.correction,
                n_learnt=saved.n_learnt,
                provenance=np.array(json.dumps(saved.provenance)),
            )
        os.replace(part, path)
    except OSError as error:
        raise SessionError(
            f"{path}: {error.strerror or error}, expected room for a new file. What was learnt is not saved."
        ) from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def read_correction(path: Path) -> SavedCorrection:
    """Read the file; SessionError when it is none."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            saved = SavedCorrection(
                archive["correction"], archive["n_learnt"], json.loads(str(archive["provenance"]))
            )
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        what = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise SessionError(
            f"{path}: {what}, expected what a service left beside a recording (.adaptation.npz)."
        ) from None
    if saved.correction.ndim != 3 or saved.n_learnt.shape != saved.correction.shape[:1]:
        raise SessionError(
            f"{path}: correction {saved.correction.shape}, n_learnt {saved.n_learnt.shape}, expected axes (window, "
            "channel + 1, latent) and (window,)."
        )
    return saved
