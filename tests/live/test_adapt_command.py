"""``b2g-rt adapt`` against a running service: real processes, real sockets; a mistake is one line and exit code 2."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.live.test_adaptation import ON, show
from tests.live.test_service import rig

pytestmark = [pytest.mark.live, pytest.mark.slow]


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "b2g_rt", "adapt", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )


def the_line(result: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert (result.returncode, len(lines)) == (2, 1), result.stderr
    assert "Traceback" not in result.stderr
    return lines[0]


def test_the_command_reaches_the_running_service(tmp_path):
    endpoints = tmp_path / "endpoints.json"
    here = ("--endpoints", endpoints)
    with rig(tmp_path, *ON[1:], f"publish.endpoints_file={endpoints}") as r:
        assert "online ridge is off" in the_line(command("freeze", *here))
        started = command("start", *here)
        assert (started.returncode, "started" in started.stdout) == (0, True), started.stderr
        show(r, "face-0000", "face-0001")
        said = command("status", *here).stdout
        assert "learning, 2 trials learnt" in said
        assert "over the same 2 trials" in said
        assert "at most the 2" in the_line(command("rollback", "--trials", 3, *here))
        assert "frozen" in command("freeze", *here).stdout
        assert "the bundle's decoder" in command("rollback", *here).stdout
        assert "frozen and has no days" in the_line(command("new-day", *here))
    assert "nobody answered" in the_line(command("status", *here))
    assert "--trials belongs to rollback" in the_line(command("freeze", "--trials", 3, *here))
    assert "Give --endpoints" in the_line(command("--set", "publish.control_port=0"))
