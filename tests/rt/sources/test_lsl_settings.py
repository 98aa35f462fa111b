"""Private LSL sessions, shown with real processes: one holds an outlet, others look for it."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from b2g_rt.errors import LslAlreadyLoaded
from b2g_rt.sources.lsl_settings import use_private_lsl

_OUTLET = """
import sys
from pathlib import Path
from b2g_rt.sources.lsl_settings import use_private_lsl
use_private_lsl(Path(sys.argv[1]), sys.argv[2])
import pylsl
outlet = pylsl.StreamOutlet(pylsl.StreamInfo("private", "test", 1, 100, "float32", "private-1"))
print("ready", flush=True)
sys.stdin.read()
"""

_RESOLVE = """
import sys
from pathlib import Path
from b2g_rt.sources.lsl_settings import use_private_lsl
use_private_lsl(Path(sys.argv[1]), sys.argv[2])
import pylsl
print(len(pylsl.resolve_byprop("name", "private", 1, timeout=float(sys.argv[3]))))
"""

_USE_LSL = "import pylsl; pylsl.StreamInfo(); print(pylsl.local_clock() > 0)"


def _run(code: str, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=30, check=False
    )


def _n_found(directory: Path, session_id: str, timeout_s: float) -> int:
    done = _run(_RESOLVE, str(directory), session_id, str(timeout_s))
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@contextmanager
def _outlet(directory: Path, session_id: str) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-c", _OUTLET, str(directory), session_id],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            yield
        finally:
            process.stdin.close()
            process.wait(timeout=20)


@pytest.fixture
def lsl_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put this process's LSLAPICFG back after the test, and let pylsl count as not loaded."""
    monkeypatch.setenv("LSLAPICFG", os.environ["LSLAPICFG"])
    monkeypatch.delitem(sys.modules, "pylsl", raising=False)


@pytest.mark.live
def test_same_session_id_sees_the_stream_and_another_does_not(tmp_path: Path) -> None:
    mine, other = f"test-{os.getpid()}-a", f"test-{os.getpid()}-b"
    with _outlet(tmp_path / "outlet", mine):
        assert _n_found(tmp_path / "same", mine, timeout_s=10) == 1
        assert _n_found(tmp_path / "other", other, timeout_s=1.5) == 0
        assert _n_found(tmp_path / "same", mine, timeout_s=10) == 1, "the outlet was gone meanwhile"


@pytest.mark.live
def test_liblsl_says_that_it_read_our_file(tmp_path: Path, lsl_environment: None) -> None:
    path = use_private_lsl(tmp_path)
    path.write_text(path.read_text().replace("level = -2", "level = 0"))
    done = _run(_USE_LSL)
    assert done.returncode == 0, done.stderr
    assert f"Configuration loaded from {path}" in done.stderr


@pytest.mark.live
def test_liblsl_complains_about_a_wrong_value_in_our_file(
    tmp_path: Path, lsl_environment: None
) -> None:
    path = use_private_lsl(tmp_path)
    path.write_text(path.read_text().replace("ResolveScope = machine", "ResolveScope = nowhere"))
    done = _run(_USE_LSL)
    assert f"Error parsing config file '{path}'" in done.stderr
    assert "Loaded default config" in done.stderr  # so a wrong file would not be private


def test_settings_after_pylsl_is_loaded_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pylsl", sys)
    with pytest.raises(LslAlreadyLoaded, match="Call use_private_lsl before"):
        use_private_lsl(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_file_holds_what_keeps_a_session_private(tmp_path: Path, lsl_environment: None) -> None:
    path = use_private_lsl(tmp_path / "made", "rig-2_b")
    settings = configparser.ConfigParser()
    settings.read(path)
    assert os.environ["LSLAPICFG"] == str(path)
    assert path.is_absolute()
    assert settings["lab"]["SessionID"] == "rig-2_b"
    assert settings["lab"]["KnownPeers"] == "{127.0.0.1}"
    assert settings["multicast"]["ResolveScope"] == "machine"
    assert int(settings["ports"]["PortRange"]) > 32


def test_session_ids_are_drawn_anew_each_time(tmp_path: Path, lsl_environment: None) -> None:
    assert use_private_lsl(tmp_path).read_text() != use_private_lsl(tmp_path).read_text()


@pytest.mark.parametrize("session_id", ["", "a b", "a;b", "a\nb", "é", "a'b"])
def test_session_ids_that_liblsl_would_misread_are_refused(
    tmp_path: Path, lsl_environment: None, session_id: str
) -> None:
    with pytest.raises(ValueError, match="session id"):
        use_private_lsl(tmp_path, session_id)


def test_the_test_suite_itself_runs_in_a_private_session() -> None:
    assert "SessionID = b2g-" in Path(os.environ["LSLAPICFG"]).read_text()
