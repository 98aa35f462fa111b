"""Session recorder: writes what came in and what went out to HDF5, in a thread of its own.

The lossless edge of the service. Callers hand over and return at once; the thread writes everything that is there
every ``flush_s`` and flushes, so a killed process loses at most that much and the time of one write. Every few seconds
the file is also forced to the disk (fsync), which bounds what a power cut costs.

When the disk cannot keep up, what waits is kept in memory (recording_queue.py says how much and what gives way
first), and it is said: a warning at a quarter, an error that names every gap once the disk is back, which also
stands among the file's events. When the disk is nearly full or fails, the recording ends with an error; what was
flushed stays readable, and nothing is kept in memory any more.

Knows HDF5 and messages, nothing of LSL, sockets, Qt.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.messages import (
    VERSION,
    EventMessage,
    FrameMessage,
    Occurrence,
)
from b2g_rt.contracts.session import SessionInfo
from b2g_rt.errors import SessionError
from b2g_rt.outputs.recording_queue import BATCH_BYTES, Batch, RecordingQueue
from b2g_rt.outputs.session_writer import SessionWriter

# 1024 channels at 1 kHz are 4.1 MB/s: a disk may stand still for two minutes.
MAX_WAITING_BYTES = 512 * 1024 * 1024
FSYNC_EVERY_S = 2.0
# The recording ends while there is room to close the file cleanly.
RESERVE_BYTES = 64 * 1024 * 1024
_CLOSE_TIMEOUT_S = 60.0

Trouble = Callable[[Literal["warning", "error"], str], None]

_log = logging.getLogger(__name__)


class Recorder:
    """One session file being written.

    Parameters
    ----------
    path : Path
        Must not exist; missing folders are made.
    info : SessionInfo
    n_columns : int
        Columns of the stream, dead ones included.
    flush_s : float
        Longest time between arrival and the file, s.
    images : {'none', 'jpeg'}
        Whether the pictures of frames are kept; raw ones are compressed by the recorder's thread.
    n_latents : int, optional
        None: nothing is decoded, the file gets no /frames.
    stimuli : (ids, latents float32 axes (stimulus, latent)), optional
        Written into the file, so that it can be scored and trained on by itself.
    on_trouble : callable (level, text), optional
        Told once per cause, from any thread; must not block. All of it is logged besides.
    max_waiting_bytes : int
        What may wait in memory when the disk cannot keep up.

    Attributes
    ----------
    n_samples : int
        Samples written and flushed. Closed, ``n_samples + n_refused`` is what was handed over.
    failed : str
        Why the recording ended early, else "".

    Raises
    ------
    SessionError
        The file is there already or cannot be made, or there is no room for it.
    """

    def __init__(
        self,
        path: Path,
        info: SessionInfo,
        n_columns: int,
        *,
        flush_s: float,
        images: Literal["none", "jpeg"],
        n_latents: int | None = None,
        stimuli: tuple[list[str], NDArray[np.float32]] | None = None,
        on_trouble: Trouble | None = None,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        self.path = path
        self.n_samples = 0
        self.failed = ""
        self._n_columns = n_columns
        self._flush_s = flush_s
        self._images = images == "jpeg"
        self._on_trouble = on_trouble
        _require_room(path)
        self._writer = SessionWriter(
            path,
            info,
            n_columns,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            n_latents=n_latents,
            images=self._images,
            stimuli=stimuli,
        )
        self._takes_frames = n_latents is not None
        self._queue = RecordingQueue(max_waiting_bytes)
        self._last_time_s = 0.0
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def samples(
        self, rows: NDArray[np.float32], time_s: NDArray[np.float64], index: NDArray[np.int64]
    ) -> None:
        """Take samples as they came in, late ones too; the arrays are copied.

        Parameters
        ----------
        rows : float32, axes (sample, stream column), unit of the session
        time_s : float64, axes (sample,), LSL clock, seconds
        index : int64, axes (sample,)
            Where each sample belongs on the sample clock.

        Raises
        ------
        ValueError
            The shapes do not fit each other or the file: a fault of the caller.
        """
        if rows.shape != (len(rows), self._n_columns) or not len(rows) == len(time_s) == len(index):
            raise ValueError(
                f"recorder: rows {rows.shape}, time_s {time_s.shape}, index {index.shape}, "
                f"expected (n, {self._n_columns}), (n,), (n,)."
            )
        if not len(rows):
            return
        self._last_time_s = float(time_s[-1])
        self._queue.samples(rows, time_s, index)
        if self._queue.falls_behind():
            self._tell(
                "warning",
                f"{self.path}: the disk cannot keep up, {self.waiting_bytes / 1e6:.0f} MB wait in memory, "
                f"{self._queue.max_bytes / 1e6:.0f} MB may. Nothing is lost yet. Close what else writes.",
            )

    def marker(self, time_s: float, text: str) -> None:
        """Take a marker as it came in; ``time_s`` on the LSL clock."""
        self._queue.marker(time_s, text)

    def frame(self, frame: FrameMessage) -> None:
        """Take a frame as published, with its picture if it has one."""
        if not self._takes_frames:
            raise ValueError("recorder: opened without n_latents, so it takes no frames.")
        if frame.image is not None and not self._images:
            frame = msgspec.structs.replace(frame, image=None)
        self._queue.frame(frame)

    def event(self, message: Occurrence) -> None:
        """Take a stimulus, a trial's result or an event."""
        self._queue.event(message)

    def close(self) -> None:
        """Write what waits, close the file; twice is harmless.

        Raises
        ------
        SessionError
            The disk did not take the rest within a minute.
        """
        self._queue.close()
        self._thread.join(_CLOSE_TIMEOUT_S)
        if self._thread.is_alive():
            raise SessionError(
                f"{self.path}: {self.waiting_bytes} bytes still wait for the disk after {_CLOSE_TIMEOUT_S:g} s. "
                "Check the disk; what is written can be read with `b2g-rt repair`."
            )

    def __enter__(self) -> Recorder:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    @property
    def waiting_bytes(self) -> int:
        """What waits in memory for the disk."""
        return self._queue.waiting_bytes

    @property
    def n_refused(self) -> int:
        """Samples handed over that are not in the file: the disk could not keep up, or the recording had ended."""
        return self._queue.n_refused

    def _tell(self, level: Literal["warning", "error"], text: str) -> None:
        _log.log(logging.ERROR if level == "error" else logging.WARNING, "%s", text)
        if self._on_trouble is not None:
            self._on_trouble(level, text)

    # ------------------------------------------------------------- the recorder's thread

    def _run(self) -> None:
        try:
            self._write_until_closed()
        except _DiskNearlyFull as full:
            self._end_early(f"{full}. Recording has stopped, the file is complete up to here.")
        except Exception as error:
            # OSError from the disk; h5py also wraps it in RuntimeError and ValueError.
            _log.debug("recorder", exc_info=True)
            self._end_early(
                f"{_reason(error)}. Recording has stopped; what was flushed before can be read with `b2g-rt repair`."
            )
            self._writer.abandon()
            return
        self._close_file()

    def _close_file(self) -> None:
        try:
            self._writer.close()
        except Exception as error:
            self._end_early(
                f"not closed properly: {_reason(error)}; `b2g-rt repair` makes a clean copy."
            )
            self._writer.abandon()

    def _write_until_closed(self) -> None:
        synced = time.monotonic()
        while (batch := self._queue.take(self._flush_s)) is not None:
            try:
                self._write(batch)
            except Exception:
                self._queue.give_up(batch)
                raise
            self.n_samples += batch.n_samples
            self._queue.written()
            self._confess()
            if time.monotonic() - synced > FSYNC_EVERY_S:
                os.fsync(self._writer.descriptor)
                synced = time.monotonic()
                self._check_room()
        os.fsync(self._writer.descriptor)

    def _write(self, batch: Batch) -> None:
        # In parts, so that putting the rows together takes little memory.
        step = max(1, BATCH_BYTES // max(1, batch.rows[0].nbytes)) if batch.rows else 1
        for k in range(0, len(batch.rows), step):
            part = slice(k, k + step)
            self._writer.samples(
                np.concatenate(batch.rows[part]),
                np.concatenate(batch.time_s[part]),
                np.concatenate(batch.index[part]),
            )
        self._writer.markers(batch.markers)
        self._writer.frames(batch.frames)
        self._writer.events(batch.events)
        self._writer.flush()

    def _confess(self) -> None:
        for line in self._queue.confessions():
            text = f"{self.path}: {line}"
            event = EventMessage(VERSION, "recorder", "error", text, self._last_time_s)
            self._writer.events([event])
            self._writer.flush()
            self._tell("error", text)

    def _check_room(self) -> None:
        free = shutil.disk_usage(self.path.parent).free
        if free < RESERVE_BYTES:
            raise _DiskNearlyFull(f"{free / 1e6:.0f} MB free on the disk, the reserve is reached")

    def _end_early(self, why: str) -> None:
        self._queue.give_up()
        if not self.failed:
            self.failed = f"{self.path}: {why} Free the disk and record to a new file."
            self._tell("error", self.failed)


def _require_room(path: Path) -> None:
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    free = shutil.disk_usage(folder).free
    if free < RESERVE_BYTES:
        raise SessionError(
            f"{path}: {free / 1e6:.0f} MB free on the disk, expected more than {RESERVE_BYTES / 1e6:.0f}. "
            "Free the disk or record elsewhere."
        )


class _DiskNearlyFull(Exception):
    """Ends a recording while the file can still be closed cleanly."""


def _reason(error: Exception) -> str:
    # HDF5 packs half a page into one message; the operating system's words are what helps.
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = " ".join(str(error).split())
    words = re.search(r"error message = '([^']+)'", text)
    return words[1] if words else text[:120] or type(error).__name__
