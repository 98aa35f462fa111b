"""Play a recorded session through real LSL outlets."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from b2g_rt.commands.live import stop_on_signals
from b2g_rt.commands.progress import bar
from b2g_rt.contracts.session import SessionFile
from b2g_rt.errors import ConfigError
from b2g_rt.sources.player import Player


def parse_speed(text: str) -> float | None:
    """Return replayed seconds per second, or None for 'max'.

    Raises
    ------
    ConfigError
        Neither 'max' nor a positive number.
    """
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise ConfigError(f"--speed {text}: expected a number above 0, or max.")
    return speed


def replay(
    path: Path,
    name: str,
    markers: str,
    speed: float | None,
    chunk: tuple[int, int],
    *,
    loop: bool,
    quiet: bool,
    console: Console,
) -> None:
    """Play a file until its end (or for ever), Ctrl-C ends it.

    Raises
    ------
    SessionError
        The file cannot be read.
    """
    with SessionFile(path) as session, stop_on_signals() as stop:
        player = Player(session, name, markers, speed=speed, chunk=chunk, loop=loop)
        if quiet:
            player.run(stop)
            return
        shown = "as fast as possible" if speed is None else f"at {speed:g} x real time"
        console.print(
            f"{path}: {session.n_samples} samples, streaming '{name}' {shown}; waiting for a reader ..."
        )
        with bar(console, "samples") as advance:
            player.run(stop, advance)
