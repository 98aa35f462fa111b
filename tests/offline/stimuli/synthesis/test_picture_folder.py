from __future__ import annotations

import json
import logging
import resource
import shutil
import subprocess
from contextlib import contextmanager

import numpy as np
import pytest

from b2g_rt.errors import StimulusError
from offline.stimuli.synthesis.picture_folder import PictureFolder

SETTINGS = {"kind": "faces", "psi": 0.7, "limit": None}
FILES = ("test/0001.png", "training/0001.png")


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)


@pytest.fixture
def drawn(tmp_path, picture):
    """A folder with two finished pictures."""
    with PictureFolder(tmp_path / "set", SETTINGS) as folder:
        for file in FILES:
            folder.note(file, folder.write(file, picture))
    return tmp_path / "set"


def _finished(path):
    with PictureFolder(path, SETTINGS) as folder:
        return set(folder.finished(FILES, 2))


def test_finished_pictures_are_known_again(drawn):
    assert _finished(drawn) == set(FILES)


def test_a_png_holds_the_very_pixels(drawn, picture):
    from PIL import Image

    with Image.open(drawn / FILES[0]) as stored:
        assert np.array_equal(np.asarray(stored), picture)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum")
def test_sha256sum_reads_the_list_of_hashes(drawn):
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=drawn, capture_output=True)
    assert done.returncode == 0


def test_a_picture_that_was_changed_is_drawn_again_and_that_is_said(drawn, caplog):
    with (drawn / FILES[0]).open("ab") as file:
        file.write(b"more")
    with caplog.at_level(logging.WARNING):
        assert _finished(drawn) == {FILES[1]}
    assert "1 pictures are not what was written (test/0001.png" in caplog.text


def test_a_picture_that_was_removed_or_never_noted_is_not_finished(drawn):
    (drawn / FILES[1]).unlink()
    assert _finished(drawn) == {FILES[0]}
    (drawn / "SHA256SUMS").unlink()
    assert _finished(drawn) == set()


def test_a_line_that_a_killed_run_left_half_written_harms_no_other(drawn):
    sums = drawn / "SHA256SUMS"
    sums.write_bytes(sums.read_bytes()[:-20])
    with PictureFolder(drawn, SETTINGS) as folder:
        assert set(folder.finished(FILES, 2)) == {FILES[0]}
        folder.note(FILES[1], "0" * 64)
    assert [len(line.split()) for line in sums.read_text().splitlines()] == [2, 2]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"psi": 0.5}, "made with psi 0.7, asked for 0.5"),
        ({"limit": 3}, "made with limit all, asked for 3"),
        ({"lookup": "id"}, "made with lookup all, asked for id"),
    ],
)
def test_a_set_of_other_settings_is_not_gone_on_with(drawn, change, told):
    with pytest.raises(StimulusError) as refused:
        PictureFolder(drawn, {**SETTINGS, **change})
    assert told in str(refused.value)
    assert json.loads((drawn / "settings.json").read_text()) == SETTINGS


def test_a_try_with_a_limit_may_grow_but_not_shrink(tmp_path):
    for limit in (2, 2, 5, None):
        with PictureFolder(tmp_path / "set", {**SETTINGS, "limit": limit}):
            pass
    with pytest.raises(StimulusError, match="made with limit all, asked for 5"):
        PictureFolder(tmp_path / "set", {**SETTINGS, "limit": 5})


def test_a_directory_with_other_files_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(StimulusError, match="holds other files"):
        PictureFolder(tmp_path, SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff"])
def test_settings_that_cannot_be_read_are_refused(tmp_path, content):
    (tmp_path / "settings.json").write_bytes(content)
    with pytest.raises(StimulusError):
        PictureFolder(tmp_path, SETTINGS)


@contextmanager
def full_disk():
    """No file may become larger than 1000 bytes: writing fails as on a full disk.

    Not a fixture: pytest's own log may be a file, and it writes to it before fixtures end.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_picture_that_did_not_fit_on_the_disk_leaves_nothing_behind(tmp_path, picture):
    with PictureFolder(tmp_path / "set", SETTINGS) as folder:
        with full_disk(), pytest.raises(OSError, match="File too large"):
            folder.write(FILES[0], picture)
        assert list((tmp_path / "set" / "test").iterdir()) == []
