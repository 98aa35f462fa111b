"""`.ci/setup.sh`, which `make` calls first: what it says where it cannot go on.

Only refusals: a whole set-up takes minutes and a network, and every CI run does one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_TOOLS = ("bash", "cat", "dirname", "env", "flock", "grep", "head", "id", "mkdir", "paste", "tr")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout without .venv, and a folder `bin` with tools but without any Python."""
    folder = tmp_path / "checkout"
    (folder / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci/setup.sh", folder / ".ci")
    shutil.copy(ROOT / "pyproject.toml", folder)
    shutil.copy(ROOT / "constraints.txt", folder)
    (folder / "bin").mkdir()
    for tool in _TOOLS:
        found = shutil.which(tool)
        assert found is not None, tool
        (folder / "bin" / tool).symlink_to(found)
    return folder


def _shim(checkout: Path, name: str, script: str) -> None:
    shim = checkout / "bin" / name
    shim.write_text(f"#!{checkout}/bin/bash\n{script}\n")
    shim.chmod(0o755)


def _setup(checkout: Path, layer: str = "runtime", **environment: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [checkout / "bin/bash", checkout / ".ci/setup.sh", layer],
        env={"PATH": str(checkout / "bin"), "HOME": os.environ["HOME"], **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert not (checkout / ".venv").exists()
    return done.returncode, (done.stdout + done.stderr).splitlines()


def test_without_python_it_says_so_in_one_line(checkout: Path) -> None:
    code, (line,) = _setup(checkout)
    assert code == 2
    assert "no Python 3.11 or newer found" in line
    assert "make PYTHON=" in line


def test_a_python_that_is_too_old_or_only_a_shim_is_passed_over(checkout: Path) -> None:
    _shim(checkout, "python3.12", "echo 'python3.12: command not found'; exit 127")
    _shim(checkout, "python3", "exit 1")  # what an old one answers when asked for >= 3.11
    code, (line,) = _setup(checkout)
    assert code == 2
    assert "no Python 3.11 or newer found" in line


def test_a_wrong_PYTHON_is_named(checkout: Path) -> None:
    code, (line,) = _setup(checkout, PYTHON="/no/such/python")
    assert code == 2
    assert "PYTHON=/no/such/python does not run or is older than 3.11" in line


def test_an_unknown_layer_is_refused(checkout: Path) -> None:
    code, (line,) = _setup(checkout, layer="everything")
    assert code == 2
    assert "runtime or dev expected" in line
