"""The display as a real process: beside a real publisher, killed, stalled, restarted, asked to end.

What it shows is read from its paint log, one JSON line per paint.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from b2g_rt.contracts.endpoints import Endpoints, read_endpoints, write_endpoints

pytestmark = pytest.mark.live

_ROOT = Path(__file__).parents[2]
_DEADLINE_S = 30.0

_DISPLAY = """
import sys
from pathlib import Path
from b2g_rt.contracts.endpoints import read_endpoints
from b2g_rt.display.app import run_display

endpoints, log, screenshot = map(Path, sys.argv[1:4])
sys.exit(run_display(read_endpoints(endpoints), paint_log=log, screenshot=screenshot, screenshot_trials=2))
"""


@dataclass
class Process:
    child: subprocess.Popen[str]
    output: Path

    def wait(self, timeout_s: float = _DEADLINE_S) -> int:
        return self.child.wait(timeout_s)

    def tell(self, number: signal.Signals) -> None:
        os.kill(self.child.pid, number)


class House:
    """Starts services and displays, and ends what is left of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.endpoints = folder / "endpoints.json"
        self.published = folder / "published.jsonl"
        self.painted = folder / "painted.jsonl"
        self.screenshot = folder / "screenshot.png"
        self._all: list[Process] = []

    def service(self, *options: str) -> Process:
        self.endpoints.unlink(missing_ok=True)
        arguments = ["tests/fake_service.py", str(self.endpoints), "--log", str(self.published)]
        process = self._start(arguments + list(options))
        self.wait(self.endpoints.exists, "the service's endpoints")
        return process

    def display(self, **environment: str) -> Process:
        self.painted.unlink(missing_ok=True)
        files = [self.endpoints, self.painted, self.screenshot]
        return self._start(["-c", _DISPLAY, *map(str, files)], **environment)

    def paints(self) -> list[dict[str, Any]]:
        return _lines(self.painted)

    def last_shown(self) -> int:
        shown = [p["sequence"] for p in self.paints() if p["shown"] == "fresh"]
        return int(shown[-1]) if shown else -1

    def wait(self, condition, what: str) -> None:
        end_s = time.monotonic() + _DEADLINE_S
        while not condition():
            for process in self._all:
                if process.child.poll() not in (None, 0, -signal.SIGKILL):
                    pytest.fail(f"a child ended:\n{process.output.read_text()}")
            if time.monotonic() > end_s:
                said = "\n".join(p.output.read_text() for p in self._all)
                pytest.fail(f"{what}: not within {_DEADLINE_S:.0f} s\n{said}")
            time.sleep(0.02)

    def _start(self, arguments: list[str], **environment: str) -> Process:
        output = self.folder / f"output-{len(self._all)}.txt"
        surroundings = {**os.environ, "QT_QPA_PLATFORM": "offscreen", **environment}
        with output.open("w") as out:
            child = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=_ROOT,
                env={k: v for k, v in surroundings.items() if v},
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
            )
        process = Process(child, output)
        self._all.append(process)
        return process

    def close(self) -> None:
        for process in self._all:
            if process.child.poll() is None:
                process.child.kill()
            process.child.wait()


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    whole = path.read_text().rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


@pytest.fixture
def house(tmp_path):
    made = House(tmp_path)
    yield made
    made.close()


def test_display_shows_pictures_and_ends_on_sigterm_with_a_screenshot(house):
    house.service("--pause-s", "0.2")
    display = house.display()
    house.wait(house.screenshot.exists, "the screenshot of a complete trial")
    display.tell(signal.SIGTERM)
    assert display.wait() == 0, display.output.read_text()
    assert display.output.read_text() == ""
    with Image.open(house.screenshot) as image:
        assert image.size == (1600, 900)
        pixels = np.asarray(image.convert("RGB")).astype(int)
    picture = pixels[124:612, 32:520]
    assert (picture.max(axis=2) - picture.min(axis=2)).mean() > 15, "in colour: not stale"
    assert pixels[690:760, 700:760].std() > 20, "the newest trial stands in the strip"
    ages = [p["age_ms"] for p in house.paints() if p["shown"] == "fresh"]
    assert 30 < min(ages) < 60, "the fake's pictures are 35 ms old when they are published"


