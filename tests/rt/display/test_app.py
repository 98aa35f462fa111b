from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any

import pytest

from b2g_rt.display.app import Screenshots, _require_sound_bindings
from b2g_rt.display.freshness import Shown, Verdict
from b2g_rt.display.window import Painted
from b2g_rt.errors import SetupError


def test_these_bindings_are_sound(qapp):
    _require_sound_bindings(qapp)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="None is immortal from 3.12 on")
def test_bindings_that_lose_references_are_refused_before_they_crash():
    class Losing:
        n_calls = 0

        def setObjectName(self, name):  # noqa: N802 (Qt's name)
            self.n_calls += 1
            ctypes.pythonapi.Py_DecRef(ctypes.py_object(None))

    losing: Any = Losing()
    try:
        with pytest.raises(SetupError, match="loses references under Python"):
            _require_sound_bindings(losing)
    finally:
        for _ in range(losing.n_calls):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(None))


class _Window:
    def __init__(self) -> None:
        self.saved: list[Path] = []

    def save(self, path: Path) -> None:
        self.saved.append(path)


def _painted(time_s, n_trials, *, complete=True, shown=Shown.FRESH):
    return Painted(time_s, "streaming", 7, Verdict(shown, 0.05), n_trials, complete)


def test_a_screenshot_waits_for_enough_complete_trials_and_is_not_made_often():
    shots, window = Screenshots(Path("shot.png"), n_trials=3), _Window()
    shots.after(_painted(0.0, 2), window)
    shots.after(_painted(1.0, 3, complete=False), window)
    shots.after(_painted(2.0, 3, shown=Shown.STALE), window)
    assert window.saved == []
    shots.after(_painted(3.0, 3), window)
    shots.after(_painted(4.0, 4), window)
    assert len(window.saved) == 1
    shots.after(_painted(13.5, 9), window)
    assert len(window.saved) == 2


@pytest.mark.parametrize(
    ("before", "at_end", "n_saved"),
    [
        (None, _painted(9.0, 0, complete=False, shown=Shown.NOTHING), 1),
        (_painted(3.0, 3), _painted(9.0, 8, shown=Shown.STALE), 1),
        (_painted(3.0, 3), _painted(9.0, 8), 2),
    ],
    ids=["nothing written yet", "stale does not replace a good one", "a trial is just complete"],
)
def test_the_last_screenshot(before, at_end, n_saved):
    shots, window = Screenshots(Path("shot.png"), n_trials=3), _Window()
    if before is not None:
        shots.after(before, window)
    shots.after(at_end, window)
    shots.last(window)
    assert len(window.saved) == n_saved
