"""A session file open for writing, readable by others while it grows (HDF5, SWMR).

Everything is made before the first row, as SWMR demands. One thread writes. The layout is the contract in
contracts/session.py and contracts/recorded_frames.py.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.messages import FrameMessage, Occurrence
from b2g_rt.contracts.recorded_frames import EventColumns, FrameColumns
from b2g_rt.contracts.session import GrowingColumn, SessionInfo, TextColumn, write_header
from b2g_rt.errors import SessionError

if TYPE_CHECKING:
    import h5py

Stimuli = tuple[list[str], NDArray[np.float32]]


class SessionWriter:
    """The file; parameters as ``recorder.Recorder``, ``created`` is the wall clock, ISO 8601.

    Raises
    ------
    SessionError
        The file is there already, or cannot be made.
    """

    def __init__(
        self,
        path: Path,
        info: SessionInfo,
        n_columns: int,
        *,
        created: str,
        n_latents: int | None,
        images: bool,
        stimuli: Stimuli | None,
    ) -> None:
        self._file = create_exclusively(path)
        try:
            write_header(self._file, info, created)
            mua = self._file.create_group("mua")
            self._data = GrowingColumn(mua, "data", "f4", (n_columns,))
            self._time_s = GrowingColumn(mua, "time_s", "f8")
            self._index = GrowingColumn(mua, "index", "i8")
            markers = self._file.create_group("markers")
            self._marker_time_s = GrowingColumn(markers, "time_s", "f8")
            self._marker_text = TextColumn(markers, "text")
            self._frames = (
                None
                if n_latents is None
                else FrameColumns(self._file.create_group("frames"), n_latents, images=images)
            )
            self._events = EventColumns(self._file.create_group("events"))
            if stimuli is not None:
                ids, latents = stimuli
                group = self._file.create_group("stimuli")
                group["id"] = np.array([i.encode() for i in ids], np.bytes_)
                group["latent"] = np.asarray(latents, np.float32)
            self._file.flush()
            self._file.swmr_mode = True
        except BaseException:
            self._file.close()
            raise

    @property
    def descriptor(self) -> int:
        """The operating system's file descriptor, for fsync."""
        return int(self._file.id.get_vfd_handle())

    def samples(
        self, rows: NDArray[np.float32], time_s: NDArray[np.float64], index: NDArray[np.int64]
    ) -> None:
        """Append samples; axes (sample, stream column), (sample,), (sample,)."""
        self._data.append(rows)
        self._time_s.append(time_s)
        # A row counts once its index is there (see contracts/session.py), so the index goes last.
        self._file.flush()
        self._index.append(index)

    def markers(self, markers: Sequence[tuple[float, str]]) -> None:
        """Append (time, text)."""
        if markers:
            self._marker_text.append([text.encode("utf-8", "replace") for _, text in markers])
            self._marker_time_s.append(np.array([t for t, _ in markers], np.float64))

    def frames(self, frames: Sequence[FrameMessage]) -> None:
        """Append frames."""
        if self._frames is not None:
            self._frames.append(frames)

    def events(self, events: Sequence[Occurrence]) -> None:
        """Append stimuli, trials, encodings, events."""
        self._events.append(events)

    def flush(self) -> None:
        """Hand everything to the operating system: a reader sees it, a kill cannot take it."""
        self._file.flush()

    def close(self) -> None:
        """Close; twice is harmless."""
        self._file.close()

    def abandon(self) -> None:
        """Leave the file as it is on the disk after a failed write, and let go of it.

        HDF5 (2.0) keeps trying to write what failed, and when that fails again at the end of the process it
        crashes. So it is given something to write to that takes all.
        """
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, self.descriptor)
        os.close(nowhere)
        # It may miss what it cannot read back; there is nothing left to lose.
        with contextlib.suppress(OSError, RuntimeError, ValueError):
            self._file.close()


def create_exclusively(path: Path) -> h5py.File:
    """Make a new HDF5 file in the latest format; an existing one is never overwritten.

    Raises
    ------
    SessionError
        The file is there already, or cannot be made.
    """
    import h5py

    if path.exists():
        raise SessionError(
            f"{path}: is there already, and recordings are never overwritten. Choose another name."
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return h5py.File(path, "x", libver="latest")
    except OSError as error:
        reason = error.strerror or str(error).splitlines()[0]
        raise SessionError(
            f"{path}: {reason}, expected a place that can be written. Check folder, rights and room."
        ) from None
