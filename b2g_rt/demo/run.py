"""Runs the demo: a simulated session, replayed over real LSL by one process, decoded here, shown by another."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from b2g_rt.commands.progress import bar, loading
from b2g_rt.commands.simulate import demo_session_path, simulate_session
from b2g_rt.config import Config, load_config
from b2g_rt.contracts.session import SessionFile
from b2g_rt.demo.collect import Collector
from b2g_rt.demo.report import clear_report, write_report
from b2g_rt.demo.summary import SIMULATED, summarize
from b2g_rt.errors import SetupError
from b2g_rt.service.graph import Service
from b2g_rt.service.models import Models
from b2g_rt.sources.lsl_settings import use_private_lsl

END_WAIT_S = 15.0
CHILD_WAIT_S = 15.0


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the user asked for.

    ``out``: folder for the report; ``headless``: no window, one pass; ``speed``: replayed seconds per second;
    ``recordings``: where the simulated session is kept between runs; ``sets``: further key=value.
    """

    out: Path | None
    headless: bool
    speed: float
    n_trials: int
    recordings: Path
    sets: tuple[str, ...] = ()


def has_screen() -> bool:
    """Whether a window can be opened."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def run_demo(options: DemoOptions, console: Console) -> dict[str, Any]:
    """Run the main job on the embedded default and return its summary.

    Raises
    ------
    B2GError
        What kept it from running.
    """
    headless = options.headless or not has_screen()
    console.print(f"[bold]b2g_rt demo[/]  {SIMULATED}")
    with tempfile.TemporaryDirectory(prefix="b2g-demo-") as scratch:
        folder = Path(scratch)
        use_private_lsl(folder)
        endpoints = folder / "endpoints.json"
        config = _config(options, endpoints)
        models = loading(config, console)
        session = _session(models, options, console)
        return _run(options, headless, config, models, session, endpoints, console)


def _config(options: DemoOptions, endpoints: Path) -> Config:
    free = [f"publish.{name}_port=0" for name in ("pictures", "events", "activity", "status")]
    return load_config(None, [*free, f"publish.endpoints_file={endpoints}", *options.sets])


def _session(models: Models, options: DemoOptions, console: Console) -> Path:
    path = demo_session_path(models.bundle, options.recordings, options.n_trials)
    if not path.exists():
        with bar(console, f"simulating {options.n_trials} trials") as advance:
            simulate_session(models.bundle, path, n_trials=options.n_trials, progress=advance)
    return path


def _run(
    options: DemoOptions,
    headless: bool,
    config: Config,
    models: Models,
    session: Path,
    endpoints: Path,
    console: Console,
) -> dict[str, Any]:
    from b2g_rt.commands.live import build, stop_on_signals

    collector = Collector(options.n_trials)
    live = build(config, models, on_message=collector.see)
    out = options.out or (Path("demo-out") if headless else None)
    if out:
        clear_report(out)
    goal = _goal(session, models, options.n_trials)
    with stop_on_signals() as stop, ExitStack() as children:
        # In this order at the end: the last screenshot shows the end of the session, not that of the service, and
        # the service does not go looking for a stream that has done its part.
        player = _player(config, session, options.speed, loop=not headless)
        children.callback(_end, player)
        live.service.start()
        children.callback(_end_service, live.service)
        display = _display(endpoints, out, headless)
        children.callback(_end, display)
        if headless:
            _one_pass(live.service, player, display, stop, goal, console)
        else:
            console.print("The window is open; close it (or Ctrl-C here) to end the demo.")
            _until_closed(live.service, player, display, stop)
    summary = summarize(live.service.progress, models, *live.service.ledgers, collector)
    if out:
        written = write_report(out, summary, collector, models.bundle.windows, models.baseline)
        console.print(f"written to {out}: {', '.join(written)}")
    _print(summary, console)
    return summary


def _end_service(service: Service) -> None:
    service.request_stop()
    service.wait(END_WAIT_S)


@dataclass(frozen=True, slots=True)
class Goal:
    """What one pass of the session must bring."""

    n_trials: int
    n_windows: int
    n_samples: int


def _goal(path: Path, models: Models, n_trials: int) -> Goal:
    with SessionFile(path) as session:
        n_samples = session.n_samples
    return Goal(n_trials, n_trials * models.bundle.windows.n_windows, n_samples)


def _one_pass(
    service: Service,
    player: subprocess.Popen[bytes],
    display: subprocess.Popen[bytes],
    stop: threading.Event,
    goal: Goal,
    console: Console,
) -> None:
    deadline = None
    with bar(console, "replaying over LSL, trials") as advance:
        while not stop.is_set() and not service.wait(0.1):
            progress = service.progress
            advance(progress.n_trials, goal.n_trials)
            _check(player, "the player")
            _check(display, "the display")
            if progress.windows_decoded + progress.windows_dropped >= goal.n_windows:
                # Now, so that its last screenshot shows the last picture while that is young.
                _end(display)
                if service.ledgers[0].expected >= goal.n_samples:
                    break
            if player.poll() is not None:
                deadline = deadline or time.monotonic() + END_WAIT_S
                if time.monotonic() > deadline:
                    break
        advance(service.progress.n_trials, goal.n_trials)


def _until_closed(
    service: Service,
    player: subprocess.Popen[bytes],
    display: subprocess.Popen[bytes],
    stop: threading.Event,
) -> None:
    while not stop.is_set() and display.poll() is None and not service.wait(0.25):
        _check(player, "the player")
    _check(display, "the display")


def _check(child: subprocess.Popen[bytes], name: str) -> None:
    if child.poll() not in (None, 0):
        raise SetupError(
            f"demo: {name} ended with exit code {child.returncode}; its own line stands above. Run: b2g-rt doctor"
        )


def _player(config: Config, session: Path, speed: float, *, loop: bool) -> subprocess.Popen[bytes]:
    markers = config.streams.markers
    command = ["replay", str(session), "--name", config.streams.mua.name, "--speed", str(speed)]
    command += ["--markers", markers.name] if markers else []
    return _child([*command, "--quiet", *(["--loop"] if loop else [])])


def _display(endpoints: Path, out: Path | None, headless: bool) -> subprocess.Popen[bytes]:
    command = ["display", "--endpoints", str(endpoints)]
    if out:
        command += ["--screenshot", str(out / "screenshot.png")]
    environment = {"QT_QPA_PLATFORM": "offscreen"} if headless else {}
    return _child(command, environment)


def _child(
    arguments: list[str], environment: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "b2g_rt", *arguments],
        env={**os.environ, **(environment or {})},
        # A Ctrl-C in the terminal is for the demo alone, which ends its children in order.
        start_new_session=True,
        stdin=subprocess.DEVNULL,
    )


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(CHILD_WAIT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _print(summary: dict[str, Any], console: Console) -> None:
    windows, samples, cosine = summary["windows"], summary["samples"], summary["cosine"]
    console.print(
        f"{windows['decoded']} of {windows['due']} windows decoded, {windows['dropped']} dropped; "
        f"{samples['received']} of {samples['expected']} samples received, {samples['lost']} lost"
    )
    if cosine["decoded"] is not None:
        console.print(
            f"cosine {cosine['decoded']:.3f} (mean latent {cosine['mean_latent']:.3f}), centred "
            f"{cosine['decoded_centred']:.3f}; two-way {summary['two_way']['rate']:.0%} (chance 50%)"
        )
    adaptation = summary["adaptation"]
    if adaptation["n_trials"]:
        adapted, alone = adaptation["adapted"], adaptation["unadapted"]
        console.print(
            f"online ridge: {adaptation['n_trials_learnt']} trials learnt; centred cosine "
            f"{adapted['centred_cosine']:.3f}, {alone['centred_cosine']:.3f} without it on the same trials"
        )
    frame = summary["latency_ms"]["sample_to_frame"]
    if frame:
        console.print(f"sample to picture {frame['p50']:.0f} ms (p99 {frame['p99']:.0f} ms)")
