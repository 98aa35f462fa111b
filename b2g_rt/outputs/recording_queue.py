"""What waits to be recorded: the lossless queue between the service and the disk, bounded in memory.

Drop policy, in one place. Up to half of ``max_bytes`` everything is taken. Beyond it the pictures of frames are left
out: they can be made again from latents. At all of it samples are refused until half is written, so that one gap
results and not a comb of them. Markers, frames and events are small and are always taken. What was taken is
kept until it is written; what was not is counted here, and named by ``confessions``.

Many threads put, one takes. Knows neither files nor clocks.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.messages import FrameMessage, Occurrence

# More than this is written at once, without waiting for the time of the next flush.
BATCH_BYTES = 16 * 1024 * 1024


@dataclass(slots=True)
class Batch:
    """What was put between two takes, in order within each kind."""

    rows: list[NDArray[np.float32]] = field(default_factory=list)
    time_s: list[NDArray[np.float64]] = field(default_factory=list)
    index: list[NDArray[np.int64]] = field(default_factory=list)
    markers: list[tuple[float, str]] = field(default_factory=list)
    frames: list[FrameMessage] = field(default_factory=list)
    events: list[Occurrence] = field(default_factory=list)
    n_bytes: int = 0

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return sum(len(index) for index in self.index)


class RecordingQueue:
    """The queue.

    Parameters
    ----------
    max_bytes : int

    Attributes
    ----------
    n_refused : int
        Samples that were not taken, or were taken and could not be written.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.n_refused = 0
        self._changed = threading.Condition()
        self._batch = Batch()
        self._taken_bytes = 0
        self._closed = False
        self._broken = False
        self._refused: tuple[int, int, int] | None = None
        self._n_pictures_left_out = 0
        self._told_behind = False

    @property
    def waiting_bytes(self) -> int:
        """What was put and is not yet written."""
        return self._batch.n_bytes + self._taken_bytes

    # ------------------------------------------------------------- putting

    def samples(
        self, rows: NDArray[np.float32], time_s: NDArray[np.float64], index: NDArray[np.int64]
    ) -> None:
        """Put a copy of some samples, or refuse and count them."""
        size = rows.shape[0] * (rows.shape[1] * 4 + 16)
        with self._changed:
            limit = self.max_bytes // (2 if self._refused else 1)
            if self._broken or self._closed:
                self.n_refused += len(index)
            elif self.waiting_bytes + size > limit:
                self._refuse(index)
            else:
                self._batch.rows.append(np.array(rows, np.float32))
                self._batch.time_s.append(np.array(time_s, np.float64))
                self._batch.index.append(np.array(index, np.int64))
                self._added(size)

    def _refuse(self, index: NDArray[np.int64]) -> None:
        self.n_refused += len(index)
        first, n = (self._refused[0], self._refused[1]) if self._refused else (int(index[0]), 0)
        self._refused = (first, n + len(index), int(index[-1]) + 1)

    def marker(self, time_s: float, text: str) -> None:
        """Put a marker."""
        with self._changed:
            self._batch.markers.append((time_s, text))
            self._added(len(text) + 16)

    def frame(self, frame: FrameMessage) -> None:
        """Put a frame, without its picture when too much waits."""
        with self._changed:
            if frame.image is not None and self.waiting_bytes > self.max_bytes // 2:
                frame = msgspec.structs.replace(frame, image=None)
                self._n_pictures_left_out += 1
            picture = len(frame.image.data) if frame.image else 0
            self._batch.frames.append(frame)
            self._added(512 + len(frame.latent or b"") + picture)

    def event(self, message: Occurrence) -> None:
        """Put a stimulus, a trial's result or an event."""
        with self._changed:
            self._batch.events.append(message)
            self._added(512)

    def _added(self, size: int) -> None:
        if self._broken:
            self._batch = Batch()
            return
        was_empty = not self._batch.n_bytes
        self._batch.n_bytes += size
        if was_empty or self._batch.n_bytes > BATCH_BYTES:
            self._changed.notify()

    def close(self) -> None:
        """Take no more samples; what waits can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    # ------------------------------------------------------------- taking

    def take(self, wait_s: float) -> Batch | None:
        """Wait for something, then ``wait_s`` for more to come; None when closed and empty.

        Writing every chunk by itself costs ten times as much as writing them together.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._batch.n_bytes or self._closed)
            self._changed.wait_for(
                lambda: self._closed or self._batch.n_bytes > BATCH_BYTES, wait_s
            )
            batch, self._batch = self._batch, Batch()
            self._taken_bytes = batch.n_bytes
            return batch if batch.n_bytes else None

    def written(self) -> None:
        """Say that the last batch is on its way to the disk for good."""
        with self._changed:
            self._taken_bytes = 0

    def give_up(self, batch: Batch | None = None) -> None:
        """Keep and take nothing any more; ``batch`` was taken and could not be written."""
        with self._changed:
            self._broken = True
            self.n_refused += self._batch.n_samples + (batch.n_samples if batch else 0)
            self._batch = Batch()
            self._taken_bytes = 0

    # ------------------------------------------------------------- saying so

    def falls_behind(self) -> bool:
        """Whether more than a quarter of the memory is in use; true once until it is less again."""
        behind = self.waiting_bytes > self.max_bytes // 4
        first = behind and not self._told_behind
        self._told_behind = behind
        return first

    def confessions(self) -> list[str]:
        """Return what was left out, one line per cause, once half of the memory is free again."""
        with self._changed:
            if self.waiting_bytes > self.max_bytes // 2:
                return []
            refused, self._refused = self._refused, None
            pictures, self._n_pictures_left_out = self._n_pictures_left_out, 0
        lines = []
        if refused is not None:
            first, n, stop = refused
            lines.append(
                f"{n} samples between index {first} and {stop} not recorded, the disk could not keep up. "
                "Record to a faster disk."
            )
        if pictures:
            lines.append(
                f"{pictures} pictures left out, the disk could not keep up. Latents are all there."
            )
        return lines
