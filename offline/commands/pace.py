"""Progress of work whose steps are alike: how many, how fast, how long still. For commands that draw pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

SAY_EVERY_S = 30.0


@contextmanager
def pace(console: Console, what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield what is called with steps done; shows a bar on a terminal, elsewhere a line every half minute.

    Parameters
    ----------
    console : Console
    what : str
        What is counted, for example ``pictures``.
    total : int
        Steps to do.
    """
    if console.is_terminal:
        yield from _bar(console, what, total)
    else:
        yield from _lines(console, what, total)


def _bar(console: Console, what: str, total: int) -> Iterator[Callable[[int], None]]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.1f}/s" if task.speed else "")

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, speed_estimate_period=60) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.advance(task, done)


def _lines(console: Console, what: str, total: int) -> Iterator[Callable[[int], None]]:
    began = said = time.monotonic()
    n = 0

    def step(done: int) -> None:
        nonlocal n, said
        n += done
        now = time.monotonic()
        if now - said >= SAY_EVERY_S:
            said = now
            rate = n / (now - began)
            left_s = (total - n) / rate if rate else float("inf")
            line = f"  {n} of {total} {what}, {rate:.1f}/s, {_duration(left_s)} left"
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    yield step


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
