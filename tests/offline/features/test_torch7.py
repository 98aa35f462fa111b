from __future__ import annotations

import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from b2g_rt.errors import FeatureError
from offline.features.torch7 import MAX_DEPTH, read_torch7
from offline.features.torch7_values import Torch7Object, Torch7Tensor
from tests.offline.features.torch7_file import (
    Function,
    Module,
    Storage,
    Tensor,
    Torch7Writer,
    tensor_of,
    write_torch7,
)

CLASSES = ("nn.Linear", "nn.Sequential")


@pytest.fixture
def read(tmp_path):
    """Write a value, or bytes, and read it."""

    def write_and_read(value, **options):
        path = tmp_path / "value.t7"
        if isinstance(value, bytes | bytearray):
            path.write_bytes(value)
        else:
            write_torch7(path, value, **options)
        return read_torch7(path, CLASSES)

    return write_and_read


@pytest.mark.parametrize(
    "value",
    [
        True,
        False,
        0,
        -3,
        1.5,
        2.0**60,
        "",
        "a text",
        "\xff\x00",
        {},
        {"a": 1, 2: "b"},
        {1: {1: {}}},
    ],
)
def test_plain_values_come_back(read, value):
    found = read(value)
    assert found == value
    assert type(found) is type(value) or value == 2.0**60


def test_nil_comes_back(read):
    assert read(None) is None


def test_the_bytes_of_a_saved_tensor_are_read_as_torch7_wrote_them(read):
    # torch.save of a 2 x 3 FloatTensor on a 64-bit machine, byte by byte.
    header = bytes.fromhex(
        "04000000 01000000 03000000 562031 11000000 746f7263682e466c6f617454656e736f72"
        "02000000 0200000000000000 0300000000000000 0300000000000000 0100000000000000 0100000000000000"
        "04000000 02000000 03000000 562031 12000000 746f7263682e466c6f617453746f72616765 0600000000000000"
    )
    values = np.array([[0.7478, 0.5815, 0.5786], [0.1937, 0.6384, 0.25]], "<f4")
    np.testing.assert_array_equal(read(header + values.tobytes()).array(), values)
    assert Torch7Writer().value(values).data == header + values.tobytes()


@pytest.mark.parametrize("code", ["u1", "i1", "i2", "i4", "i8", "f2", "f4", "f8"])
def test_tensors_of_every_kind_come_back(read, rng, code):
    values = rng.integers(0, 100, (2, 3, 4)).astype(code)
    found = read(values)
    assert found.shape == values.shape
    assert found.array().dtype == values.dtype
    np.testing.assert_array_equal(found.array(), values)


def test_a_view_of_a_storage_keeps_its_strides_and_offset(read):
    storage = Storage(np.arange(30, dtype="f4"))
    transposed = Tensor(storage, (3, 4), (1, 5), offset=7)
    found = read({"view": transposed, "all": storage})
    expected = np.arange(30, dtype="f4")[7 + np.arange(3)[:, None] + 5 * np.arange(4)[None]]
    np.testing.assert_array_equal(found["view"].array(), expected)
    np.testing.assert_array_equal(found["all"].array(), np.arange(30))
    assert found["view"].array().flags.c_contiguous


def test_empty_tensors_have_no_numbers(read):
    found = read({"nil": Tensor(None, (), ()), "none": np.zeros((0, 3), "f4")})
    assert found["nil"].array().shape == (0,)
    assert found["none"].array().shape == (0, 3)


def test_objects_keep_their_class_and_what_they_share(read):
    weight = tensor_of(np.ones((2, 2), "f4"))
    one = Module("nn.Linear", {"weight": weight, "train": False})
    found = read(Module("nn.Sequential", {"modules": [one, one], "weight": weight}))
    assert isinstance(found, Torch7Object)
    assert found.name == "nn.Sequential"
    first, second = found.fields["modules"][1], found.fields["modules"][2]
    assert first is second
    assert first.fields["weight"] is found.fields["weight"]
    assert first.fields["train"] is False


def test_a_table_may_hold_itself(read):
    table = {"name": "ring"}
    table["self"] = table  # type: ignore[assignment]
    found = read(table)
    assert found["self"] is found


def test_files_from_before_versions_are_read(read):
    found = read(Module("nn.Linear", {"bias": np.ones(3, "f4")}), version=False)
    np.testing.assert_array_equal(found.fields["bias"].array(), [1, 1, 1])


# ------------------------------------------------------------ refusals


@pytest.mark.parametrize("tag", [6, 7, 8])
def test_functions_are_refused(read, tag):
    with pytest.raises(FeatureError, match="a Lua function") as caught:
        read({"hook": Function(tag=tag)})
    assert "\n" not in str(caught.value)


