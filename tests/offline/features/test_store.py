from __future__ import annotations

import json
import os
import pickle
import shutil
import threading
from typing import Any

import numpy as np
import pytest

from b2g_rt.errors import FeatureError
from offline.features.feature_space import ArrayFeatures, rows_of
from offline.features.latent_spaces import write_feature_file
from offline.features.store import open_features, read_attributes
from offline.features.store_writing import (
    CHUNK_FEATURES,
    PIECE_BYTES,
    SpaceLayout,
    StoreWriter,
    stimuli_per_piece,
)

N, WIDE = 70, 20000


@pytest.fixture(scope="module")
def values():
    return np.random.default_rng(4).standard_normal((N, WIDE), np.float32)


@pytest.fixture(scope="module")
def stored(values, no_stage, tmp_path_factory):
    """Two spaces of 70 stimuli in pieces of 32, the wide one in chunks of features."""
    path = tmp_path_factory.mktemp("store") / "f.zarr"
    writer = _begun(path)
    digests = {}
    for k in range(writer.n_pieces):
        rows = writer.rows(k)
        writer.write(k, {"wide": values[rows], "zeros": np.zeros((len(rows), 6), np.float32)})
    digests = writer.kept(no_stage)
    writer.finish(digests, {"finished": "2026-11-25"})
    return path


def _begun(path, **options):
    stimuli = {"id": [f"s{i}" for i in range(N)], "split": [""] * N, "sha256": [""] * N}
    settings = {
        "size": 32,
        "stimuli": stimuli,
        "provenance": {"made": "by hand"},
        "run": {"started": "2026-11-24"},
        **options,
    }
    return StoreWriter.begin(
        path, [SpaceLayout("wide", (WIDE,)), SpaceLayout("zeros", (1, 2, 3))], **settings
    )


@pytest.fixture
def copy(stored, tmp_path):
    return shutil.copytree(stored, tmp_path / "copy.zarr")


@pytest.mark.parametrize(
    "columns", [slice(None), slice(8000, 8400), slice(5, 19000, 7), slice(3, 3)], ids=str
)
@pytest.mark.parametrize(
    "rows",
    [range(N), [69, 0, 33, 33, 5], [], range(31, 33)],
    ids=["all", "any order", "none", "two pieces"],
)
def test_a_block_is_what_an_array_gives(stored, values, rows, columns):
    wide = open_features(stored).space("wide")
    rows = np.array(list(rows), np.intp)
    found = wide.block(rows, columns)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    np.testing.assert_array_equal(found, values[rows][:, columns])


def test_a_space_of_zeros_is_there(stored):
    space = open_features(stored).space("zeros")
    assert space.shape == (1, 2, 3)
    assert not space.block(np.arange(N), slice(None)).any()


def test_a_chunk_holds_some_thousand_features_and_a_shard_whole_rows(stored):
    space = open_features(stored).space("wide")
    assert space.chunk <= CHUNK_FEATURES
    assert space.piece == 32
    files = {
        path.relative_to(stored).as_posix()
        for path in (stored / "wide").rglob("*")
        if path.is_file()
    }
    assert files == {"wide/zarr.json", "wide/c/0/0", "wide/c/1/0", "wide/c/2/0"}


