"""How far a command is: bars on a terminal, elsewhere one line per stage. Knows nothing of what is computed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

Stage = Callable[[str, int], Callable[[int], None]]
"""Called with (what, steps to do) when a stage begins; returns what is called with steps done."""


@contextmanager
def stages(console: Console, quiet: bool = False) -> Iterator[Stage]:
    """Yield a stage that shows itself on the console; ``quiet``: that shows nothing."""
    if quiet or not console.is_terminal:
        yield _plain(console, quiet)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    description = TextColumn("{task.description}", markup=False)
    with Progress(description, BarColumn(), TimeElapsedColumn(), console=console) as progress:

        def shown(what: str, total: int) -> Callable[[int], None]:
            task = progress.add_task(what, total=total)
            return lambda done: progress.advance(task, done)

        yield shown


def _plain(console: Console, quiet: bool) -> Stage:
    began = time.monotonic()

    def plain(what: str, total: int) -> Callable[[int], None]:
        if not quiet:
            line = f"{time.monotonic() - began:6.1f} s  {what}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        return lambda done: None

    return plain
