"""What runs between two stages: a queue that loses nothing, or a slot in which the newest wins.

A stage is a thread; an edge is the only thing two stages share. What a slot supersedes is handed to a callback,
never dropped in silence.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Edge:
    """One arrow of the graph. ``capacity`` items; ``lossless`` makes the sender wait, ``newest`` supersedes."""

    output: str
    input: str
    capacity: int
    policy: Literal["lossless", "newest"]


class Closed(Exception):
    """The edge was closed by its sender and is empty."""


class LosslessQueue(Generic[T]):
    """A bounded first-in first-out queue; a full one makes the sender wait."""

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self._queue: queue.Queue[T | None] = queue.Queue(edge.capacity)

    def put(self, item: T) -> None:
        """Append, waiting while the queue is full."""
        self._queue.put(item)

    def get(self) -> T:
        """Return the oldest item, waiting for one.

        Raises
        ------
        Closed
            The sender has closed and everything was taken.
        """
        item = self._queue.get()
        if item is None:
            raise Closed
        return item

    def close(self) -> None:
        """Say that nothing more will come."""
        self._queue.put(None)

    def __len__(self) -> int:
        """Items waiting."""
        return self._queue.qsize()


class NewestSlot(Generic[T]):
    """Holds one item; a newer one supersedes it, and the old one goes to ``on_superseded``.

    Parameters
    ----------
    edge : Edge
    on_superseded : callable
        Called in the sender's thread with what was superseded, oldest first.
    """

    def __init__(self, edge: Edge, on_superseded: Callable[[T], None]) -> None:
        self.edge = edge
        self._on_superseded = on_superseded
        self._item: T | None = None
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: T) -> None:
        """Offer an item."""
        with self._changed:
            old, self._item = self._item, item
            self._changed.notify()
        if old is not None:
            self._on_superseded(old)

    def get(self) -> T:
        """Take the newest item, waiting for one.

        Raises
        ------
        Closed
            The sender has closed and the slot is empty.
        """
        with self._changed:
            while self._item is None:
                if self._closed:
                    raise Closed
                self._changed.wait()
            item, self._item = self._item, None
            return item

    def close(self) -> None:
        """Say that nothing more will come; what is in the slot is still taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
