"""What a pickle says, as inert data: a name stays a name, a call stays a note that something would be called.

Nothing here can run. Made by `pickle_walk`, judged by `allowed_names`, read by the rest of the room.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

MAX_SHOWN = 80


@dataclass(slots=True, eq=False)
class Global:
    """Something that the file calls by name: a class or a function of some module."""

    module: str
    name: str

    @property
    def path(self) -> str:
        """Module and name, joined by a dot."""
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False)
class Call:
    """Something that a pickle would have made by calling ``function``, with what it would have done to it afterwards.

    Attributes
    ----------
    function : object
        Usually a ``Global``.
    arguments : object
        Usually a tuple.
    how : {'call', 'new'}
        Whether the function would be called, or the class's ``__new__``.
    state : list or None
        What it would have been told by ``__setstate__``; more than one only in odd files.
    flat_pairs : list or None
        Keys and values in turn, set like those of a dictionary.
    appended : list or None
        Values appended like those of a list or set.
    """

    function: Any
    arguments: Any
    how: Literal["call", "new"]
    state: list[Any] | None = None
    flat_pairs: list[Any] | None = None
    appended: list[Any] | None = None


@dataclass(slots=True, eq=False)
class Items:
    """A dictionary: keys and values in turn, unhashed, as keys may be anything."""

    flat_pairs: list[Any]


@dataclass(slots=True, eq=False)
class Members:
    """A set or frozen set."""

    appended: list[Any] | None


@dataclass(slots=True, eq=False)
class Blob:
    """Bytes or a long text that stay in the file.

    Attributes
    ----------
    start, length : int
        Where, in bytes.
    is_text : bool
    """

    start: int
    length: int
    is_text: bool


@dataclass(slots=True, eq=False)
class Persistent:
    """A reference to something outside the pickle."""

    identity: Any


def pairs_of(flat: list[Any] | None) -> Iterator[tuple[Any, Any]]:
    """Yield (key, value)."""
    return zip(flat[::2], flat[1::2], strict=True) if flat else iter(())


def children(node: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a node holds, each with a label for a path such as ``synthesis``."""
    if isinstance(node, Call):
        yield "(function)", node.function
        yield "", node.arguments
        for state in node.state or ():
            yield "", state
        yield from _labelled(node.flat_pairs)
        for value in node.appended or ():
            yield "[]", value
    elif isinstance(node, Items):
        yield from _labelled(node.flat_pairs)
    elif isinstance(node, Members):
        for value in node.appended or ():
            yield "[]", value
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield "", value
    elif isinstance(node, Persistent):
        yield "(reference)", node.identity


def _labelled(flat: list[Any] | None) -> Iterator[tuple[str, Any]]:
    for key, value in pairs_of(flat):
        label = shown(key, 40) if isinstance(key, (str, int)) else "(key)"
        yield label, key
        yield label, value


def shown(text: Any, most: int = MAX_SHOWN) -> str:
    """Return text from a file for a message: one line, printable, cut."""
    text = str(text)
    cut = text[:most] + ("..." if len(text) > most else "")
    return "".join(c if c.isprintable() else "?" for c in cut)
