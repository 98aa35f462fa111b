"""Opcodes become inert notes: what they say is kept, what they ask for in memory is not given."""

from __future__ import annotations

import io
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2g_rt.errors import CheckpointError
from offline.stimuli.checkpoints import pickle_walk
from offline.stimuli.checkpoints.bounded_reader import Budget
from offline.stimuli.checkpoints.nodes import (
    Blob,
    Call,
    Global,
    Items,
    Members,
    Persistent,
    children,
    pairs_of,
    shown,
)
from offline.stimuli.checkpoints.pickle_walk import PickleWalk


def walk(raw: bytes, **kwargs):
    return PickleWalk(io.BytesIO(raw), 0, len(raw), "x", **kwargs).walk()[0]


def plain(node, raw):
    """Rebuild plain Python data from nodes."""
    if isinstance(node, Items):
        return {plain(k, raw): plain(v, raw) for k, v in pairs_of(node.flat_pairs)}
    if isinstance(node, Members):
        return frozenset(plain(v, raw) for v in node.appended or ())
    if isinstance(node, Blob):
        data = raw[node.start : node.start + node.length]
        return data.decode("utf-8", "surrogatepass") if node.is_text else data
    if isinstance(node, list):
        return [plain(v, raw) for v in node]
    if isinstance(node, tuple):
        return tuple(plain(v, raw) for v in node)
    if isinstance(node, Call):  # sets before protocol 4
        return frozenset(plain(v, raw) for v in node.arguments[0])
    return node


_leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**100), 2**100)
    | st.floats(allow_nan=False)
    | st.text(max_size=300)
    | st.binary(max_size=300)
)
_data = st.recursive(
    _leaves,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.tuples(inner, inner, inner, inner)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=5)
        | st.frozensets(st.text(max_size=5), max_size=4)
    ),
    max_leaves=30,
)


@settings(max_examples=120, deadline=None)
@given(_data, st.integers(3, 5))
def test_plain_data_is_what_pythons_pickler_wrote(data, protocol):
    raw = pickle.dumps(data, protocol)
    assert plain(walk(raw), raw) == data


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_old_protocols_are_walked_as_well(protocol):
    data = {"a": [1, -(2**40), 2.5, None, True, False, "\u00e4\u20ac", (), (1,), (1, 2)], "b": {}}
    raw = pickle.dumps(data, protocol)
    found = plain(walk(raw), raw)
    assert found["a"][:2] == data["a"][:2]
    assert found["a"][2:6] == data["a"][2:6]
    assert found["a"][7:] == data["a"][7:]


def test_names_and_calls_stay_notes():
    raw = pickle.dumps(np.float64(1.5), 4)
    node = walk(raw)
    assert isinstance(node, Call)
    assert node.function.path == f"{np.float64(1).__reduce__()[0].__module__}.scalar"
    assert node.arguments[1] == struct.pack("<d", 1.5)
    assert node.arguments[0].state[0][1] == "<"
    assert walk(b"\x80\x02cos\nsystem\n.").path == "os.system"
    assert walk(b"\x80\x02X\x01\x00\x00\x00aQ.").identity == "a"
    assert walk(b"Pthere\n.").identity == "there"
    assert walk(b"\x84\x01\x00\x00\x00.").path == "copyreg extension.1"
    assert walk(b"(ios\nsystem\n.").how == "call"
    node = walk(b"cos\nPopen\n)}\x92.")
    assert (node.how, node.arguments[0]) == ("new", ())


def test_references_within_the_pickle_give_the_same_note():
    once = ["x"]
    node = walk(pickle.dumps([once, once], 4))
    assert node[0] is node[1]


def test_a_list_that_holds_itself_is_walked():
    data: list = []
    data.append(data)
    node = walk(pickle.dumps(data, 4))
    assert node[0] is node


