from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
from PIL import Image

from b2g_rt.errors import StimulusError
from offline.recordings.known_latents import known_latents
from offline.stimuli.projection.result_file import (
    ProjectedPictures,
    ResultFolder,
    read_projection,
    read_runs,
)

SETTINGS = {"generator_sha256": "ab", "projection": {"per_layer": False, "n_starts": 3}}


def _part(folder, ids, seed=0, n_layers=2):
    rng = np.random.default_rng(seed)
    n = len(ids)
    return ProjectedPictures(
        id=np.array(ids),
        path=np.array([f"folder/{i}.png" for i in ids]),
        sha256=np.array([f"hash of {i}" for i in ids]),
        class_id=np.full(n, -1),
        w=rng.standard_normal((n, n_layers, 8)).astype(np.float32),
        anchor=np.zeros((n, 8), np.float32),
        psnr_db=np.full(n, 31.0, np.float32),
        distance=np.full(n, 0.7, np.float32),
        start_idx=np.zeros(n, np.int64),
        loss=np.ones((n, 4), np.float32),
        run=np.full(n, folder.run.date),
    )


def test_batches_are_gathered_in_the_order_asked_for(tmp_path):
    folder = ResultFolder(tmp_path, SETTINGS, {"command": "b2g-offline project"})
    parts = [_part(folder, ["c", "a"], 1), _part(folder, ["test/0001"], 2)]
    for part in parts:
        folder.add(part)
    folder.close(["a", "test/0001"])
    found = read_projection(tmp_path / "projection.h5")
    assert found.id.tolist() == ["a", "test/0001", "c"]
    np.testing.assert_array_equal(found.w, [parts[0].w[1], parts[1].w[0], parts[0].w[0]])
    with h5py.File(tmp_path / "projection.h5") as file:
        assert json.loads(file.attrs["settings"]) == SETTINGS
        assert json.loads(file.attrs["provenance"]) == {"command": "b2g-offline project"}
    assert not (tmp_path / "parts").exists()


def test_the_latents_are_what_a_fit_reads(tmp_path):
    folder = ResultFolder(tmp_path, SETTINGS)
    part = _part(folder, ["a", "test/0001"])
    folder.add(part)
    folder.close()
    known = known_latents([], tmp_path / "latents.npz")
    assert sorted(known) == ["a", "test/0001"]
    np.testing.assert_allclose(known["a"], part.w[0].mean(axis=0), atol=1e-6)


def test_a_killed_run_is_gone_on_with(tmp_path):
    first = ResultFolder(tmp_path, SETTINGS)
    first.add(_part(first, ["a", "b"]))
    # Killed while the next batch was being written.
    (tmp_path / "parts" / "000001.unfinished").write_bytes(b"half of it")
    again = ResultFolder(tmp_path, SETTINGS)
    assert again.finished() == {"a": "hash of a", "b": "hash of b"}
    again.add(_part(again, ["c"]))
    again.close()
    assert read_projection(tmp_path / "projection.h5").id.tolist() == ["a", "b", "c"]


def test_a_run_killed_while_gathering_has_no_picture_twice(tmp_path):
    folder = ResultFolder(tmp_path, SETTINGS)
    part = _part(folder, ["a", "b"], 1)
    folder.add(part)
    folder.close()
    left = ResultFolder(tmp_path, SETTINGS)
    left.add(_part(left, ["b", "c"], 2))
    left.close()
    found = read_projection(tmp_path / "projection.h5")
    assert found.id.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(found.w[1], part.w[1])


def test_a_folder_made_with_other_settings_is_refused_by_name(tmp_path):
    ResultFolder(tmp_path, SETTINGS)
    other = {**SETTINGS, "projection": {"per_layer": False, "n_starts": 5}}
    with pytest.raises(StimulusError, match="made with projection.n_starts 3, expected 5"):
        ResultFolder(tmp_path, other)


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "thesis.docx").write_text("three years")
    (tmp_path / "latents.npz").write_bytes(b"of another session")
    with pytest.raises(StimulusError, match="holds other files"):
        ResultFolder(tmp_path, SETTINGS)
    assert (tmp_path / "parts" / "thesis.docx").read_text() == "three years"
    assert (tmp_path / "latents.npz").read_bytes() == b"of another session"
    assert not (tmp_path / "settings.json").exists()


def test_every_run_that_found_pictures_is_named_with_how_many(tmp_path):
    for device, batches in (("cpu", [["a", "b"], ["c"]]), ("cuda", []), ("cuda:1", [["d"]])):
        folder = ResultFolder(tmp_path, SETTINGS, {"device": device})
        for ids in batches:
            folder.add(_part(folder, ids))
        folder.close()
    runs = read_runs(tmp_path / "projection.h5")
    assert [(r["provenance"]["device"], r["n_pictures"]) for r in runs] == [
        ("cpu", 3),
        ("cuda:1", 1),
    ]
    assert all(r["seconds"] >= 0 for r in runs)
    dates = [r["date"] for r in runs]
    assert dates == sorted(dates)
    found = read_projection(tmp_path / "projection.h5")
    assert found.run.tolist() == [dates[0]] * 3 + [dates[1]]
    with h5py.File(tmp_path / "projection.h5") as file:
        assert json.loads(file.attrs["provenance"]) == {"device": "cuda:1"}


def test_a_killed_run_is_named_too(tmp_path):
    killed = ResultFolder(tmp_path, SETTINGS, {"device": "cpu"})
    killed.add(_part(killed, ["a"]))
    again = ResultFolder(tmp_path, SETTINGS, {"device": "cuda"})
    again.add(_part(again, ["b", "c"]))
    again.close()
    runs = read_runs(tmp_path / "projection.h5")
    assert [(r["provenance"]["device"], r["n_pictures"]) for r in runs] == [("cpu", 1), ("cuda", 2)]


def test_what_somebody_put_beside_the_batches_stays(tmp_path):
    folder = ResultFolder(tmp_path, SETTINGS)
    folder.add(_part(folder, ["a"]))
    (tmp_path / "parts" / "notes.txt").write_text("mine")
    folder.close()
    assert [p.name for p in (tmp_path / "parts").iterdir()] == ["notes.txt"]
    assert read_projection(tmp_path / "projection.h5").id.tolist() == ["a"]


def test_a_run_without_a_finished_batch_leaves_no_result(tmp_path):
    ResultFolder(tmp_path, SETTINGS).close()
    assert not (tmp_path / "projection.h5").exists()


def test_a_file_that_is_no_projection_is_refused(tmp_path):
    path = tmp_path / "projection.h5"
    path.write_bytes(b"something else")
    with pytest.raises(StimulusError, match="expected a whole projection.h5"):
        read_projection(path)
    with h5py.File(path, "w") as file:
        file.attrs["format"] = "b2g-session"
    with pytest.raises(StimulusError, match="format b2g-session"):
        read_projection(path)


def test_target_and_found_stand_side_by_side(tmp_path):
    folder = ResultFolder(tmp_path, SETTINGS)
    target, found = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 200, np.uint8)
    folder.draw("test/0001", target, found)
    with Image.open(tmp_path / "pictures" / "test" / "0001.png") as picture:
        drawn = np.asarray(picture)
    assert drawn.shape == (8, 16, 3)
    assert (drawn[:, :8] == 0).all()
    assert (drawn[:, 8:] == 200).all()