def test_display_may_be_started_first_and_service_may_die_and_return(house):
    write_endpoints(house.endpoints, _free_endpoints())
    again = house.folder / "bind.json"
    write_endpoints(again, read_endpoints(house.endpoints))
    display = house.display()
    house.wait(lambda: len(house.paints()) > 5, "the waiting display's paints")
    assert {p["state"] for p in house.paints()} == {"no contact yet"}
    service = house.service("--bind", str(again))
    house.wait(lambda: house.last_shown() > 60, "pictures")
    service.tell(signal.SIGKILL)
    service.wait()
    house.wait(lambda: house.paints()[-1]["state"] == "gone", "the state 'no service'")
    assert house.paints()[-1]["shown"] == "stale"
    house.service("--bind", str(again), "--seed", "1")
    house.wait(lambda: 0 <= house.last_shown() < 50, "pictures that count from zero again")
    display.tell(signal.SIGINT)
    assert display.wait() == 0, display.output.read_text()


def test_killing_the_display_does_not_disturb_the_service(house):
    service = house.service()
    first = house.display()
    house.wait(lambda: house.last_shown() > 0, "pictures")
    first.tell(signal.SIGKILL)
    first.wait()
    before = len(_lines(house.published))
    house.display()
    house.wait(lambda: house.last_shown() > before, "pictures in the second display")
    assert service.child.poll() is None
    sequences = [line["sequence"] for line in _lines(house.published)]
    assert sequences == list(range(len(sequences)))


@pytest.mark.slow
@pytest.mark.parametrize("rate_hz", [40, 15])
def test_a_display_stalled_for_five_seconds_first_paints_a_picture_two_frames_old_at_most(
    house, rate_hz
):
    house.service("--rate", str(rate_hz))
    display = house.display()
    house.wait(lambda: house.last_shown() > 40, "pictures")
    display.tell(signal.SIGSTOP)
    n_before = len(house.paints())
    end_s = time.monotonic() + 5
    while time.monotonic() < end_s:
        time.sleep(0.05)
    woken_s = time.monotonic()
    display.tell(signal.SIGCONT)
    house.wait(lambda: len(house.paints()) > n_before + 20, "paints after the stall")
    after = [p for p in house.paints()[n_before:] if p["time_s"] >= woken_s]
    first = next(p for p in after if p["sequence"] is not None)
    published = [p["sequence"] for p in _lines(house.published) if p["sent_s"] <= first["time_s"]]
    assert max(published) - first["sequence"] <= 2, after[:20]
    assert first["shown"] == "fresh"
    assert first["age_ms"] < 35 + 2 * 1000 / rate_hz
    assert first["time_s"] - woken_s < 1.0
    age_ms = 1000 * (first["time_s"] - _time_of(house, first["sequence"])) + 35
    assert first["age_ms"] == pytest.approx(age_ms, abs=10), "the age is the truth"


def _time_of(house: House, sequence: int) -> float:
    return next(p["stamped_s"] for p in _lines(house.published) if p["sequence"] == sequence)


def test_without_a_screen_the_display_says_so_in_one_line(house):
    write_endpoints(house.endpoints, _free_endpoints())
    display = house.display(QT_QPA_PLATFORM="", DISPLAY="", WAYLAND_DISPLAY="")
    assert display.wait() != 0
    assert (
        "neither DISPLAY nor WAYLAND_DISPLAY is set" in display.output.read_text().splitlines()[-1]
    )


def test_importing_the_display_loads_no_qt():
    code = (
        "import sys, b2g_rt.display, b2g_rt.display.app, b2g_rt.display.newest, b2g_rt.display.subscriber;"
        "sys.exit(any(m.startswith(('PySide6', 'pyqtgraph', 'zmq')) for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=_ROOT, check=False).returncode == 0


def _free_endpoints() -> Endpoints:
    import socket

    held = [socket.socket() for _ in range(4)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    addresses = [f"tcp://127.0.0.1:{one.getsockname()[1]}" for one in held]
    for one in held:
        one.close()
    return Endpoints(*addresses)
