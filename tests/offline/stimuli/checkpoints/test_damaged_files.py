"""Whatever happens to a checkpoint's bytes: a generator or one CheckpointError, nothing runs, memory stays bounded."""

from __future__ import annotations

import struct
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from b2g_rt.errors import CheckpointError
from offline.stimuli.checkpoints.official import Checkpoint
from tests.offline.stimuli.checkpoints.official_layout import Persistent, dumped
from tests.offline.stimuli.checkpoints.tiny_network import tiny_bytes

ROOT = Path(__file__).parents[4]
_CANARY = Path("/nonexistent/canary")
_quick = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@cache
def _good() -> bytes:
    return tiny_bytes(_CANARY)


def _ends_well(read, raw: bytes) -> Checkpoint | None:
    try:
        return read(raw)
    except CheckpointError as error:
        told = str(error)
    assert told.isprintable()  # one line among other things
    assert len(told) < 800
    return None


@_quick
@given(st.data())
def test_a_truncated_file_is_refused_at_every_offset(read, data):
    raw = _good()
    end = data.draw(st.integers(0, len(raw) - 1))
    assert _ends_well(read, raw[:end]) is None


@pytest.mark.parametrize("n_left", [1, 2, 3, 9, 100, 1000])
def test_a_file_without_its_last_bytes_is_called_incomplete(read, n_left):
    with pytest.raises(CheckpointError, match="The file is incomplete"):
        read(_good()[:-n_left])


@_quick
@given(st.data())
def test_changed_bytes_end_well(read, data):
    raw = bytearray(_good())
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(2, len(raw) - 1))
        raw[position] = data.draw(st.integers(0, 255))
    _ends_well(read, bytes(raw))


@_quick
@given(st.data())
def test_bytes_that_were_lost_or_came_twice_end_well(read, data):
    raw = _good()
    start = data.draw(st.integers(2, len(raw) - 1))
    n = data.draw(st.sampled_from([1, 2, 4, 8, 64, 4096]))
    cut = raw[:start] + raw[start + n :]
    twice = raw[: start + n] + raw[start:]
    _ends_well(read, cut)
    _ends_well(read, twice)


_OPCODES = (
    [bytes([b]) for b in b"().N]}0123abdelostuR\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94"]
    + [b"K\x07", b"h\x00", b"h\x01", b"q\x00", b"q\x01", b"cos\nsystem\n", b"\x82\x01"]
    + [b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n"]
    + [
        b"ctorch.storage\n_load_from_bytes\n",
        b"cnumpy\ndtype\n",
        b"C\x03abc",
        b"X\x01\x00\x00\x00a",
    ]
    + [b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n", b"X\x05\x00\x00\x00G_ema"]
    + [
        b"\x95" + struct.pack("<Q", 3),
        b"M\xff\xff",
        b"J\xff\xff\xff\xff",
        b"I01\n",
        b"\x8a\x01\x05",
    ]
)


@settings(_quick, max_examples=150)
@given(st.lists(st.sampled_from(_OPCODES), max_size=40))
def test_any_sequence_of_opcodes_ends_well(read, opcodes):
    assert _ends_well(read, b"\x80\x04" + b"".join(opcodes) + b".") is None


@_quick
@given(st.lists(st.sampled_from(_OPCODES), max_size=12), st.data())
def test_opcodes_put_anywhere_into_a_checkpoint_end_well(read, opcodes, data):
    raw = _good()
    start = data.draw(st.integers(2, len(raw) - 1))
    _ends_well(read, raw[:start] + b"".join(opcodes) + raw[start:])


# ---------------------------------------------------------------- memory and time


def _text(value: bytes) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value


_BOMBS = {
    "dictionaries": b"}" * 2_100_000 + b".",
    "doubled tuples": b"]" + b"".join(b"2\x86q%c" % i for i in range(200)) + b".",
    "wide texts": _text(("a" * 4000 + "\U0001f600").encode()) * 10_000 + b".",
    "a long text": b"X" + struct.pack("<I", 40_000_000) + b"a" * 40_000_000 + b".",
    "a byte length": b"\x8e" + struct.pack("<Q", 2**60) + b"x" * 1000 + b".",
    "a text length": b"\x8d" + struct.pack("<Q", 2**63 - 1) + b"x" * 1000 + b".",
    "appended one by one": b"ccollections\nOrderedDict\n)R" + b"(Ne" * 300_000 + b".",
    "deep calls": b"N" + b")R" * 500_000 + b".",
    "deep in G_ema": b"}" + _text(b"G_ema") + b")" + b"\x85" * 500_000 + b"s.",
    "many names": b"".join(b"c%d\nx\n" % i for i in range(200_000)) + b".",
}
_LIMITED = """
import sys, time
from pathlib import Path
from b2g_rt.errors import CheckpointError
from offline.stimuli.checkpoints.official import read_checkpoint
from tests.own_memory import own_memory
def peak():
    return own_memory() / 1024**2
try: read_checkpoint(Path(sys.argv[1]))  # imports what is imported late
except CheckpointError: pass
for path in sorted(Path(sys.argv[2]).glob("*.pkl")):
    began, before = time.process_time(), peak()
    try: read_checkpoint(path); told = "loaded"
    except CheckpointError as error: told = "refused"
    print(path.stem, told, round(peak() - before), round(time.process_time() - began, 1), sep=";")
"""


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_files_made_to_fill_the_memory_are_refused_within_bounds(tmp_path):
    bombs = tmp_path / "bombs"
    bombs.mkdir()
    for name, opcodes in _BOMBS.items():
        (bombs / f"{name}.pkl").write_bytes(b"\x80\x04" + opcodes)
    good = tmp_path / "good.pkl"
    good.write_bytes(_good())
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(good), str(bombs)],
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split(";") for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == sorted(_BOMBS)
    assert all(row[1] == "refused" for row in rows), rows
    # The peak never falls within a process, so the growths add up to the worst file.
    assert sum(int(row[2]) for row in rows) < 400, rows
    assert max(float(row[3]) for row in rows) < 15, rows


def _module(buffers, modules):
    state = {"_parameters": {}, "_buffers": buffers, "_modules": modules}
    return Persistent("Generator", state, "x")


def test_a_few_tensors_under_ever_more_names_are_refused(read):
    leaf = _module({f"b{i}": torch.zeros(1) for i in range(500)}, {})
    raw = dumped({"G_ema": _module({}, {f"m{i}": leaf for i in range(900)})})
    with pytest.raises(CheckpointError, match="more numbers than|expected at most 4096"):
        read(raw)


def test_a_name_without_end_is_refused(read):
    deep = _module({"b": torch.zeros(1)}, {})
    for _ in range(10):
        deep = _module({}, {"n" * 4000: deep})
    with pytest.raises(CheckpointError, match="names of at most 200 characters"):
        read(dumped({"G_ema": deep}))


def test_one_number_is_no_large_tensor(read):
    many = _module({"b": torch.zeros(1).expand(1000, 1000)}, {})
    with pytest.raises(CheckpointError, match="expected a dense tensor"):
        read(dumped({"G_ema": many}))
