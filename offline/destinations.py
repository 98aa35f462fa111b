"""Whether a command will be able to write what it was asked for, found out before the work and not after it.

By trying: a temporary folder is made in the nearest folder that exists, and removed. Nothing else is left behind.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from b2g_rt.errors import ConfigError


def check_folder(option: str, path: Path | None) -> None:
    """Refuse a directory that cannot be made or written into; None is fine.

    Raises
    ------
    ConfigError
        A file is in the way, or the place cannot be written to.
    """
    if path is None:
        return
    # Not `exists`, which answers no for a folder that may not be looked into.
    nearest = next(p for p in (path, *path.absolute().parents) if os.path.lexists(p))
    if not nearest.is_dir():
        raise ConfigError(
            f"{option} {path}: {nearest} is no directory, expected one that can be made or written to."
        )
    _try(option, path, nearest)


def check_file(option: str, path: Path | None, *, make_folder: bool = False) -> None:
    """Refuse a file that cannot be written; ``make_folder``: its folder may be missing. None is fine.

    Raises
    ------
    ConfigError
        It is a directory, its folder is missing, or the place cannot be written to.
    """
    if path is None:
        return
    if path.is_dir():
        raise ConfigError(f"{option} {path}: is a directory, expected a file. Add the file's name.")
    if path.exists():
        if not os.access(path, os.W_OK):
            raise ConfigError(f"{option} {path}: may not be written, expected a file that can be.")
        return
    if make_folder:
        check_folder(option, path.parent)
        return
    if not path.parent.is_dir():
        raise ConfigError(
            f"{option} {path}: no directory {path.parent}, expected one that exists. Make it, or correct the path."
        )
    _try(option, path, path.parent)


def _try(option: str, path: Path, folder: Path) -> None:
    try:
        with tempfile.TemporaryDirectory(prefix=".b2g-", dir=folder):
            pass
    except OSError as error:
        raise ConfigError(
            f"{option} {path}: {folder} cannot be written to ({error.strerror}), expected a place that can."
        ) from None
