"""Session recorder: what is handed over is in the file, whatever the disk does. Real HDF5 files."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time

import h5py
import numpy as np
import pytest

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.contracts.messages import Flags, Image, latent_of, pixels_of
from b2g_rt.contracts.recorded_frames import (
    FLAGS,
    STAGES,
    flag_bits,
    flags_of,
    read_events,
    read_frames,
)
from b2g_rt.contracts.session import SessionFile, SessionInfo
from b2g_rt.errors import SessionError
from b2g_rt.outputs import recorder as recorder_module
from b2g_rt.outputs.recorder import Recorder
from b2g_rt.outputs.session_repair import repair
from tests.rt.outputs import made_messages as made

N_COLUMNS = 64
INFO = SessionInfo(
    rate_hz=1000.0,
    unit="uV",
    channel_map=ChannelMap(N_COLUMNS, (ArraySlot(0, "V1", 0),)),
    simulated=True,
    speed=1.0,
    provenance={"made": "up"},
)
DEADLINE_S = 20.0


def rows_of(index: np.ndarray) -> np.ndarray:
    """Counter in column 0, so that each row can be placed."""
    return (index[:, None] + np.linspace(0, 0.5, N_COLUMNS)[None, :]).astype(np.float32)


def feed(recorder: Recorder, start: int, stop: int, chunk: int = 10) -> None:
    for k in range(start, stop, chunk):
        index = np.arange(k, min(k + chunk, stop))
        recorder.samples(rows_of(index), index / 1000.0, index)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "session.h5"


def open_recorder(path, **changes) -> Recorder:
    settings = {"flush_s": 0.1, "images": "jpeg", "n_latents": 8}
    return Recorder(path, INFO, N_COLUMNS, **{**settings, **changes})


def wait_until(condition) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "not within the deadline"
        time.sleep(0.01)


def test_a_recorded_session_reads_back_as_it_came_in(path):
    stimuli = (["face-0", "face-1"], np.arange(16, dtype=np.float32).reshape(2, 8))
    with open_recorder(path, stimuli=stimuli) as recorder:
        feed(recorder, 0, 1234, chunk=7)
        recorder.marker(0.5, "face-0")
        recorder.marker(0.9, "Ünknown ✓")
    assert recorder.n_samples == 1234
    with SessionFile(path) as session:
        assert session.info == INFO
        index = np.arange(1234)
        np.testing.assert_array_equal(session.mua(0, 2000), rows_of(index))
        np.testing.assert_array_equal(session.index(), index)
        np.testing.assert_array_equal(session.time_s(), index / 1000.0)
        assert [(m.time_s, m.text) for m in session.markers()] == [
            (0.5, "face-0"),
            (0.9, "Ünknown ✓"),
        ]
        back = session.stimuli()
    assert back is not None
    assert back[0] == stimuli[0]
    np.testing.assert_array_equal(back[1], stimuli[1])


def test_frames_read_back_with_all_they_carry(path):
    frames = [made.frame(0, image=True), made.frame(1), made.dropped(2)]
    with open_recorder(path) as recorder:
        for frame in frames:
            recorder.frame(frame)
    with SessionFile(path) as session:
        back = read_frames(session)
    assert len(back) == 3
    for name in (
        "sequence",
        "sample_start",
        "sample_stop",
        "window_idx",
        "n_windows",
        "n_lost",
        "n_bad_channels",
    ):
        assert getattr(back, name).tolist() == [getattr(f, name) for f in frames]
    assert back.window_stop_s.tolist() == [f.window_stop_s for f in frames]
    assert back.trial.tolist() == [0, 0, -1]
    assert back.stimulus == ["face-0", "face-0", ""]
    assert back.bundle == ["b" * 64] * 3
    assert np.isnan(back.onset_s).tolist() == [False, False, True]
    assert back.stamps[0].tolist() == [getattr(frames[0].stamps, s) for s in STAGES]
    assert np.isnan(back.stamps[2]).tolist() == [False, False, False, True, True, True]
    np.testing.assert_array_equal(back.latent[1], latent_of(frames[1]))
    assert np.isnan(back.latent[2]).all()
    assert back.flagged("dropped").tolist() == [False, False, True]
    assert back.flagged("late").tolist() == [False, False, False]
    assert back.image[1:] == [b"", b""]
    pixels = pixels_of(Image("jpeg", 16, 16, back.image[0]))
    assert np.abs(pixels.astype(int) - made.picture().astype(int)).mean() < 6


@pytest.mark.parametrize("bits", range(1 << len(FLAGS)))
def test_flags_survive_as_bits(bits):
    assert flag_bits(flags_of(bits)) == bits


def test_flag_bits_are_the_documented_ones():
    assert flag_bits(Flags(gap=True)) == 1
    assert flag_bits(Flags(dropped=True, skipped=True)) == 24
    assert flag_bits(Flags(adapted=True)) == 32


def test_no_images_are_kept_when_none_are_wanted(path):
    with open_recorder(path, images="none") as recorder:
        recorder.frame(made.frame(0, image=True))
    with SessionFile(path) as session:
        assert read_frames(session).image == [b""]


def test_events_read_back_as_dictionaries(path):
    with open_recorder(path) as recorder:
        recorder.event(made.event())
        recorder.event(made.stimulus())
        recorder.event(made.trial())
        recorder.event(made.encoding())
    with SessionFile(path) as session:
        gap, stimulus, trial, encoding = read_events(session)
        assert session.file["events/time_s"][:2].tolist() == [12.5, 11.25]
        assert np.isnan(session.file["events/time_s"][2:4]).all()
    assert (gap["type"], gap["text"]) == ("event", made.event().text)
    assert (stimulus["type"], stimulus["image"]) == ("stimulus", None)
    assert (trial["type"], trial["two_way"]) == ("trial", 0.8)
    assert (encoding["type"], encoding["agreement"][0]["r"]) == ("encoding", 0.5)
    assert not {"predicted", "observed", "trial_r"} & encoding.keys()


def test_a_recording_without_decoder_has_no_frames(path):
    with open_recorder(path, n_latents=None) as recorder:
        feed(recorder, 0, 10)
        with pytest.raises(ValueError, match="takes no frames"):
            recorder.frame(made.frame())
    with SessionFile(path) as session, pytest.raises(SessionError, match="no frames"):
        read_frames(session)


def test_a_late_sample_stands_at_the_end_with_the_index_where_it_belongs(path):
    with open_recorder(path) as recorder:
        feed(recorder, 0, 10)
        feed(recorder, 20, 30)
        feed(recorder, 10, 20)
    with SessionFile(path) as session:
        assert session.index().tolist() == [*range(10), *range(20, 30), *range(10, 20)]
        np.testing.assert_array_equal(session.mua(0, 30)[:, 0], session.index())


def test_the_callers_array_may_be_reused_at_once(path):
    buffer, times, index = np.zeros((5, N_COLUMNS), np.float32), np.zeros(5), np.arange(5)
    with open_recorder(path) as recorder:
        for k in range(20):
            buffer[:] = k
            recorder.samples(buffer, times, index)
        buffer[:] = -1
    with SessionFile(path) as session:
        np.testing.assert_array_equal(session.mua(0, 100)[:, 3], np.repeat(np.arange(20), 5))


def test_several_threads_may_hand_over(path):
    def frames():
        for k in range(500):
            recorder.frame(made.frame(k))

    def markers():
        for k in range(500):
            recorder.marker(k, str(k))

    with open_recorder(path) as recorder:
        threads = [
            threading.Thread(target=feed, args=(recorder, 0, 2000)),
            threading.Thread(target=frames),
            threading.Thread(target=markers),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with SessionFile(path) as session:
        assert session.n_samples == 2000
        assert read_frames(session).sequence.tolist() == list(range(500))
        assert [m.text for m in session.markers()] == [str(k) for k in range(500)]


def test_samples_of_the_wrong_shape_are_the_callers_fault(path):
    with open_recorder(path) as recorder, pytest.raises(ValueError, match="expected"):
        recorder.samples(np.zeros((3, N_COLUMNS + 1), np.float32), np.zeros(3), np.arange(3))


def test_an_existing_file_is_never_overwritten(path):
    path.write_bytes(b"precious")
    with pytest.raises(SessionError, match="never overwritten"):
        open_recorder(path)
    assert path.read_bytes() == b"precious"


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SessionError, match="expected a place that can be written") as error:
        open_recorder(tmp_path / "file" / "session.h5")
    assert "\n" not in str(error.value)


def test_missing_folders_are_made(tmp_path):
    open_recorder(tmp_path / "a" / "b" / "session.h5").close()
    assert (tmp_path / "a" / "b" / "session.h5").exists()


def test_what_is_handed_over_is_readable_while_recording(path):
    with open_recorder(path, flush_s=0.5) as recorder:
        feed(recorder, 0, 100)
        handed_over = time.monotonic()
        with SessionFile(path) as session:
            data = session.file["mua/data"]
            while len(data) < 100:
                assert time.monotonic() - handed_over < 20
                time.sleep(0.01)
                data.id.refresh()


def test_room_that_was_made_and_never_written_does_not_count(path):
    with open_recorder(path) as recorder:
        feed(recorder, 0, 100)
        recorder.marker(0.0, "face-0")
        recorder.frame(made.frame(0))
    with h5py.File(path, "r+") as file:
        for name in ("mua/data", "mua/time_s", "mua/index", "frames/sequence", "frames/latent"):
            file[name].resize(len(file[name]) + 7, axis=0)
        file["markers/text_stop"].resize(5, axis=0)
        assert np.isnan(file["mua/data"][-1]).all()
    clean = repair(path)
    for each in (path, clean):
        with SessionFile(each) as session:
            assert session.n_samples == 100
            assert len(session.index()) == 100
            assert len(session.mua(0, 1000)) == 100
            assert [m.text for m in session.markers()] == ["face-0"]
            assert read_frames(session).sequence.tolist() == [0]
    with h5py.File(clean, "r") as file:
        assert len(file["mua/data"]) == 100


class Stuck:
    """A disk that stands still until it is let go: the writer's real methods, behind a gate."""

    def __init__(self, recorder: Recorder, monkeypatch) -> None:
        self.gate = threading.Event()
        self.entered = threading.Event()
        real = recorder._writer.samples

        def samples(*arrays):
            self.entered.set()
            assert self.gate.wait(DEADLINE_S)
            real(*arrays)

        monkeypatch.setattr(recorder._writer, "samples", samples)


