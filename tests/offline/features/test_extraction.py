from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from b2g_rt.errors import ConfigError, FeatureError
from offline.features.content import RUN
from offline.features.pictures import decoded, find_pictures
from offline.features.store import open_features
from tests.offline.features.tiny_network import LAYERS, TinyNetwork

ROOT = Path(__file__).parents[3]


def arrays_of(file):
    rows = np.arange(len(file.ids))
    return {name: file.space(name).block(rows, slice(None)) for name in file.spaces}


def attributes_but_dates(file):
    """All attributes as they lie in the files, dates aside."""
    found = {
        path.relative_to(file.path).as_posix(): json.loads(path.read_bytes())
        for path in file.path.rglob("zarr.json")
    }
    run = found["zarr.json"]["attributes"][RUN]
    assert set(run) == {"started", "finished", "command"}
    del run["started"], run["finished"]
    return found


def assert_same(one, other):
    assert one.attributes["content_hash"] == other.attributes["content_hash"]
    assert one.content_hash() == other.content_hash() == one.attributes["content_hash"]
    assert attributes_but_dates(one) == attributes_but_dates(other)
    for name, values in arrays_of(one).items():
        np.testing.assert_array_equal(values, arrays_of(other)[name])


@contextmanager
def stopped_run(folder, out, after):
    """Yield a run, a process of its own, whose network has stopped in its batch ``after`` and waits for its stdin."""
    command = [sys.executable, "-m", "tests.offline.features.interrupted_run"]
    with subprocess.Popen(
        [*command, str(folder), str(out), str(after)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as running:
        said = running.stdout.readline()
        assert said == "stopped\n", running.stderr.read()
        yield running


def interrupted(folder, out, after, how):
    """Run until the network stops in its batch ``after``, send the signal, let it end; return its exit status."""
    with stopped_run(folder, out, after) as running:
        running.send_signal(how)
        running.stdin.close()
        running.stdin = None
        _, errors = running.communicate(timeout=50)
    return running.returncode, errors


def pieces(out, space="conv1"):
    return sorted(int(path.parent.name) for path in out.glob(f"{space}/c/*/0"))


def test_features_are_what_the_network_gives_for_these_batches(compute, picture_folder, tmp_path):
    file = compute(tmp_path / "f.zarr")
    pictures = find_pictures([picture_folder])
    assert file.ids == tuple(p.id for p in pictures)
    assert file.ids[0] == "test/0001"
    assert file.ids[5] == "training/0001"
    assert file.split == ("test",) * 5 + ("training",) * 75
    assert file.spaces == LAYERS
    assert file.space("conv2").shape == (6, 4, 4)
    network = TinyNetwork()
    for start in range(0, len(pictures), 4):
        batch = [decoded(p, p.path.read_bytes()) for p in pictures[start : start + 4]]
        for name, expected in network.features(batch).items():
            rows = np.arange(start, start + len(batch))
            found = file.space(name).block(rows, slice(None))
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_a_run_that_was_killed_goes_on_to_identical_arrays_and_attributes(
    compute, picture_folder, tmp_path
):
    straight = compute(tmp_path / "straight.zarr")
    out = tmp_path / "killed.zarr"
    # 20 batches in three pieces of 8, 8 and 4: in the middle of the second one.
    status, _ = interrupted(picture_folder, out, 11, signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert pieces(out) == [0]
    with pytest.raises(FeatureError, match=r"unfinished \(1 of 3 pieces\)"):
        open_features(out)
    first = (out / "conv1" / "c" / "0" / "0").stat().st_mtime_ns
    assert_same(compute(out), straight)
    assert (out / "conv1" / "c" / "0" / "0").stat().st_mtime_ns == first


def test_ctrl_c_keeps_the_piece_under_way_and_the_rest_goes_on_alike(
    compute, picture_folder, tmp_path
):
    straight = compute(tmp_path / "straight.zarr")
    out = tmp_path / "stopped.zarr"
    status, errors = interrupted(picture_folder, out, 3, signal.SIGINT)
    assert status == -signal.SIGINT, errors
    assert "KeyboardInterrupt" in errors
    assert pieces(out) == [0]
    assert_same(compute(out), straight)


def test_a_second_run_into_the_same_file_is_refused_while_the_first_one_lives(
    compute, picture_folder, tmp_path
):
    out = tmp_path / "shared.zarr"
    with stopped_run(picture_folder, out, 11) as running:
        with pytest.raises(FeatureError, match=r"shared\.zarr: another run is writing it"):
            compute(out)
        running.kill()
    assert pieces(out) == [0]
    assert_same(compute(out), compute(tmp_path / "straight.zarr"))


def test_the_number_of_workers_changes_no_bit(compute, tmp_path):
    files = [compute(tmp_path / f"{n}.zarr", n_threads=n) for n in (1, 2, 5)]
    assert_same(files[0], files[1])
    assert_same(files[0], files[2])


def test_a_finished_file_is_left_as_it_is(compute, tmp_path):
    out = tmp_path / "f.zarr"
    compute(out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    compute(out, network=partial(TinyNetwork, 0))
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == before


def test_a_damaged_piece_is_computed_again(compute, tmp_path, caplog):
    straight = compute(tmp_path / "straight.zarr")
    out = tmp_path / "f.zarr"
    compute(out)
    shard = out / "conv2" / "c" / "1" / "0"
    shard.write_bytes(shard.read_bytes()[:-40])
    (out / "fc" / "c" / "2" / "0").unlink()
    assert_same(compute(out), straight)
    assert "It is made again" in caplog.text


def test_values_that_were_changed_afterwards_are_told(compute, tmp_path):
    out = tmp_path / "f.zarr"
    compute(out)
    other = compute(tmp_path / "other.zarr", network=partial(TinyNetwork, 1))
    shard = Path("fc", "c", "0", "0")
    (out / shard).write_bytes((other.path / shard).read_bytes())
    assert open_features(out).content_hash() != open_features(out).attributes["content_hash"]
    with pytest.raises(FeatureError, match="something was changed"):
        compute(out)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"network": partial(TinyNetwork, 3)}, "made with weights.seed 0, asked for 3"),
        ({"network": partial(TinyNetwork, 0, "2")}, "made with versions.tiny 1, asked for 2"),
        ({"batch": 8}, "made with batch 4, asked for 8"),
        ({"device": "cuda"}, "made with device cpu, asked for cuda"),
    ],
    ids=["weights", "version", "batch", "device"],
)
def test_other_settings_are_refused_by_name(compute, tmp_path, options, line):
    compute(tmp_path / "f.zarr")
    with pytest.raises(FeatureError, match=line):
        compute(tmp_path / "f.zarr", **options)


