"""A recorder that is killed, and one that is watched: real processes, real SIGKILL."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time

import h5py
import numpy as np
import pytest

from b2g_rt.contracts.recorded_frames import read_events, read_frames
from b2g_rt.contracts.session import SessionFile
from b2g_rt.errors import SessionError
from b2g_rt.outputs.session_repair import repair
from tests.rt.outputs.test_recorder import feed, open_recorder, rows_of

pytestmark = pytest.mark.live
DEADLINE_S = 20.0

# Tells after each second's worth of what it handed over, and when: that much must be in the file a second later.
RECORDING = """
    import sys, time
    from pathlib import Path
    sys.path.insert(0, {root!r})
    from tests.rt.outputs import made_messages as made
    from tests.rt.outputs.test_recorder import feed, open_recorder
    recorder = open_recorder(Path({path!r}), flush_s=0.5, stimuli=(["face-0"], made_stimuli()))
    started = time.monotonic()
    k = 0
    while True:
        while k > (time.monotonic() - started) * 4000:
            time.sleep(0.002)
        feed(recorder, k, k + 40, chunk=10)
        recorder.frame(made.frame(k // 40, image=True))
        recorder.marker(k / 1000, f"marker {{k}}")
        recorder.event(made.event(f"event {{k}}", k / 1000))
        k += 40
        print(k, time.monotonic(), flush=True)
"""


@contextlib.contextmanager
def recording(path, root):
    """Run a recording process; what it prints goes to ``handed_over.log`` beside the file."""
    script = textwrap.dedent(RECORDING.format(root=str(root), path=str(path)))
    script = script.replace("made_stimuli()", "__import__('numpy').ones((1, 8), 'f4')")
    log = path.with_name("handed_over.log")
    with log.open("w") as out:
        child = subprocess.Popen([sys.executable, "-c", script], stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + DEADLINE_S
        while log.stat().st_size == 0 and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert child.poll() is None, log.read_text()
        yield child
        assert child.poll() in (None, -signal.SIGKILL), log.read_text()
    finally:
        child.kill()
        child.wait()


def killed_after(path, root, seconds: float) -> int:
    """Kill a recording; return how many samples had been handed over one second before."""
    with recording(path, root) as child:
        threading.Event().wait(seconds)
        killed = time.monotonic()
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    lines = path.with_name("handed_over.log").read_text().splitlines()
    told = [(int(n), float(t)) for n, t in (line.split() for line in lines if line.count(" ") == 1)]
    return max((n for n, t in told if t <= killed - 1.0), default=0)


def check_content(path, at_least: int) -> None:
    with SessionFile(path) as session:
        n = session.n_samples
        assert n >= at_least
        np.testing.assert_array_equal(session.index(), np.arange(n))
        np.testing.assert_array_equal(session.mua(0, n), rows_of(np.arange(n)))
        np.testing.assert_array_equal(session.time_s(), np.arange(n) / 1000.0)
        markers = session.markers()
        assert [m.text for m in markers] == [f"marker {40 * k}" for k in range(len(markers))]
        frames = read_frames(session)
        assert frames.sequence.tolist() == list(range(len(frames)))
        assert all(
            image.startswith(b"\xff\xd8") and image.endswith(b"\xff\xd9") for image in frames.image
        )
        np.testing.assert_array_equal(frames.latent[:, 0], frames.sequence)
        events = read_events(session)
        assert [e["text"] for e in events] == [f"event {40 * k}" for k in range(len(events))]
        assert min(len(markers), len(frames), len(events)) >= at_least // 40
        assert session.file["stimuli/id"][0] == b"face-0"


def kill_repair_and_check(folder, root, seconds: float) -> None:
    path = folder / "session.h5"
    at_least = killed_after(path, root, seconds)
    assert at_least > 0 or seconds < 1.2
    check_content(path, at_least)
    before = path.read_bytes()
    clean = repair(path)
    assert clean.name == "session-repaired.h5"
    assert path.read_bytes() == before
    with h5py.File(clean, "r"):
        check_content(clean, at_least)


def test_after_a_kill_everything_but_the_last_second_can_be_read_and_repaired(tmp_path, request):
    kill_repair_and_check(tmp_path, request.config.rootpath, 1.7)


@pytest.mark.slow
@pytest.mark.parametrize("run", range(6))
def test_a_kill_at_any_moment_costs_at_most_a_second(tmp_path, request, run):
    kill_repair_and_check(
        tmp_path, request.config.rootpath, 0.2 + 3.0 * random.Random(run).random()
    )


def test_a_second_process_sees_the_recording_grow(tmp_path, request):
    path = tmp_path / "session.h5"
    with recording(path, request.config.rootpath):
        seen: list[int] = []
        deadline = time.monotonic() + DEADLINE_S
        while len(seen) < 3:
            assert time.monotonic() < deadline
            with SessionFile(path) as session:
                n = session.n_samples
                np.testing.assert_array_equal(session.mua(0, n), rows_of(np.arange(n)))
            if n > (seen[-1] if seen else 0):
                seen.append(n)
    assert seen == sorted(seen)


def test_a_file_without_any_sample_can_be_repaired(tmp_path):
    path = tmp_path / "session.h5"
    open_recorder(path).close()
    with SessionFile(repair(path)) as session:
        assert session.n_samples == 0
        assert session.markers() == []


def test_a_repaired_file_is_never_overwritten(tmp_path):
    path = tmp_path / "session.h5"
    with open_recorder(path) as recorder:
        feed(recorder, 0, 10)
    repair(path)
    with pytest.raises(SessionError, match="never overwritten"):
        repair(path)
    assert repair(path, tmp_path / "other.h5") == tmp_path / "other.h5"


def test_what_is_no_session_cannot_be_repaired(tmp_path):
    (tmp_path / "junk.h5").write_bytes(b"junk" * 1000)
    with pytest.raises(SessionError, match="expected an HDF5 file"):
        repair(tmp_path / "junk.h5")
    assert not (tmp_path / "junk-repaired.h5").exists()
