"""The archive inside the archive: only one whole storage of real numbers, within its own bytes."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch

from b2g_rt.errors import CheckpointError
from offline.stimuli.checkpoints.bounded_reader import Budget
from offline.stimuli.checkpoints.file_part import FilePart
from offline.stimuli.checkpoints.nodes import Blob
from offline.stimuli.checkpoints.storage_payload import Storage, storage_of

pytestmark = pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")

_SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
_NUMBERS = np.arange(3, dtype="<f4").tobytes()


def find(payload: bytes, before: bytes = b"before") -> Storage:
    """Look for the storage of a payload that stands in the middle of a file."""
    file = io.BytesIO(before + payload + b"behind" * 20)
    return storage_of(file, Blob(len(before), len(payload), False), "x", Budget())


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def identity(kind="torch\nFloatStorage", key="7", n=3, more=b"N", tag="storage") -> bytes:
    """The pickle that names a storage, as torch writes it."""
    number = b"J" + struct.pack("<i", n)
    return (
        b"\x80\x02("
        + _text(tag)
        + b"c"
        + kind.encode()
        + b"\n"
        + _text(key)
        + _text("cpu")
        + number
        + more
        + b"tQ."
    )


def legacy(
    magic=0x1950A86A20F9469CFC6C,
    protocol=1001,
    system=_SYSTEM,
    storage=None,
    keys=("7",),
    told=3,
    numbers=_NUMBERS,
) -> bytes:
    parts = [pickle.dumps(v, 2) for v in (magic, protocol, system)]
    parts += [storage or identity(), pickle.dumps(list(keys), 2)]
    return b"".join(parts) + struct.pack("<q", told) + numbers


def archive(members, compression=zipfile.ZIP_STORED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as file:
        for name, data in members:
            file.writestr(name, data)
    return made.getvalue()


@pytest.mark.parametrize("new_format", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.bfloat16])
def test_what_torch_saves_is_found_in_place(new_format, dtype):
    values = torch.tensor([1.5, -2.0, 3.25, 0.0, 8.0], dtype=dtype)
    saved = io.BytesIO()
    torch.save(values.storage(), saved, _use_new_zipfile_serialization=new_format)
    found = find(saved.getvalue())
    assert found.n == 5
    raw = (b"before" + saved.getvalue())[found.start : found.start + 5 * found.itemsize]
    assert raw == values.view(torch.uint8).numpy().tobytes()


def test_the_hand_made_formats_of_these_tests_are_valid():
    assert find(legacy()) == Storage("<f4", find(legacy()).start, 3)
    made = archive([("a/data.pkl", identity()), ("a/data/7", _NUMBERS)])
    assert find(made).n == 3


@pytest.mark.parametrize(
    ("payload", "line"),
    [
        (legacy(magic=1), "no storage written by torch"),
        (legacy(protocol=1000), "no storage written by torch"),
        (legacy(system={**_SYSTEM, "little_endian": False}), "big-endian machine"),
        (legacy(system=[]), "big-endian machine"),
        (legacy(keys=("7", "8")), "several storages"),
        (legacy(keys=()), "several storages"),
        (legacy(told=4), "announced"),
        (legacy(told=-1), "announced"),
        (legacy(numbers=_NUMBERS[:-1]), "numbers promised"),
        (legacy(numbers=_NUMBERS + b"x"), "numbers promised"),
        (legacy(storage=identity(n=2**30), told=2**30), "numbers promised"),
        (legacy(storage=identity(n=-1), told=-1), "without key and size"),
        (legacy(storage=identity(kind="torch\nLongStorage")), "torch.LongStorage, expected one of"),
        (legacy(storage=identity(kind="os\nsystem")), "names os.system"),
        (legacy(storage=identity(kind="torch\nload")), "names torch.load"),
        (legacy(storage=identity(more=b"(K\x00K\x00K\x01t")), "a view of another storage"),
        (legacy(storage=identity(tag="module")), "no storage, expected one"),
        (legacy(storage=b"\x80\x02N."), "no storage, expected one"),
        (legacy(storage=b"\x80\x02cos\nsystem\n)R."), "calls os.system"),
        (legacy()[:40], "ends at byte"),
        (legacy()[:-20], "without its numbers"),
        (b"", "ends at byte"),
        (archive([("a/data/7", _NUMBERS)]), "without data.pkl"),
        (archive([("a/data.pkl", identity())]), "no a/data/7 in the archive"),
        (archive([("a/data.pkl", identity()), ("a/data/7", b"1234")]), "numbers promised"),
        (
            archive([("a/data.pkl", identity()), ("a/data/7", bytes(12))], zipfile.ZIP_DEFLATED),
            "compressed or large",
        ),
        (archive([(f"a/{i}", b"") for i in range(100)]), "compressed or large"),
        (archive([(f"a/{i}" * 50, b"") for i in range(3000)]), "directory is too large"),
        (archive([("a/data.pkl", b"\x80\x02cos\nsystem\n.")]), "names os.system"),
        (b"PK\x03\x04" + bytes(100), "cannot be read"),
    ],
)
def test_anything_else_is_refused(payload, line):
    with pytest.raises(CheckpointError) as caught:
        find(payload)
    assert line in str(caught.value)
    assert str(caught.value).startswith("x: ")


def test_a_member_that_would_lie_outside_its_archive_is_refused():
    made = bytearray(archive([("a/data.pkl", identity()), ("a/data/7", _NUMBERS)]))
    # The second entry of the table of contents: offset of its local header.
    entry = made.rindex(b"PK\x01\x02")
    for offset in (len(made) + 5, len(made) - 10, 3):
        made[entry + 42 : entry + 46] = struct.pack("<I", offset)
        with pytest.raises(CheckpointError, match="outside its archive|cannot be read"):
            find(bytes(made))


def test_texts_and_other_things_are_no_payload():
    for payload in (None, b"short", Blob(0, 3, True)):
        with pytest.raises(CheckpointError, match="no bytes for a tensor"):
            storage_of(io.BytesIO(b"abc"), payload, "x", Budget())


def test_a_part_of_a_file_ends_where_it_should():
    part = FilePart(io.BytesIO(b"0123456789"), 2, 5, most=100)
    assert (part.readable(), part.seekable(), part.tell()) == (True, True, 0)
    assert part.read(3) == b"234"
    assert part.read() == b"56"
    assert part.read(4) == b""
    assert part.seek(-2, io.SEEK_END) == 3
    assert part.seek(1, io.SEEK_CUR) == 4
    assert part.read(9) == b"6"
    with pytest.raises(ValueError, match="before the beginning"):
        part.seek(-1)
    part.seek(0)
    with pytest.raises(ValueError, match="too large"):
        FilePart(io.BytesIO(b"0123456789"), 0, 10, most=4).read()
