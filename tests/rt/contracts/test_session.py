from __future__ import annotations

import logging
import shutil
import struct
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from b2g_rt.contracts.session import SessionFile
from b2g_rt.errors import SessionError
from tests.rt.outputs.test_recorder import feed, open_recorder, rows_of

# Under the suite's limit of 60 s, over the ten that a file's structure may take.
_SOON_S = 30.0


def one_line(path: Path) -> str:
    began = time.monotonic()
    with pytest.raises(SessionError) as caught:
        SessionFile(path)
    assert time.monotonic() - began < _SOON_S
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    path = tmp_path / "closed.h5"
    with open_recorder(path) as recorder:
        feed(recorder, 0, 5000)
    return path


@pytest.fixture
def being_written(tmp_path: Path) -> Path:
    """Return a copy, made while the writer was at work: what a kill leaves."""
    path, copy = tmp_path / "live.h5", tmp_path / "left.h5"
    with open_recorder(path, flush_s=0.05) as recorder:
        feed(recorder, 0, 5000)
        deadline = time.monotonic() + _SOON_S
        while recorder.n_samples < 5000:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with SessionFile(path) as session:
            assert session.n_samples > 0
        shutil.copyfile(path, copy)
    return copy


def cut(path: Path, n_bytes: int) -> Path:
    head = path.with_name("head.h5")
    head.write_bytes(path.read_bytes()[:n_bytes])
    return head


@pytest.mark.parametrize("n_bytes", [100, 5_000, 100_000])
def test_a_closed_file_that_is_cut_short_is_refused_at_once(closed, n_bytes):
    line = one_line(cut(closed, n_bytes))
    assert f"{n_bytes} bytes, expected {closed.stat().st_size}: the file is cut short" in line


def test_the_mere_beginning_of_a_superblock_is_refused_at_once(closed):
    assert "expected an HDF5 file" in one_line(cut(closed, 30))


@pytest.mark.parametrize("n_bytes", [5_000, 20_000])
def test_the_head_of_a_file_that_was_being_written_is_refused_and_does_not_hang(
    being_written, n_bytes
):
    assert f"{n_bytes} bytes, expected" in one_line(cut(being_written, n_bytes))


@pytest.mark.slow
def test_a_file_that_was_being_written_without_its_last_headers_does_not_hang(tmp_path):
    path, copy = tmp_path / "live.h5", tmp_path / "left.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file["early"] = np.zeros(1_000_000, np.uint8)
        for k in range(200):
            file.create_group(f"late {k}").attrs["text"] = "x" * 1000
        file.flush()
        file.swmr_mode = True
        shutil.copyfile(path, copy)
    assert "the file is cut short" in one_line(cut(copy, 900_000))


def test_a_file_whose_writer_was_killed_opens_silently(being_written, caplog):
    with SessionFile(being_written) as session:
        n = session.n_samples
        np.testing.assert_array_equal(session.mua(0, n), rows_of(np.arange(n)))
    assert caplog.records == []


def test_a_file_whose_writer_ran_out_of_room_opens_and_the_loss_is_told(being_written, caplog):
    data = bytearray(being_written.read_bytes())
    # As after a full disk: the superblock was written, the bytes it speaks of were not.
    assert struct.unpack_from("<Q", data, 28)[0] == len(data)
    with being_written.open("r+b") as file:
        file.truncate(len(data) - 1000)
    with caplog.at_level(logging.WARNING), SessionFile(being_written) as session:
        assert session.n_samples > 0
    assert [r.message for r in caplog.records] == [
        f"{being_written}: the last 1000 bytes are missing (a full disk, or a copy cut short)"
    ]


@pytest.mark.parametrize("attribute", ["version", "rate_hz", "channel_map", "provenance"])
def test_a_missing_attribute_is_one_line(closed, attribute):
    with h5py.File(closed, "r+") as file:
        del file.attrs[attribute]
    assert attribute in one_line(closed)


def test_a_channel_map_that_is_no_json_is_one_line(closed):
    with h5py.File(closed, "r+") as file:
        file.attrs["channel_map"] = "[1"
    assert "expected the layout" in one_line(closed)
