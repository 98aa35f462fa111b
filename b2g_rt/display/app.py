"""The display as a process: sockets, window, signals, screenshots, in that order up and in reverse down."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from b2g_rt.contracts.endpoints import CurveClientKeys, Endpoints
from b2g_rt.errors import ConfigError, SetupError

if TYPE_CHECKING:
    from PySide6.QtCore import QCoreApplication

    from b2g_rt.display.window import Painted

_log = logging.getLogger(__name__)

# A screenshot costs about a tenth of a second, so one is made this often at most.
_SCREENSHOT_EVERY_S = 10.0


def run_display(
    endpoints: Endpoints,
    *,
    screenshot: Path | None = None,
    quit_after_s: float | None = None,
    curve: CurveClientKeys | None = None,
    stale_after_s: float = 1.0,
    screenshot_trials: int = 8,
    paint_log: Path | None = None,
    full_screen: bool = False,
) -> int:
    """Show what a service publishes until the window is closed or SIGINT or SIGTERM arrives.

    Must be called in the main thread. The service need not be there yet, and may come and go.

    Parameters
    ----------
    endpoints : Endpoints
        Where the service publishes.
    screenshot : Path, optional
        PNG that is written at the end of a trial, once it has seen ``screenshot_trials`` trials, then at
        most every ten seconds, and at the end if a trial is just complete or nothing has been written. Also where
        the key S writes (without it: ``b2g_rt-screenshot.png`` in the working directory).
    quit_after_s : float, optional
        End by itself.
    curve : CurveClientKeys, optional
        Keys for a service beyond loopback.
    stale_after_s : float
        Age from which a picture is greyed.
    screenshot_trials : int
        See ``screenshot``.
    paint_log : Path, optional
        One JSON line per paint: ``time_s`` (monotonic), ``state``, ``sequence``, ``age_ms``,
        ``shown``.
    full_screen : bool
        Begin in full screen.

    Returns
    -------
    int
        Exit status, 0.

    Raises
    ------
    SetupError
        No screen and no offscreen platform, or Qt's system libraries are missing.
    ConfigError
        An address is none, or screenshot or paint log cannot be written; no window was shown.
    """
    _require_screen()
    if screenshot is not None:
        _require_writable("--screenshot", screenshot)
    try:
        from PySide6.QtWidgets import QApplication

        from b2g_rt.display.newest import Newest
        from b2g_rt.display.paint_clock import PaintClock
        from b2g_rt.display.subscriber import Subscriber
        from b2g_rt.display.window import DisplayWindow
    except ImportError as error:
        raise SetupError(
            f"display: {error}, expected Qt and its system libraries. Run: b2g-rt doctor"
        ) from None

    app = QApplication.instance() or QApplication(["b2g_rt"])
    _require_sound_bindings(app)
    _warn_without_fonts()
    model = Newest()
    shots = Screenshots(screenshot, screenshot_trials)
    window = DisplayWindow(
        model.snapshot,
        model.painted,
        lambda: shots.save_now(window),
        address=endpoints.status,
        stale_after_s=stale_after_s,
    )
    paint_clock = PaintClock(window.tick)
    subscriber = Subscriber(endpoints, model, paint_clock.request, curve)
    stopper = _Stopper()
    subscriber.connect()
    log = None if paint_log is None else _opened_log(paint_log)
    end_s = None if quit_after_s is None else time.monotonic() + quit_after_s

    def on_painted(painted: Painted) -> None:
        if log is not None:
            _write_line(log, painted)
        shots.after(painted, window)
        if stopper.asked or (end_s is not None and painted.time_s >= end_s):
            window.close()

    window.on_painted = on_painted
    window.on_closed = app.quit
    with stopper:
        window.showFullScreen() if full_screen else window.show()
        subscriber.start()
        paint_clock.start()
        try:
            app.exec()
        finally:
            paint_clock.stop()
            shots.last(window)
            subscriber.close()
            if log is not None:
                log.close()
    return 0


class _Saves(Protocol):
    def save(self, path: Path) -> None: ...


class Screenshots:
    """Decides when a screenshot is made; see ``run_display``."""

    def __init__(self, path: Path | None, n_trials: int) -> None:
        self._path = path
        self._n_trials = n_trials
        self._last_s: float | None = None
        self._painted: Painted | None = None

    def after(self, painted: Painted, window: _Saves) -> None:
        """Look at what was just painted."""
        self._painted = painted
        due = self._last_s is None or painted.time_s - self._last_s >= _SCREENSHOT_EVERY_S
        enough = painted.trial_complete and painted.n_trials >= self._n_trials
        if self._path is not None and due and enough and _is_fresh(painted):
            self._last_s = painted.time_s
            _save(window, self._path)

    def save_now(self, window: _Saves) -> None:
        """Write one because the user asked."""
        _save(window, self._path or Path("b2g_rt-screenshot.png"))

    def last(self, window: _Saves) -> None:
        """At the end: a trial's fresh last picture, or whatever there is if nothing has been written."""
        if self._path is None:
            return
        complete = self._painted is not None and self._painted.trial_complete
        if self._last_s is None or (complete and _is_fresh(self._painted)):
            _save(window, self._path)


