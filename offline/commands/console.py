"""Where the commands of this wing print: one console, and lines that are printed as they are."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from rich.console import Console

console = Console()
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def say(line: str) -> None:
    """Print a line as it is: brackets in a path are no markup, and no figure is broken in two."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def written(folder: Path, digest: str) -> None:
    """Say which directory was written, how large it is and the beginning of its hash."""
    size = sum(f.stat().st_size for f in folder.iterdir() if f.is_file()) / 1e6
    say(f"written: {folder} ({size:.1f} MB, {digest[:12]})")


def command_line() -> str:
    """Return what the user typed, for provenance."""
    return shlex.join(["b2g-offline", *sys.argv[1:]])
