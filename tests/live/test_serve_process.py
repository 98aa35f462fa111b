"""``b2g-rt serve`` as users run it: a process that is asked to end, killed, and started without a stream."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pylsl
import pytest

from b2g_rt.contracts.endpoints import read_endpoints
from b2g_rt.contracts.session import SessionFile
from b2g_rt.outputs.session_repair import repair
from tests.live.outlets import MarkerOutlet, MuaOutlet
from tests.tiny_bundle import write_tiny_bundle

pytestmark = pytest.mark.live
DEADLINE_S = 30.0


@contextmanager
def serving(tmp_path: Path, name: str, *sets: str) -> Iterator[subprocess.Popen[str]]:
    """Start a service and wait until it publishes."""
    bundle = write_tiny_bundle(tmp_path / "tiny").path
    endpoints = tmp_path / "endpoints.json"
    pairs = [
        f"bundle={bundle}",
        f"streams.mua.name=mua-{name}",
        f"streams.markers.name=markers-{name}",
        f"publish.endpoints_file={endpoints}",
        f"record.path={tmp_path / 'session.h5'}",
        *(f"publish.{topic}_port=0" for topic in ("pictures", "events", "activity", "status")),
        *sets,
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "b2g_rt", "serve", *(p for s in pairs for p in ("--set", s))],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        deadline = time.monotonic() + DEADLINE_S
        while not endpoints.exists():
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


def stream(name: str, n_trials: int) -> tuple[MuaOutlet, MarkerOutlet]:
    """Send trials to the service, everything at once, and return the outlets: they must live until it has read."""
    mua, markers = MuaOutlet(f"mua-{name}"), MarkerOutlet(f"markers-{name}")
    mua.wait_for_reader()
    markers.wait_for_reader()
    mua.start_s = pylsl.local_clock()
    for i in range(n_trials):
        onset = 400 + 400 * i
        mua.push(onset + 1 - mua.sent)
        markers.push(f"face-{i:04d}", mua.time_of(onset))
    mua.push(400)
    return mua, markers


def wait_for_rows(path: Path, n: int) -> None:
    """Read a file that is being written until it holds ``n`` samples."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        with SessionFile(path) as session:
            if session.n_samples >= n:
                return
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_asked_to_end_it_ends_cleanly_with_everything_written(tmp_path, number):
    name = uuid.uuid4().hex[:8]
    path = tmp_path / "session.h5"
    with serving(tmp_path, name) as process:
        mua, _markers = stream(name, 3)
        wait_for_rows(path, mua.sent)
        process.send_signal(number)
        output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, output
    assert "27 windows due, 27 decoded, 0 dropped" in output
    assert f"recorded {mua.sent} samples" in output
    with SessionFile(path) as session:
        np.testing.assert_array_equal(session.mua(0, session.n_samples)[:, 0], np.arange(mua.sent))
        assert [m.text for m in session.markers()] == ["face-0000", "face-0001", "face-0002"]
        assert len(session.group("frames")["sequence"]) == 27


def test_killed_its_recording_is_readable_and_can_be_mended(tmp_path):
    name = uuid.uuid4().hex[:8]
    path = tmp_path / "session.h5"
    with serving(tmp_path, name) as process:
        mua, _markers = stream(name, 3)
        wait_for_rows(path, mua.sent)
        process.kill()
        process.wait(10)
    mended = repair(path)
    for file in (path, mended):
        with SessionFile(file) as session:
            np.testing.assert_array_equal(
                session.mua(0, session.n_samples)[:, 0], np.arange(mua.sent)
            )


def test_it_starts_without_a_stream_and_finds_it_later(tmp_path):
    name = uuid.uuid4().hex[:8]
    with serving(tmp_path, name) as process:
        assert read_endpoints(tmp_path / "endpoints.json").pictures.startswith("tcp://127.0.0.1:")
        assert psutil.Process(process.pid).is_running()
        mua, _markers = stream(name, 1)
        wait_for_rows(tmp_path / "session.h5", mua.sent)
        process.terminate()
        output, _ = process.communicate(timeout=DEADLINE_S)
    assert "9 windows due, 9 decoded" in output


def test_a_stream_that_does_not_fit_is_refused_once_and_the_right_one_is_still_taken(tmp_path):
    name = uuid.uuid4().hex[:8]
    with serving(tmp_path, name) as process:
        wrong = MuaOutlet(f"mua-{name}", n_columns=64, source_id="wrong")
        assert process.stdout is not None
        said = ""
        while "64 x float32" not in said:
            said = process.stdout.readline()
            assert said, "the service ended"
        assert "192" in said
        wrong.close()
        mua, _markers = stream(name, 1)
        wait_for_rows(tmp_path / "session.h5", mua.sent)
        process.terminate()
        output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0
    assert "9 windows due, 9 decoded" in output
    assert "64 x float32" not in output