def test_a_disk_that_cannot_keep_up_is_said_and_the_gap_is_named(path, monkeypatch):
    told = []
    limit = 400 * (N_COLUMNS * 4 + 16)
    with open_recorder(
        path, flush_s=0.05, max_waiting_bytes=limit, on_trouble=lambda *line: told.append(line)
    ) as recorder:
        disk = Stuck(recorder, monkeypatch)
        feed(recorder, 0, 10)
        assert disk.entered.wait(DEADLINE_S)
        feed(recorder, 10, 200)
        assert [level for level, _ in told] == ["warning"]
        assert "cannot keep up" in told[0][1]
        feed(recorder, 200, 1000)
        recorder.marker(0.7, "face-0")
        recorder.frame(made.frame(1, image=True))
        assert recorder.waiting_bytes < 2 * limit
        assert recorder.n_refused == 600
        disk.gate.set()
        wait_until(lambda: len(told) == 3)
        feed(recorder, 1000, 1100)
    assert recorder.n_samples == 500
    with SessionFile(path) as session:
        assert session.index().tolist() == [*range(400), *range(1000, 1100)]
        assert len(session.markers()) == 1
        frames = read_frames(session)
        assert frames.sequence.tolist() == [1]
        assert frames.image == [b""]
        lines = [e["text"] for e in read_events(session)]
    assert "600 samples between index 400 and 1000 not recorded" in lines[0]
    assert "1 pictures left out" in lines[1]
    assert recorder.n_samples + recorder.n_refused == 1100
    assert [level for level, _ in told] == ["warning", "error", "error"]


