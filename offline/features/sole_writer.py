"""One writer at a time: a feature file is locked while it is filled, and free again however its writer ended."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from b2g_rt.errors import FeatureError


@contextmanager
def sole_writer(path: Path) -> Iterator[None]:
    """Keep other runs away from a feature file that is there.

    Raises
    ------
    FeatureError
        Another run, of this process too, holds it.
    """
    folder = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FeatureError(
                f"{path}: another run is writing it, expected none. Wait until that has ended, or stop it; the same "
                "command goes on."
            ) from None
        except OSError:
            # Some network drives have no locks: nothing is kept away there, and pieces are whole all the same.
            pass
        yield
    finally:
        os.close(folder)
