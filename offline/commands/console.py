"""Where the commands of this wing print: one console, and lines that are printed as they are."""

from __future__ import annotations

from rich.console import Console

console = Console()
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def say(line: str) -> None:
    """Print a line as it is: brackets in a path are no markup, and no figure is broken in two."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)
