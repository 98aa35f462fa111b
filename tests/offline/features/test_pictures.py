from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from b2g_rt.errors import B2GError, FeatureError
from offline.features.pictures import check_readable, decoded, find_pictures
from offline.stimuli.synthesis.plans import faces_plan
from offline.stimuli.synthesis.stimulus_file import write_stimuli
from offline.whole_files import file_sha256


@pytest.fixture
def folder(picture_folder, tmp_path):
    return shutil.copytree(picture_folder, tmp_path / "copy")


@pytest.fixture
def stimulus_set(folder):
    """The first five test and seven training pictures as a finished set."""
    plan = faces_plan(4).limited(5)
    w = np.zeros((len(plan), 3), np.float32)
    digests = {file: file_sha256(folder / file) for file in plan.files}
    provenance = {
        "psi": 0.7,
        "generator_given": "x",
        "generator": {"name": "x", "sha256": "0"},
    }
    write_stimuli(folder, plan, w, digests, provenance)
    return folder


def test_ids_are_those_of_stimulus_sets_and_recordings(folder):
    found = find_pictures([folder])
    assert [p.id for p in found[:6]] == [*(f"test/{i:04d}" for i in range(1, 6)), "training/0001"]
    assert [p.split for p in found[4:6]] == ["test", "training"]
    apart = find_pictures([folder / "test", folder / "training"])
    assert [p.id for p in apart] == [p.id for p in found]


def test_a_stimulus_set_gives_its_own_pictures_only(stimulus_set):
    found = find_pictures([stimulus_set])
    assert len(found) == 10
    assert found[5].id == "training/0001"
    assert found[5].sha256 == file_sha256(stimulus_set / "training" / "0001.png")
    check_readable(found)


def test_a_picture_of_a_set_that_was_changed_is_named(stimulus_set):
    shutil.copy(stimulus_set / "test" / "0001.png", stimulus_set / "training" / "0002.png")
    with pytest.raises(FeatureError, match=r"training/0002\.png: another picture than its set"):
        check_readable(find_pictures([stimulus_set]))


def test_a_picture_of_a_set_that_is_missing_is_named(stimulus_set):
    (stimulus_set / "training" / "0002.png").unlink()
    with pytest.raises(FeatureError, match=r"training/0002\.png: is missing"):
        find_pictures([stimulus_set])


def test_two_pictures_of_one_id_are_named(folder):
    Image.open(folder / "test" / "0002.png").save(folder / "test" / "0002.jpg")
    with pytest.raises(B2GError, match=r"test/0002\.(png|jpg): has the id test/0002"):
        find_pictures([folder])
    (folder / "test" / "0002.jpg").unlink()
    with pytest.raises(FeatureError, match=r"0001\.png: has the id test/0001 of"):
        find_pictures([folder, folder / "test"])


def test_the_same_picture_under_two_names_is_told(folder, caplog):
    for name in ("0007", "0008"):
        shutil.copy(folder / "test" / "0001.png", folder / "training" / f"{name}.png")
    find_pictures([folder])
    (record,) = caplog.records
    assert record.getMessage().endswith("test/0001.png; 1 more such pairs")
    assert "training/0007.png: the same picture as" in record.getMessage()


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_a_picture_that_is_cut_off_is_named(tmp_path, suffix, rng):
    path = tmp_path / f"cut.{suffix}"
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    check_readable(find_pictures([path]))
    path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(B2GError, match=rf"cut\.{suffix}: cannot be read as a picture") as failed:
        check_readable(find_pictures([path]))
    assert "\n" not in str(failed.value)


def test_what_is_no_picture_is_named(folder):
    (folder / "training" / "0040.png").write_text("no picture")
    with pytest.raises(B2GError, match=r"training/0040\.png: cannot be read as a picture"):
        check_readable(find_pictures([folder]))


def test_grey_and_transparent_pictures_are_rgb(tmp_path):
    Image.fromarray(np.full((3, 5), 200, np.uint8)).save(tmp_path / "grey.png")
    Image.new("RGBA", (5, 3), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    clear, grey = (decoded(p, p.path.read_bytes()) for p in find_pictures([tmp_path]))
    assert grey.shape == clear.shape == (3, 5, 3)
    assert (grey == 200).all()
    assert (clear == 128).all()
