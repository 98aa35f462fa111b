"""Classes of the image set: from WordNet ids to the indices that a class-conditional generator knows.

For the plans of stimulus sets. The index of a class is its position among the 1000 sorted WordNet ids of
ImageNet-1k, listed in ``imagenet_classes.tsv`` beside this file, and so is the paper's list of 200. Must not know
generators or pictures.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from b2g_rt.errors import StimulusError

Lookup = Literal["id", "paper"]

TABLE = Path(__file__).with_name("imagenet_classes.tsv")
PAPER_LIST = Path(__file__).with_name("tiny_imagenet_wnids.txt")
"""The 200 classes of the paper, in its order."""

_WNID = re.compile(r"n\d{8}")


@dataclass(frozen=True, slots=True)
class ImageNetClasses:
    """The 1000 classes of ImageNet-1k.

    Attributes
    ----------
    wnids : tuple of str
        WordNet ids, sorted: a class's index is its position.
    names : tuple of str
        All names of each class, separated by commas.
    """

    wnids: tuple[str, ...]
    names: tuple[str, ...]

    def label(self, class_idx: int) -> str:
        """Return a class's first name."""
        return self.names[class_idx].partition(",")[0]

    def by_id(self, wnid: str) -> int:
        """Return the index of a WordNet id.

        Raises
        ------
        KeyError
            It is none of the 1000.
        """
        try:
            return self.wnids.index(wnid)
        except ValueError:
            raise KeyError(wnid) from None

    def as_in_the_paper(self, wnid: str) -> int:
        """Return the index that the published notebook found for a WordNet id.

        It looked for the first class whose names begin with the label, which is another class wherever a longer
        name comes earlier: for 'bee' it is 'bee eater'.

        Raises
        ------
        KeyError
            It is none of the 1000.
        """
        label = self.label(self.by_id(wnid))
        return next(i for i, names in enumerate(self.names) if names.startswith(label))


@cache
def imagenet() -> ImageNetClasses:
    """Return the table of the 1000 classes."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    return ImageNetClasses(tuple(row[0] for row in rows), tuple(row[1] for row in rows))


def read_class_list(path: Path) -> tuple[str, ...]:
    """Read WordNet ids, one a line; empty lines and what follows a ``#`` are skipped.

    Raises
    ------
    StimulusError
        The file cannot be read, holds no ids, or an id is malformed, unknown or there twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "no text"
        raise StimulusError(
            f"{path}: {why}, expected a class list. Give a text file of WordNet ids, one a line, with --classes."
        ) from None
    wnids: list[str] = []
    known = set(imagenet().wnids)
    for number, line in enumerate(text.splitlines(), start=1):
        entry = line.partition("#")[0].strip()
        if not entry:
            continue
        if not _WNID.fullmatch(entry) or entry not in known:
            raise StimulusError(
                f"{path}: line {number}: '{entry:.40}', expected the WordNet id of an ImageNet-1k class, for example "
                f"{imagenet().wnids[0]}. Correct the line."
            )
        wnids.append(entry)
    if not wnids:
        raise StimulusError(f"{path}: no ids, expected WordNet ids, one a line. Add some.")
    twice = [wnid for wnid, n in Counter(wnids).items() if n > 1]
    if twice:
        raise StimulusError(
            f"{path}: {twice[0]} {wnids.count(twice[0])} times, expected every class once. Remove the others."
        )
    return tuple(wnids)


def class_indices(wnids: tuple[str, ...], lookup: Lookup) -> list[int]:
    """Return the index of each class.

    Parameters
    ----------
    wnids : tuple of str
        As ``read_class_list`` gives them.
    lookup : {'id', 'paper'}
        By id, or as the published notebook found them, ten of its 200 wrongly.
    """
    table = imagenet()
    find = table.by_id if lookup == "id" else table.as_in_the_paper
    return [find(wnid) for wnid in wnids]
