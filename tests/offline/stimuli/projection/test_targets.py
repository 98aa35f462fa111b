from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from b2g_rt.errors import StimulusError
from offline.stimuli.projection.targets import (
    as_target,
    find_photographs,
    read_classes,
    read_photograph,
)


def _save(path, colours, mode="RGB", **kwargs):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(colours, np.uint8)).convert(mode).save(path, **kwargs)
    return path


def _read(path, size):
    (photograph,) = find_photographs([path])
    return read_photograph(photograph, size)


def test_a_picture_of_the_generators_size_is_read_as_it_is(tmp_path):
    colours = np.random.default_rng(1).integers(0, 256, (32, 32, 3))
    np.testing.assert_array_equal(_read(_save(tmp_path / "a.png", colours), 32), colours)


def test_a_wide_picture_is_cropped_at_both_ends(tmp_path):
    colours = np.zeros((20, 60, 3))
    colours[:, 20:40, 0] = 255
    assert (_read(_save(tmp_path / "a.png", colours), 20)[..., 0] == 255).all()


def test_another_size_is_resized_without_aliasing(tmp_path):
    stripes = np.zeros((256, 256, 3))
    stripes[:, ::2] = 200
    read = _read(_save(tmp_path / "a.png", stripes), 32)
    assert read.shape == (32, 32, 3)
    assert np.abs(read.astype(int) - 100).max() <= 5


def test_a_photograph_stands_upright(tmp_path):
    colours = np.zeros((32, 32, 3))
    colours[:16] = 255
    turned = Image.Exif()
    turned[0x0112] = 3  # by 180 degrees
    read = _read(_save(tmp_path / "a.jpg", colours, exif=turned), 32)
    assert read[:10].max() < 20
    assert read[22:].min() > 235


def test_a_picture_of_16_bits_keeps_its_grey_levels(tmp_path):
    levels = np.linspace(0, 65535, 32 * 32).reshape(32, 32).astype(np.uint16)
    Image.fromarray(levels).save(tmp_path / "a.png")
    expected = np.round(levels / 257.0)
    read = _read(tmp_path / "a.png", 32)
    assert np.abs(read[..., 1] - expected).max() <= 1


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_a_picture_without_a_known_white_is_refused(tmp_path, kind):
    Image.fromarray(np.ones((32, 32), kind)).save(tmp_path / "a.tiff")
    with pytest.raises(StimulusError, match="expected 8 or 16 bits"):
        _read(tmp_path / "a.tiff", 32)


def test_transparent_parts_lie_over_mid_grey(tmp_path):
    colours = np.zeros((16, 16, 4))
    colours[:8, :, 3] = 255
    read = _read(_save(tmp_path / "a.png", colours, mode="RGBA"), 16)
    assert (read[:8] == 0).all()
    assert (read[8:] == 128).all()


@pytest.mark.parametrize("mode", ["L", "P", "CMYK"])
def test_pictures_of_other_modes_become_rgb(tmp_path, mode):
    suffix = "tif" if mode == "CMYK" else "png"
    colours = np.full((16, 16, 3), 102)
    read = _read(_save(tmp_path / f"a.{suffix}", colours, mode=mode), 16)
    assert np.abs(read.astype(int) - 102).max() <= 8


def test_targets_are_the_middle_of_what_becomes_each_grey_level():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    target = as_target([levels])
    assert target.shape == (1, 3, 16, 16)
    shown = np.clip(target * 127.5 + 128, 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(shown[0, 0], levels[..., 0])


def test_ids_are_paths_within_a_folder_and_names_alone_otherwise(tmp_path):
    for name in ("set/test/0001.png", "set/training/0001.png", "set/notes.txt", "b.png"):
        _save(tmp_path / name, np.zeros((16, 16, 3)), format="PNG")
    found = find_photographs([tmp_path / "b.png", tmp_path / "set"])
    assert [p.id for p in found] == ["b", "test/0001", "training/0001"]
    assert len({p.sha256 for p in found}) == 1


def test_two_pictures_of_one_id_are_refused(tmp_path):
    for name in ("x/a.png", "y/a.png"):
        _save(tmp_path / name, np.zeros((16, 16, 3)))
    with pytest.raises(StimulusError, match="has the id a of .*x/a.png"):
        find_photographs([tmp_path / "x" / "a.png", tmp_path / "y" / "a.png"])


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(StimulusError, match="holds no pictures, expected files ending in .png"):
        find_photographs([tmp_path])


def test_a_missing_path_is_refused(tmp_path):
    with pytest.raises(StimulusError, match="no such file or folder"):
        find_photographs([tmp_path / "none.png"])


@pytest.mark.parametrize("spoil", ["text", "cut", "empty"])
def test_what_is_no_whole_picture_is_refused_in_one_line(tmp_path, spoil):
    path = _save(tmp_path / "a.png", np.random.default_rng(1).integers(0, 256, (64, 64, 3)))
    whole = path.read_bytes()
    path.write_bytes({"text": b"no picture", "cut": whole[: len(whole) // 2], "empty": b""}[spoil])
    with pytest.raises(StimulusError, match="a.png: cannot be read as a picture") as failed:
        _read(path, 16)
    assert "\n" not in str(failed.value)


def test_a_picture_of_a_few_pixels_is_refused(tmp_path):
    with pytest.raises(StimulusError, match="9 x 30 pixels, expected at least 16"):
        _read(_save(tmp_path / "a.png", np.zeros((30, 9, 3))), 16)


def test_classes_come_from_a_table(tmp_path):
    table = tmp_path / "classes.csv"
    table.write_text("id,class_id\ntest/0001,7\nb,12\n")
    assert read_classes(table) == {"test/0001": 7, "b": 12}


@pytest.mark.parametrize("text", ["id,klass\na,1\n", "id,class_id\na,dog\n", "id,class_id\na\n"])
def test_a_table_without_classes_is_refused(tmp_path, text):
    table = tmp_path / "classes.csv"
    table.write_text(text)
    with pytest.raises(StimulusError, match="expected the columns id and class_id"):
        read_classes(table)
