"""``b2g-rt record`` as users run it: interrupted early, given a bad place, and a stream that changes under it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from b2g_rt.contracts.session import SessionFile
from tests.live.outlets import MuaOutlet
from tests.tiny_bundle import write_tiny_bundle

pytestmark = pytest.mark.live
DEADLINE_S = 40.0


class Recording:
    """The command as a process; its output is gathered as it comes."""

    def __init__(self, bundle: Path, out: Path, name: str, *sets: str) -> None:
        pairs = (f"bundle={bundle}", f"streams.mua.name={name}", "streams.markers=null", *sets)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "b2g_rt", "record", str(out)]
            + [part for pair in pairs for part in ("--set", pair)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.output = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line

    def wait_for(self, text: str) -> None:
        end = time.monotonic() + DEADLINE_S
        while text not in self.output:
            assert self.process.poll() is None, self.output
            assert time.monotonic() < end, self.output
            time.sleep(0.02)

    def finish(self) -> int:
        code = self.process.wait(DEADLINE_S)
        self._reader.join(10)
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.finish()
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextmanager
def recording(tmp_path: Path, out: Path, name: str, *sets: str) -> Iterator[Recording]:
    bundle = write_tiny_bundle(tmp_path / "tiny").path
    running = Recording(bundle, out, name, *sets)
    try:
        yield running
    finally:
        running.close()


@pytest.fixture
def name() -> str:
    return f"mua-{uuid.uuid4().hex[:8]}"


def wait_until_looking(running: Recording) -> None:
    """Wait until liblsl is loaded: the stream is looked for from then on."""
    end = time.monotonic() + DEADLINE_S
    maps = Path(f"/proc/{running.process.pid}/maps")
    while "liblsl" not in maps.read_text():
        assert running.process.poll() is None, running.output
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_interrupted_while_it_looks_for_the_stream_it_ends_at_once_with_130(tmp_path, name):
    out = tmp_path / "session.h5"
    with recording(tmp_path, out, name, "streams.resolve_timeout_s=600") as running:
        wait_until_looking(running)
        running.process.send_signal(signal.SIGINT)
        code = running.finish()
    assert code == 130, running.output
    assert "interrupted" in running.output
    assert "Traceback" not in running.output
    assert not out.exists()


@pytest.mark.parametrize("place", ["a file is the folder", "there already"])
def test_a_place_that_cannot_be_written_is_said_before_the_stream_is_looked_for(
    tmp_path, name, place
):
    out = tmp_path / "file" / "session.h5"
    if place == "there already":
        out.parent.mkdir()
        out.write_bytes(b"precious")
    else:
        out.parent.write_bytes(b"")
    with recording(tmp_path, out, name, "streams.resolve_timeout_s=600") as running:
        code = running.finish()
    assert code == 2
    lines = [line for line in running.output.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, running.output
    assert str(out) in lines[0]
    assert "Traceback" not in running.output
    if place == "there already":
        assert out.read_bytes() == b"precious"


def test_a_stream_that_returns_with_other_columns_is_said_once_and_the_recording_goes_on(
    tmp_path, name
):
    out = tmp_path / "session.h5"
    first = MuaOutlet(name)
    with recording(tmp_path, out, name) as running:
        running.wait_for("recording")
        first.wait_for_reader()
        first.push(500)
        wait_for_rows(out, 500)
        first.close()
        wrong = MuaOutlet(name, n_columns=32)
        running.wait_for("32 columns")
        wrong.close()
        again = MuaOutlet(name)
        running.wait_for("connected again")
        again.wait_for_reader()
        again.push(500)
        wait_for_rows(out, 1000)
        running.process.send_signal(signal.SIGINT)
        code = running.finish()
        again.close()
    assert code == 0, running.output
    assert running.output.count("32 columns") == 1
    assert "1000 of " in running.output
    assert "Traceback" not in running.output
    with SessionFile(out) as session:
        counter = session.mua(0, session.n_samples)[:, 0]
        np.testing.assert_array_equal(counter, np.r_[0:500, 0:500])


def test_interrupted_at_once_after_connecting_it_still_closes_its_file(tmp_path, name):
    out = tmp_path / "session.h5"
    outlet = MuaOutlet(name)
    with recording(tmp_path, out, name) as running:
        running.wait_for("recording")
        running.process.send_signal(signal.SIGINT)
        code = running.finish()
    outlet.close()
    assert code == 0, running.output
    assert "recorded 0 samples" in running.output
    assert "Traceback" not in running.output


def wait_for_rows(path: Path, n: int) -> None:
    """Read a file that is being written until it holds ``n`` samples."""
    end = time.monotonic() + DEADLINE_S
    while True:
        with SessionFile(path) as session:
            if session.n_samples >= n:
                return
        assert time.monotonic() < end
        time.sleep(0.05)