def _is_fresh(painted: Painted | None) -> bool:
    from b2g_rt.display.freshness import Shown

    return painted is not None and painted.verdict.shown is Shown.FRESH


class _Stopper:
    """Turns SIGINT and SIGTERM into a wish that the next paint fulfils; restores the handlers afterwards."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> _Stopper:
        self._before = {s: signal.signal(s, self._ask) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: object) -> None:
        self.asked = True


def _save(window: _Saves, path: Path) -> None:
    try:
        window.save(path)
    except OSError as error:
        _log.warning("display: screenshot: %s", error)


def _write_line(log: IO[str], painted: Painted) -> None:
    age_s = painted.verdict.age_s
    line = {
        "time_s": painted.time_s,
        "state": painted.state,
        "sequence": painted.sequence,
        "age_ms": None if age_s is None else 1000 * age_s,
        "shown": painted.verdict.shown.name.lower(),
    }
    log.write(json.dumps(line) + "\n")
    log.flush()


def _require_writable(option: str, path: Path) -> None:
    """Find out at the start, not at the end of an experiment."""
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a directory")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise _cannot_write(option, path, error) from None


def _opened_log(path: Path) -> IO[str]:
    try:
        return path.open("w", encoding="utf-8")
    except OSError as error:
        raise _cannot_write("--paint-log", path, error) from None


def _cannot_write(option: str, path: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"{option} {path}: {error.strerror}, expected a file that can be written. Check the path."
    )


def _require_screen() -> None:
    if not sys.platform.startswith("linux") or os.environ.get("QT_QPA_PLATFORM"):
        return
    if not os.environ.get("DISPLAY") and not os.environ.get("WAYLAND_DISPLAY"):
        raise SetupError(
            "display: neither DISPLAY nor WAYLAND_DISPLAY is set, expected a screen. "
            "Set QT_QPA_PLATFORM=offscreen to run without one (with --screenshot FILE)."
        )


def _require_sound_bindings(app: QCoreApplication) -> None:
    """Refuse bindings that lose references to None.

    PySide6 6.12.0 does under Python 3.11 (measured: one for each call that returns nothing), and the process
    is aborted after some thousand calls. From Python 3.12 on None is immortal and nothing is lost.
    """
    n_calls = 50
    before = sys.getrefcount(None)
    for _ in range(n_calls):
        app.setObjectName("b2g_rt")
    if before - sys.getrefcount(None) > n_calls // 2:
        import PySide6

        raise SetupError(
            f"display: PySide6 {PySide6.__version__} loses references under Python "
            f"{sys.version_info.major}.{sys.version_info.minor} and would crash, expected sound bindings. "
            "Run: pip install 'PySide6-Essentials!=6.12.0'"
        )


def _warn_without_fonts() -> None:
    from PySide6.QtGui import QFontDatabase

    if not QFontDatabase.families():
        _log.warning("display: no fonts found, text stays empty. Install fonts-dejavu-core.")
