"""Importing b2g_rt is light and does nothing: looked at in fresh processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import b2g_rt

_HEAVY = (
    "PySide6",
    "matplotlib",
    "numba",
    "offline",
    "onnxruntime",
    "pylsl",
    "pyqtgraph",
    "scipy.signal",
    "torch",
    "torchvision",
)
# What --help may not load: everything heavy. Listing a room's own modules is fine.
_LOADED = f"""
import json, sys
print(json.dumps([name for name in {_HEAVY!r} if name in sys.modules]))
"""

_IMPORT_EVERYTHING = """
import importlib, json, logging, os, pkgutil, signal, sys, threading
signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
environment = dict(os.environ)
hook, threads = sys.excepthook, threading.active_count()
import b2g_rt
names = ["b2g_rt"]
for found in pkgutil.walk_packages(b2g_rt.__path__, "b2g_rt."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
        names.append(found.name)
ours = [logging.getLogger(name) for name in names]
faults = {
    "threads started": [t.name for t in threading.enumerate()[threads:]],
    "handlers on the root logger": [repr(h) for h in logging.getLogger().handlers],
    "handlers on our loggers": [repr(h) for log in ours for h in log.handlers],
    "environment changed": sorted(
        k for k in {**environment, **os.environ} if environment.get(k) != os.environ.get(k)
    ),
    "signal handlers set": [
        int(n) for n, h in signals.items() if signal.getsignal(n) is not h
    ],
    "excepthook set": [] if sys.excepthook is hook else [repr(sys.excepthook)],
    "torch or offline loaded": [n for n in ("torch", "offline") if n in sys.modules],
    "Qt application made": (
        ["QApplication"]
        if "PySide6.QtCore" in sys.modules
        and sys.modules["PySide6.QtCore"].QCoreApplication.instance()
        else []
    ),
}
print(json.dumps({what: found for what, found in faults.items() if found}))
"""


def _python(code: str, tmp_path: Path, *args: str) -> str:
    """Last line that a fresh interpreter prints, run in an empty folder that is its home too."""
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "PYTEST", "QT_"))
    }
    environment |= {"HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, *args],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    left = [str(path.relative_to(home)) for path in home.rglob("*")]
    assert left == [], "importing left files behind"
    return done.stdout.splitlines()[-1]


def _modules_of(*packages: str) -> list[str]:
    root = Path(b2g_rt.__file__).parent
    paths = (path for package in packages for path in (root / package).rglob("*.py"))
    return sorted(
        ".".join(("b2g_rt", *path.relative_to(root).with_suffix("").parts)).removesuffix(
            ".__init__"
        )
        for path in paths
    )


def test_import_b2g_rt_loads_nothing_heavy(tmp_path: Path) -> None:
    assert json.loads(_python("import b2g_rt" + _LOADED, tmp_path)) == []


def test_the_hall_config_and_cli_load_nothing_heavy(tmp_path: Path) -> None:
    names = ["b2g_rt.errors", "b2g_rt.config", "b2g_rt.cli"]
    names += _modules_of("contracts", "mua", "simulation")
    code = "".join(f"import {name}\n" for name in names)
    assert json.loads(_python(code + _LOADED, tmp_path)) == []


def test_importing_every_module_does_nothing_but_define_names(tmp_path: Path) -> None:
    assert json.loads(_python(_IMPORT_EVERYTHING, tmp_path)) == {}


@pytest.mark.parametrize(
    "command",
    ["", "demo", "serve", "adapt", "display", "replay", "simulate", "record", "bench", "doctor"],
)
def test_help_loads_nothing_heavy(tmp_path: Path, command: str) -> None:
    code = """
import sys
from b2g_rt.cli import main
sys.argv = ["b2g-rt", *sys.argv[1:], "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""
    args = [command] if command else []
    assert json.loads(_python(code + _LOADED, tmp_path, *args)) == []