def test_large_texts_and_bytes_stay_in_the_file():
    raw = pickle.dumps({"a": b"x" * 10**6, "b": "y" * 10**6}, 4)
    node = walk(raw)
    places = [v for _, v in pairs_of(node.flat_pairs)]
    assert [type(v) for v in places] == [Blob, Blob]
    assert [v.length for v in places] == [10**6, 10**6]
    assert raw[places[0].start :][:3] == b"xxx"
    assert raw[places[1].start :][:3] == b"yyy"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x80\x04",
        b"N",
        b"X\xff\xff\xff\xff.",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"\x96\xff\xff\xff\xff\xff\xff\xff\x00.",
        b"B\xff\xff\xff\x7f.",
        b"T\x7f\xff\xff\x7f.",
        b"\x95\xff\xff\xff\xff\xff\xff\xff\x7fN.",
        b"cos\nsystem",
        b"I12",
        b"\x8b\xff\xff\xff\x7f.",
    ],
)
def test_a_length_beyond_the_file_is_a_truncated_file(raw):
    with pytest.raises(CheckpointError, match="ends at byte"):
        walk(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b".",
        b"0.",
        b"N0.",
        b"t.",
        b"(.",
        b"a.",
        b"Na.",
        b"NNa.",
        b"}NNu.",
        b"}(Nu.",
        b"(Nd.",
        b"NNNs.",
        b"R.",
        b"NR.",
        b"NNb.",
        b"h\x00.",
        b"g5\n.",
        b"gx\n.",
        b"q\x00.",
        b"2.",
        b"\x85.",
        b"N\x86.",
        b"\x93.",
        b"NN\x93.",
        b"X\x02\x00\x00\x00\xff\xfe.",
        b"\x80\x06N.",
        b"\xff.",
        b"Ixx\n.",
        b"Fxx\n.",
        b"I" + b"9" * 5000 + b"\n.",
        b"\x8b\xff\xff\xff\xff.",
        b"T\xff\xff\xff\xff.",
        b"\x8b\x01\x08\x00\x00" + bytes(3000) + b".",
        b"\x97.",
        b"N\x98.",
        b"(o.",
        b"c" + b"x" * 70_000 + b"\ny\n.",
    ],
)
def test_opcodes_that_make_no_sense_are_a_damaged_file(raw):
    with pytest.raises(CheckpointError) as caught:
        walk(raw)
    assert "no readable pickle at byte" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_too_many_opcodes_or_names_are_refused():
    with pytest.raises(CheckpointError, match="made to fill the memory"):
        walk(b"}" * 1000 + b".", budget=Budget(opcodes=999))
    text = b"X\xe8\x03\x00\x00" + b"a" * 1000
    with pytest.raises(CheckpointError, match="bytes of names and numbers"):
        walk(text * 20 + b".", budget=Budget(text_bytes=10_000))


def test_a_budget_is_shared_by_several_pickles():
    budget = Budget(opcodes=15)
    walk(b"N" * 10 + b".", budget=budget)
    with pytest.raises(CheckpointError, match="opcodes"):
        walk(b"N" * 10 + b".", budget=budget)


def test_progress_tells_of_every_few_megabytes():
    raw = pickle.dumps([b"x" * 10**7 for _ in range(3)], 4)
    told: list[int] = []
    PickleWalk(io.BytesIO(raw), 0, len(raw), "x", progress=told.append).walk()
    assert len(told) >= 1
    assert sum(told) <= len(raw)
    assert min(told) >= pickle_walk._PROGRESS_STEP


def test_deep_nesting_needs_no_recursion():
    depth = 200_000
    node = walk(b")" + b"\x85" * depth + b".")
    for _ in range(depth):
        (node,) = node
    assert node == ()
    calls = walk(b"N" + b")R" * depth + b".")
    assert isinstance(calls, Call)
    del calls


def test_what_is_shown_of_a_file_is_one_printable_line():
    assert shown("a\nb\x1b[31m") == "a?b?[31m"
    assert shown("x" * 500) == "x" * 80 + "..."
    assert list(children(Persistent(Global("a", "b"))))[0][1].path == "a.b"
    assert list(children(3)) == []