def test_a_disk_nearly_full_ends_the_recording_with_a_clean_file(path, monkeypatch):
    told = []
    monkeypatch.setattr(recorder_module, "FSYNC_EVERY_S", 0.0)
    with open_recorder(path, on_trouble=lambda *line: told.append(line)) as recorder:
        monkeypatch.setattr(recorder_module, "RESERVE_BYTES", 1 << 60)
        feed(recorder, 0, 100)
        wait_until(lambda: recorder.failed)
        feed(recorder, 100, 200)
        recorder.marker(0.1, "after")
        recorder.frame(made.frame())
        assert recorder.waiting_bytes == 0
    assert recorder.n_refused == 100
    assert [level for level, _ in told] == ["error"]
    assert "free on the disk" in told[0][1]
    with h5py.File(path, "r") as clean:
        assert clean["mua/index"][:].tolist() == list(range(100))


def test_a_full_disk_is_said_before_a_file_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder_module, "RESERVE_BYTES", 1 << 60)
    with pytest.raises(SessionError, match="free on the disk"):
        open_recorder(tmp_path / "new" / "session.h5")
    assert not (tmp_path / "new").exists()


FULL_DISK = """
    import resource, signal, sys, time
    from pathlib import Path
    sys.path.insert(0, {root!r})
    from tests.rt.outputs.test_recorder import feed, open_recorder
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    told = []
    recorder = open_recorder(Path({path!r}), flush_s=0.02, on_trouble=lambda *line: told.append(line))
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, 4_000_000))
    deadline = time.monotonic() + 30
    k = 0
    while not recorder.failed and time.monotonic() < deadline:
        feed(recorder, k, k + 500)
        k += 500
        time.sleep(0.01)
    recorder.close()
    assert recorder.n_samples + recorder.n_refused == k, (recorder.n_samples, recorder.n_refused, k)
    print(len(told), told[0][0], told[0][1])
"""


def test_a_write_error_ends_the_recording_with_one_line_and_keeps_what_was_written(path, request):
    script = textwrap.dedent(FULL_DISK.format(root=str(request.config.rootpath), path=str(path)))
    child = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False
    )
    assert child.returncode == 0, child.stderr
    assert child.stdout.startswith("1 error "), child.stdout + child.stderr
    assert "Recording has stopped" in child.stdout
    with SessionFile(path) as session:
        index = session.index()
        assert len(index) > 1000
        np.testing.assert_array_equal(session.mua(0, len(index)), rows_of(index))