def test_other_classes_are_refused_by_name(read):
    with pytest.raises(FeatureError, match=r"class os\.execute, expected nn\.Linear"):
        read(Module("nn.Sequential", {"modules": [Module("os.execute")]}))


def test_keys_that_are_no_texts_or_numbers_are_refused(read):
    with pytest.raises(FeatureError, match="key is neither"):
        read({True: 1})


def test_the_text_format_is_named(read):
    with pytest.raises(FeatureError, match="text format"):
        read(b"4\n1\n3\nV 1\n17\ntorch.FloatTensor\n")


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "empty"),
        (b"\x01\x02", "4 bytes announced and 2 left"),
        (struct.pack("<i", 99), "kind 99"),
        (struct.pack("<ii", 2, -1), "length of -1"),
        (struct.pack("<ii", 2, 2**31 - 1), "announced"),
        (struct.pack("<iii", 3, 1, 2**31 - 1), "announced"),
        (struct.pack("<id", 1, 1.0) + b"more", "4 bytes behind"),
    ],
)
def test_broken_files_are_refused_in_one_line(read, raw, told):
    with pytest.raises(FeatureError, match=told) as caught:
        read(raw)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.t7", tmp_path):
        with pytest.raises(FeatureError, match="expected a file of Torch7"):
            read_torch7(path, CLASSES)


STORAGE = Storage(np.arange(6, dtype="f4"))


@pytest.mark.parametrize(
    "tensor",
    [
        Tensor(STORAGE, (7,), (1,)),
        Tensor(STORAGE, (3,), (3,)),
        Tensor(STORAGE, (2, 3), (3, 1), offset=1),
        Tensor(STORAGE, (2, 3), (3, 1), offset=-1),
        Tensor(STORAGE, (6,), (-1,), offset=5),
        Tensor(STORAGE, (-6,), (1,)),
        Tensor(STORAGE, (2**40,), (0,)),
        Tensor(STORAGE, (2**62, 2**62), (0, 0)),
        Tensor(STORAGE, (2**62, 4), (2**62, 1)),
        Tensor(STORAGE, (1,) * 17, (1,) * 17),
        Tensor(STORAGE, (6,), (1,), dtype="f8"),
        Tensor(None, (6,), (1,)),
        Tensor({"no": "storage"}, (6,), (1,)),  # type: ignore[arg-type]
        Tensor(Module("nn.Linear"), (6,), (1,)),  # type: ignore[arg-type]
    ],
)
def test_tensors_beyond_their_storage_are_refused(read, tensor):
    with pytest.raises(FeatureError, match="tensor"):
        read(tensor)


def test_nesting_is_limited(read):
    raw = b"".join(
        struct.pack("<iii", 3, k, 1) + struct.pack("<id", 1, 1.0) for k in range(1, 100_000)
    )
    with pytest.raises(FeatureError, match="nesting"):
        read(raw + struct.pack("<i", 0))
    deep: dict[int, object] = {}
    for _ in range(MAX_DEPTH - 1):
        deep = {1: deep}
    assert read(deep) == deep


def test_numbers_stay_in_the_file_until_they_are_asked_for(tmp_path):
    n = 1 << 28
    writer = Torch7Writer().value(Storage(np.zeros(0, "f4")))
    path = tmp_path / "hole.t7"
    with path.open("wb") as file:
        file.write(writer.data[:-8] + struct.pack("<q", n))
        file.truncate(len(writer.data) + 4 * n)  # a gigabyte of nothing
    tracemalloc.start()
    try:
        assert read_torch7(path, CLASSES).size == n
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


SMALL = bytes(
    Torch7Writer()
    .value(
        Module(
            "nn.Sequential",
            {
                "modules": [Module("nn.Linear", {"weight": np.ones((2, 3), "f4"), "_type": "x"})],
                7: 1.5,
            },
        )
    )
    .data
)


def arrays(value, seen):
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, Torch7Tensor):
        yield value.array()
    elif isinstance(value, Torch7Object):
        yield from arrays(value.fields, seen)
    elif isinstance(value, dict):
        for content in value.values():
            yield from arrays(content, seen)


def test_every_shortened_file_is_refused(read):
    assert sum(a.size for a in arrays(read(SMALL), set())) == 6
    for n in range(len(SMALL)):
        with pytest.raises(FeatureError):
            read(SMALL[:n])


@given(
    st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), min_size=1, max_size=6)
)
def test_a_damaged_file_is_refused_or_holds_no_more_than_it_is_long(tmp_path_factory, changes):
    raw = bytearray(SMALL)
    for position, byte in changes:
        raw[position] = byte
    path = tmp_path_factory.getbasetemp() / "damaged.t7"
    path.write_bytes(raw)
    try:
        found = read_torch7(path, CLASSES)
    except FeatureError:
        return
    for array in arrays(found, set()):
        assert array.nbytes <= len(raw)
