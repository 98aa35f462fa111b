"""The latents' pickle: arrays come out, nothing is ever executed."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest

from b2g_rt.errors import SessionError
from offline.recordings.formats.latent_pickle import read_latents

RNG = np.random.default_rng(1)
TRAIN = RNG.normal(size=(40, 512)).astype(np.float32)
TEST = RNG.normal(size=(10, 512)).astype(np.float32)


def written(tmp_path, value, protocol=4):
    path = tmp_path / "x_w.pickle"
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize(
    "change",
    [
        lambda a: a,
        np.asfortranarray,
        lambda a: a.astype(np.float64),
        lambda a: a.astype(">f4"),
        lambda a: a[:, ::2],
    ],
    ids=["c", "fortran", "double", "big-endian", "strided"],
)
def test_arrays_come_out_as_they_went_in(tmp_path, protocol, change):
    path = written(tmp_path, {"train": change(TRAIN), "test": change(TEST)}, protocol)
    found = read_latents(path)
    np.testing.assert_array_equal(found["train"], change(TRAIN))
    np.testing.assert_array_equal(found["test"], change(TEST))
    assert found["train"].dtype == np.float32


def test_pickles_of_numpy_1_are_read(tmp_path):
    path = written(tmp_path, {"train": TRAIN, "test": TEST}, 3)
    path.write_bytes(path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    np.testing.assert_array_equal(read_latents(path)["train"], TRAIN)


class Payload:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch {self.canary}",)


@pytest.mark.parametrize("where", ["root", "value", "array"])
def test_a_program_in_it_is_named_and_not_executed(tmp_path, where):
    canary = tmp_path / "canary"
    payload = Payload(canary)
    value = {
        "root": payload,
        "value": {"train": TRAIN, "test": payload},
        "array": {"train": TRAIN, "test": np.array([payload, payload], object)},
    }[where]
    with pytest.raises(SessionError, match="Nothing was executed|real numbers") as found:
        read_latents(written(tmp_path, value))
    assert not canary.exists()
    assert where == "array" or "system" in str(found.value)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"train": TRAIN}, "keys train"),
        ({"train": TRAIN, "test": TEST[:, :5]}, "shapes"),
        ({"train": TRAIN, "test": TEST[0]}, "shapes"),
        ({"train": TRAIN, "test": TEST * np.nan}, "not finite"),
        ({"train": TRAIN.astype(np.int64), "test": TEST}, "real numbers"),
        ([TRAIN, TEST], "a dictionary"),
        ({"train": "x", "test": TEST}, "numpy array under 'train'"),
        ({1: TRAIN, 2: TEST}, "texts as keys"),
    ],
)
def test_another_content_is_one_clear_line(tmp_path, value, told):
    with pytest.raises(SessionError, match=told) as found:
        read_latents(written(tmp_path, value))
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("share", [0.0001, 0.3, 0.999])
def test_a_truncated_pickle_is_one_clear_line(tmp_path, share):
    path = written(tmp_path, {"train": TRAIN, "test": TEST})
    data = path.read_bytes()
    path.write_bytes(data[: 1 + int(share * len(data))])
    with pytest.raises(SessionError, match="incomplete|readable pickle"):
        read_latents(path)


@pytest.mark.parametrize("data", [b"", b"<html>", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"])
def test_what_is_no_pickle_is_one_clear_line(tmp_path, data):
    path = tmp_path / "x_w.pickle"
    path.write_bytes(data)
    with pytest.raises(SessionError, match="no pickle"):
        read_latents(path)


def test_a_missing_pickle_is_one_clear_line(tmp_path):
    with pytest.raises(SessionError, match="No such file"):
        read_latents(tmp_path / "none_w.pickle")


def test_bytes_that_promise_more_than_there_are_take_no_memory(tmp_path):
    path = written(tmp_path, {"train": TRAIN, "test": TEST})
    data = path.read_bytes()
    size = TRAIN.nbytes.to_bytes(4, "little")
    assert size in data
    path.write_bytes(data.replace(size, (2**31 - 1).to_bytes(4, "little")))
    with pytest.raises(SessionError):
        read_latents(path)