def test_other_pictures_are_refused_by_name(compute, picture_folder, tmp_path):
    compute(tmp_path / "f.zarr")
    pictures = find_pictures([picture_folder])
    with pytest.raises(FeatureError, match="the number of stimuli 80, asked for 79"):
        compute(tmp_path / "f.zarr", pictures=pictures[:-1])
    with pytest.raises(
        FeatureError, match="stimuli.id of stimulus 1 test/0001, asked for test/0002"
    ):
        compute(tmp_path / "f.zarr", pictures=[pictures[1], pictures[0], *pictures[2:]])


def test_a_picture_that_changed_since_it_was_listed_is_named(compute, picture_folder, tmp_path):
    from shutil import copytree

    folder = copytree(picture_folder, tmp_path / "copy")
    pictures = find_pictures([folder])
    (folder / "training" / "0060.png").write_bytes((folder / "test" / "0001.png").read_bytes())
    with pytest.raises(FeatureError, match=r"training/0060\.png: another picture"):
        compute(tmp_path / "f.zarr", pictures=pictures)


class _NotANumber(TinyNetwork):
    def features(self, pictures):
        found = super().features(pictures)
        found["fc"][-1, 3] = np.nan
        return found


def test_values_that_are_no_numbers_name_the_picture(compute, tmp_path):
    with pytest.raises(FeatureError, match=r"test/0004\.png: tiny gives values in fc"):
        compute(tmp_path / "f.zarr", network=_NotANumber)


class _TogetherNetwork(TinyNetwork):
    """Notes how many batches are computed at once; ``meet``: each waits until two have been."""

    def __init__(self, meet: bool) -> None:
        super().__init__()
        self._lock, self._inside, self.most = threading.Lock(), 0, 0
        self._met = threading.Event()
        if not meet:
            self._met.set()

    def features(self, pictures):
        with self._lock:
            self._inside += 1
            self.most = max(self.most, self._inside)
            if self._inside == 2:
                self._met.set()
        assert self._met.wait(timeout=30)
        found = super().features(pictures)
        with self._lock:
            self._inside -= 1
        return found


@pytest.mark.parametrize(
    ("memory", "at_once"),
    [(None, 2), (2 << 30, 2), (300 << 20, 1)],
    ids=["no bound", "2 GiB", "300 MiB"],
)
def test_memory_bounds_the_pieces_at_once(compute, tmp_path, memory, at_once):
    network = _TogetherNetwork(meet=at_once == 2)
    compute(tmp_path / "f.zarr", network=lambda: network, memory=memory)
    assert network.most == at_once


def test_too_little_memory_is_said_before_anything_is_written(compute, tmp_path):
    with pytest.raises(
        ConfigError, match="4 pictures at a time take about 192 MiB, --memory gives"
    ):
        compute(tmp_path / "f.zarr", memory=150 << 20)
    assert not (tmp_path / "f.zarr").exists()
