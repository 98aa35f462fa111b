from __future__ import annotations

import hashlib

import pytest

from b2g_rt.errors import StimulusError
from offline.stimuli.synthesis.classes import (
    PAPER_LIST,
    class_indices,
    imagenet,
    read_class_list,
)

WRONG_IN_THE_PAPER = {
    "cliff": "cliff dwelling",
    "espresso": "espresso maker",
    "bee": "bee eater",
    "dam": "damselfly",
    "hog": "hognose snake",
    "crane": "crane",
    "barn": "barn spider",
    "plate": "plate rack",
    "pole": "polecat",
    "acorn": "acorn squash",
}


def test_the_table_holds_the_1000_classes_sorted_by_id():
    table = imagenet()
    assert len(table.wnids) == len(table.names) == 1000
    assert list(table.wnids) == sorted(set(table.wnids))
    known = {0: "tench", 281: "tabby", 517: "crane", 999: "toilet tissue"}
    assert {i: table.label(i) for i in known} == known


def test_the_shipped_list_is_the_papers_in_its_order():
    wnids = read_class_list(PAPER_LIST)
    assert len(wnids) == 200
    assert (wnids[0], wnids[-1]) == ("n02124075", "n02504458")
    digest = hashlib.sha256("\n".join(wnids).encode()).hexdigest()
    assert digest == "d9cb11f6be1439ac299ac5047acf001cda5f4dcc9cd17c7323b08389cd3ab7ea"


def test_by_id_every_class_is_its_own():
    wnids = read_class_list(PAPER_LIST)
    assert [imagenet().wnids[i] for i in class_indices(wnids, "id")] == list(wnids)


def test_the_papers_lookup_takes_these_ten_classes_wrongly_and_no_other():
    wnids = read_class_list(PAPER_LIST)
    table = imagenet()
    pairs = zip(class_indices(wnids, "id"), class_indices(wnids, "paper"), strict=True)
    wrong = {table.label(right): taken for right, taken in pairs if right != taken}
    assert {name: table.label(taken) for name, taken in wrong.items()} == WRONG_IN_THE_PAPER
    # The machine was meant; the notebook took the bird of the same name.
    assert table.wnids[wrong["crane"]] == "n02012849"


def test_a_list_may_have_comments_empty_lines_and_windows_line_ends(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_bytes(b"\xef\xbb\xbf# fishes\r\nn01443537  # goldfish\r\n\r\nn01440764\r\n")
    assert read_class_list(path) == ("n01443537", "n01440764")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"n01440764\nn00000001\n", "line 2: 'n00000001', expected the WordNet id"),
        (b"tench\n", "line 1: 'tench', expected the WordNet id"),
        (b"n01440764\nn01443537\nn01440764\n", "n01440764 2 times, expected every class once"),
        (b"# nothing\n", "no ids, expected WordNet ids"),
        (b"\xff\xfe\x00n\x00", "no text, expected a class list"),
    ],
)
def test_a_list_that_cannot_be_used_is_refused_in_one_line(tmp_path, content, told):
    path = tmp_path / "classes.txt"
    path.write_bytes(content)
    with pytest.raises(StimulusError) as refused:
        read_class_list(path)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_list_and_a_directory_are_refused(tmp_path):
    with pytest.raises(StimulusError, match="No such file or directory, expected a class list"):
        read_class_list(tmp_path / "none.txt")
    with pytest.raises(StimulusError, match="Is a directory"):
        read_class_list(tmp_path)