def test_another_process_and_many_threads_read_the_same(stored, values):
    wide = pickle.loads(pickle.dumps(open_features(stored).space("wide")))
    found = {}

    def read(k):
        found[k] = wide.block(np.arange(N), slice(100 * k, 100 * k + 100))

    threads = [threading.Thread(target=read, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(8):
        np.testing.assert_array_equal(found[k], values[:, 100 * k : 100 * k + 100])


def test_zarr_alone_reads_the_file(stored, values):
    import zarr

    group: Any = zarr.open_group(stored, mode="r")
    np.testing.assert_array_equal(group["wide"][:], values)
    assert group["wide"].metadata.dimension_names == ("stimulus", "feature")
    assert group.attrs["stimuli"]["id"][2] == "s2"


def test_stimuli_are_found_by_id(stored):
    space = open_features(stored).space("wide")
    assert rows_of(space, ["s69", "s3"]).tolist() == [69, 3]


def test_pieces_are_whole_batches_that_may_be_held():
    vgg16 = [SpaceLayout("VGG1", (64, 56, 56)), SpaceLayout("VGG3", (256, 28, 28))]
    assert stimuli_per_piece(vgg16, 4) == 32
    assert stimuli_per_piece(vgg16, 5) == 30
    assert stimuli_per_piece(vgg16, 64) == 64
    huge = [SpaceLayout("conv1", (64, 448, 448))]
    assert stimuli_per_piece(huge, 1) == PIECE_BYTES // (4 * 64 * 448 * 448) == 2
    assert stimuli_per_piece(huge, 4) == 4


def test_a_piece_appears_whole_or_not_at_all(copy, values, monkeypatch):
    """The moment a shard is seen under its name, it is complete."""
    shard = copy / "wide" / "c" / "0" / "0"
    whole = shard.read_bytes()
    shard.unlink()
    seen = []
    replace = os.replace

    def looked_at(source, target, **options):
        seen.append(shard.exists())
        replace(source, target, **options)
        seen.append(shard.read_bytes() == whole)

    monkeypatch.setattr("pathlib.Path.replace", lambda path, target: looked_at(path, target))
    _begun(copy).write(0, {"wide": values[:32], "zeros": np.zeros((32, 6), np.float32)})
    assert seen[:2] == [False, True]


def test_what_a_killed_run_was_writing_is_removed(copy, no_stage):
    left = copy / "wide" / "c" / "1" / "0.0123.partial"
    left.write_bytes(b"half")
    _begun(copy).kept(no_stage)
    assert not left.exists()


def _no_directory(path):
    shutil.rmtree(path)


def _foreign_directory(path):
    (path / "zarr.json").unlink()


def _foreign_group(path):
    _edit(path, lambda found: found.update(attributes={"title": "mine"}))


def _foreign_format(path):
    _edit(path, lambda found: found["attributes"].update(format="other"))


def _newer(path):
    _edit(path, lambda found: found["attributes"].update(format_version=2))


def _unfinished(path):
    _edit(path, lambda found: found["attributes"].pop("content_hash"))
    (path / "zeros" / "c" / "2" / "0").unlink()


def _piece_gone(path):
    (path / "wide" / "c" / "1" / "0").unlink()


def _space_gone(path):
    shutil.rmtree(path / "zeros")


def _cut(path):
    (path / "zarr.json").write_bytes((path / "zarr.json").read_bytes()[:-30])


def _fewer_ids(path):
    _edit(path, lambda found: found["attributes"]["stimuli"].update(id=["s1"]))


def _no_stimuli(path):
    _edit(path, lambda found: found["attributes"].pop("stimuli"))


def _edit(path, change):
    found = json.loads((path / "zarr.json").read_bytes())
    change(found)
    (path / "zarr.json").write_text(json.dumps(found))


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (_no_directory, "no such directory, expected a feature file"),
        (_foreign_directory, "no feature file (zarr.json is missing)"),
        (_foreign_group, "no feature file (a foreign zarr.json)"),
        (_foreign_format, "format other, expected b2g features 1"),
        (_newer, "format version 2, expected b2g features 1"),
        (_unfinished, "unfinished (2 of 3 pieces)"),
        (_piece_gone, "damaged, 1 of 3 pieces are missing (piece 1)"),
        (_space_gone, "damaged (KeyError"),
        (_cut, "no feature file (a foreign zarr.json)"),
        (_fewer_ids, "damaged (ValueError: stimuli of unequal numbers)"),
        (_no_stimuli, "damaged (KeyError: 'stimuli')"),
    ],
)
def test_what_is_no_finished_feature_file_is_one_line(copy, spoil, line):
    spoil(copy)
    with pytest.raises(FeatureError) as failed:
        open_features(copy)
    assert line in str(failed.value)
    assert str(copy) in str(failed.value)
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize("at", [0.1, 0.99], ids=["a chunk", "the index"])
def test_a_damaged_shard_is_one_line_and_not_other_numbers(copy, at):
    shard = copy / "wide" / "c" / "1" / "0"
    data = bytearray(shard.read_bytes())
    data[int(at * len(data))] ^= 4
    shard.write_bytes(data)
    file = open_features(copy)
    with pytest.raises(FeatureError, match="wide, stimuli 32 to 63: cannot be read") as failed:
        file.space("wide").block(np.arange(32, 64), slice(None))
    assert "\n" not in str(failed.value)
    with pytest.raises(FeatureError, match="cannot be read"):
        file.content_hash()


def test_the_content_hash_follows_values_and_attributes_but_no_dates(stored, copy):
    digest = open_features(stored).content_hash()
    assert digest == open_features(stored).attributes["content_hash"]
    _edit(copy, lambda found: found["attributes"]["run"].update(finished="2030-01-01"))
    assert open_features(copy).content_hash() == digest
    _edit(copy, lambda found: found["attributes"]["provenance"].update(made="by foot"))
    assert open_features(copy).content_hash() != digest


def test_an_empty_directory_is_nothing_yet(tmp_path):
    (tmp_path / "f.zarr").mkdir()
    assert read_attributes(tmp_path / "f.zarr") is None
    assert _begun(tmp_path / "f.zarr").n_pieces == 3


def test_other_files_are_left_alone(tmp_path):
    (tmp_path / "f.zarr").mkdir()
    (tmp_path / "f.zarr" / "thesis.txt").write_text("mine")
    with pytest.raises(FeatureError, match="no feature file"):
        _begun(tmp_path / "f.zarr")
    assert [path.name for path in (tmp_path / "f.zarr").iterdir()] == ["thesis.txt"]


def test_no_space_of_that_name_lists_those_there_are(stored):
    with pytest.raises(FeatureError, match="no features VGG1, expected one of wide, zeros"):
        open_features(stored).space("VGG1")


def test_a_place_that_cannot_be_written_to_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FeatureError, match="cannot be written"):
        _begun(tmp_path / "file" / "f.zarr")


def test_stimuli_must_be_the_same_in_all_spaces(tmp_path, no_stage):
    one = ArrayFeatures("a", ("x", "y"), np.zeros((2, 3), np.float32))
    other = ArrayFeatures("b", ("y", "x"), np.zeros((2, 3), np.float32))
    with pytest.raises(FeatureError, match="spaces of different stimuli"):
        write_feature_file(tmp_path / "f.zarr", [one, other], provenance={}, stage=no_stage)
