"""The directory of long work that is gone on with: what it was made with, and whether it is one at all.

``settings.json`` says what all that lies there depends on. A directory with other people's files has none, and is left
alone. Which settings may change from run to run is for the caller to say.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from b2g_rt.errors import StimulusError
from offline.whole_files import write_whole

SETTINGS = "settings.json"


def settings_of(folder: Path) -> dict[str, Any] | None:
    """Return what a directory was made with; None: it is not there, or empty.

    Raises
    ------
    StimulusError
        It holds other files, or settings that cannot be read.
    """
    path = folder / SETTINGS
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        if folder.is_dir() and any(folder.iterdir()):
            raise StimulusError(
                f"{folder}: holds other files, expected an empty or new directory, or an unfinished one of this "
                "command. Give another --out."
            ) from None
        return None
    except (OSError, ValueError) as error:
        raise StimulusError(
            f"{path}: {error}, expected what this command wrote. Give another --out."
        ) from None
    return found if isinstance(found, dict) else {}


def write_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write what a directory is made with; makes it where it is missing.

    Raises
    ------
    OSError
        It cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / SETTINGS, (json.dumps(dict(settings), indent=2) + "\n").encode())


def cannot_write(path: Path, error: OSError) -> StimulusError:
    """Return the line for a full disk and the like."""
    return StimulusError(
        f"{path}: cannot be written ({error.strerror or error}), expected room for it. Make some; the same "
        "command goes on."
    )
