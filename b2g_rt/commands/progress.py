"""Progress on a terminal as bars, elsewhere as plain lines now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from b2g_rt.config import Config
from b2g_rt.service.models import Models, load_models

PLAIN_EVERY_S = 5.0
TICK_EVERY_S = 30.0

Advance = Callable[[int, int], None]


@contextmanager
def bar(console: Console, what: str) -> Iterator[Advance]:
    """Yield a function (done, total) that shows how far ``what`` is."""
    if not console.is_terminal:
        yield _plain(console, what)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _plain(console: Console, what: str) -> Advance:
    last, ended = -PLAIN_EVERY_S, False

    def advance(done: int, total: int) -> None:
        nonlocal last, ended
        now = time.monotonic()
        if not ended and (done >= total or now - last >= PLAIN_EVERY_S):
            last, ended = now, done >= total
            console.print(f"{what}: {done} of {total}")

    return advance


@contextmanager
def ticker(console: Console) -> Iterator[Callable[[str], None]]:
    """Yield a function that shows one line: kept up to date on a terminal, printed now and then elsewhere."""
    if console.is_terminal:
        # Twice a second: an idle service must not spend its time on a spinner.
        with console.status("", refresh_per_second=2) as status:
            yield status.update
        return
    next_s = time.monotonic() + TICK_EVERY_S

    def tick(line: str) -> None:
        nonlocal next_s
        if time.monotonic() >= next_s:
            next_s = time.monotonic() + TICK_EVERY_S
            console.print(line, markup=False, soft_wrap=True)

    yield tick


def loading(config: Config, console: Console) -> Models:
    """Load the models with a line on the terminal that says how far it is."""
    if not console.is_terminal:
        return load_models(config)
    with console.status("loading") as status:
        return load_models(
            config, lambda what, done, total: status.update(f"loading {what} {done}/{total}")
        )
