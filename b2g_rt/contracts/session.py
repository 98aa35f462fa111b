"""The recorded-session file (HDF5): one layout that the simulator, the recorder and both wings share.

    /                      attributes: format 'b2g-session', version 1, rate_hz, unit, speed, simulated (0 or 1),
                           channel_map (JSON), provenance (JSON), created (ISO wall clock)
    /mua/data              float32, axes (sample, stream column), unit as the attribute says
    /mua/time_s            float64, axes (sample,), LSL clock as stamped, after clock synchronisation
    /mua/index             int64, axes (sample,), index on the sample clock; a jump is a gap
    /markers/time_s        float64, axes (marker,)
    /markers/text          bytes, one JSON or plain text per marker, see TextColumn
    /stimuli/latent        float32, axes (stimulus, latent)       (optional)
    /stimuli/id            fixed-length strings, axes (stimulus,) (optional)
    /frames/...            what the service published (optional): recorded_frames.py
    /events/...            what the service had to say (optional): recorded_frames.py

Rows are in the order of reception: a sample that came late stands at the end, and its index says where it belongs.
What a killed or failed writer made room for and never wrote is NaN, or -1 in integers; a sample counts when its
index is there (the writer flushes the index last), an entry of a text column when its end is.

A text column is two datasets, ``NAME_bytes`` (uint8) and ``NAME_stop`` (int64, end offset of each entry): HDF5's
variable-length strings cannot be written while another process reads (SWMR), and nothing is cut to a length.
Knows HDF5, nothing of LSL, Qt, ONNX.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.contracts.hdf5_opening import open_session_hdf5
from b2g_rt.errors import SessionError

if TYPE_CHECKING:
    import h5py

FORMAT = "b2g-session"
VERSION = 1

_ATTRIBUTES = ("version", "rate_hz", "unit", "simulated", "speed", "channel_map", "provenance")
_UNWRITTEN = {"f": np.nan, "i": -1, "u": 0}
_TAIL_ROWS = 1 << 20


class GrowingColumn:
    """One dataset that grows along its first axis."""

    def __init__(
        self, group: h5py.Group, name: str, dtype: str, row_shape: tuple[int, ...] = ()
    ) -> None:
        row_bytes = max(1, int(np.prod(row_shape, dtype=np.int64)) * np.dtype(dtype).itemsize)
        rows = int(np.clip(256 * 1024 // row_bytes, 16, 65536))
        self._data = group.create_dataset(
            name,
            shape=(0, *row_shape),
            maxshape=(None, *row_shape),
            dtype=dtype,
            chunks=(rows, *row_shape),
            fillvalue=_UNWRITTEN[np.dtype(dtype).kind],
        )

    def append(self, rows: NDArray[Any]) -> None:
        """Write rows at the end; axes as the dataset's."""
        n = len(self._data)
        self._data.resize(n + len(rows), axis=0)
        self._data[n:] = rows

    def put(self, position: int, row: NDArray[Any]) -> None:
        """Overwrite one row."""
        self._data[position] = row

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._data)

    def flush(self) -> None:
        """Hand everything to the operating system."""
        self._data.flush()


class TextColumn:
    """Texts or blobs of any length in two growing datasets, ``NAME_bytes`` and ``NAME_stop``."""

    def __init__(self, group: h5py.Group, name: str) -> None:
        self._bytes = GrowingColumn(group, f"{name}_bytes", "u1")
        self._stop = GrowingColumn(group, f"{name}_stop", "i8")
        self._end = 0

    def append(self, entries: list[bytes]) -> None:
        """Write entries at the end."""
        if not entries:
            return
        stops = self._end + np.cumsum([len(e) for e in entries], dtype=np.int64)
        self._bytes.append(np.frombuffer(b"".join(entries), np.uint8))
        self._stop.append(stops)
        self._end = int(stops[-1])

    def flush(self) -> None:
        """Hand everything to the operating system."""
        self._bytes.flush()
        self._stop.flush()


def n_written(column: h5py.Dataset) -> int:
    """Return how many rows of a column of integers (never -1) were written, not only made room for."""
    n = len(column)
    written = np.flatnonzero(column[max(0, n - _TAIL_ROWS) :] != _UNWRITTEN["i"])
    return max(0, n - _TAIL_ROWS) + int(written[-1]) + 1 if len(written) else 0


def read_text_column(group: h5py.Group, name: str) -> list[bytes]:
    """Return the entries of a text column; an entry whose bytes are not all there is left out."""
    column = group[f"{name}_stop"]
    stops = column[: n_written(column)]
    blob = group[f"{name}_bytes"][:].tobytes()
    starts = np.concatenate([[0], stops[:-1]]) if len(stops) else stops
    return [blob[a:b] for a, b in zip(starts, stops, strict=True) if b <= len(blob)]


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """What a session file says about itself."""

    rate_hz: float
    unit: str
    channel_map: ChannelMap
    simulated: bool
    speed: float
    provenance: dict[str, Any]


def write_header(file: h5py.File, info: SessionInfo, created: str) -> None:
    """Write the root attributes; ``created`` is the wall clock, ISO 8601."""
    file.attrs.update(
        {
            "format": FORMAT,
            "version": VERSION,
            "rate_hz": info.rate_hz,
            "unit": info.unit,
            "simulated": int(info.simulated),
            "speed": info.speed,
            "channel_map": json.dumps(info.channel_map.to_dict()),
            "provenance": json.dumps(info.provenance),
            "created": created,
        }
    )


@dataclass(frozen=True, slots=True)
class SessionMarker:
    """One marker: when it was stamped (LSL clock, s) and its text as received."""

    time_s: float
    text: str


class SessionFile:
    """A recorded session, opened for reading; nothing is read before it is asked for.

    Parameters
    ----------
    path : Path

    Raises
    ------
    SessionError
        No such file, no HDF5, cut short, not our format, another version, or a part is missing.

    Notes
    -----
    A file whose writer was killed opens only in SWMR mode; it is then read that way, up to the last flush.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open_session_hdf5(path)
        try:
            self._read_header()
        except (LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
            self._file.close()
            raise SessionError(
                f"{path}: {' '.join(str(error).split())}, expected the layout of version {VERSION}."
            ) from None
        except BaseException:
            self._file.close()
            raise

    def _read_header(self) -> None:
        attrs = self._file.attrs
        found = attrs.get("format")
        if found != FORMAT:
            raise SessionError(
                f"{self.path}: format {found!r}, expected {FORMAT!r}. Convert it with b2g-offline, or check the path."
            )
        missing = [name for name in _ATTRIBUTES if name not in attrs]
        if missing:
            raise SessionError(
                f"{self.path}: attribute '{missing[0]}' is missing, expected the layout of version {VERSION}."
            )
        if int(attrs["version"]) != VERSION:
            raise SessionError(
                f"{self.path}: session version {int(attrs['version'])}, this program reads {VERSION}. Use the release "
                "that wrote it."
            )
        for name in ("mua/data", "mua/time_s", "mua/index", "markers/time_s", "markers/text_stop"):
            if name not in self._file:
                raise SessionError(
                    f"{self.path}: '{name}' is missing, expected the layout of version {VERSION}."
                )
        self.info = SessionInfo(
            rate_hz=float(attrs["rate_hz"]),
            unit=str(attrs["unit"]),
            channel_map=ChannelMap.from_dict(json.loads(attrs["channel_map"])),
            simulated=bool(attrs["simulated"]),
            speed=float(attrs["speed"]),
            provenance=json.loads(attrs["provenance"]),
        )
        # A killed writer can leave the columns of different length by one flush.
        n = min(len(self._file[f"mua/{name}"]) for name in ("data", "time_s"))
        self.n_samples = min(n, n_written(self._file["mua/index"]))

    def __enter__(self) -> SessionFile:
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file; twice is harmless."""
        self._file.close()

    @property
    def file(self) -> h5py.File:
        """The open HDF5 file, for copying it (session_repair.py)."""
        return self._file

    @property
    def n_columns(self) -> int:
        """Stream columns of the MUA."""
        return int(self._file["mua/data"].shape[1])

    def mua(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return rows [start, stop) of the MUA, float32, axes (sample, stream column)."""
        return np.asarray(self._file["mua/data"][start : min(stop, self.n_samples)], np.float32)

    def blocks(self, n: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Yield (first row, block) of at most ``n`` samples each, in order."""
        for start in range(0, self.n_samples, n):
            yield start, self.mua(start, start + n)

    def time_s(self) -> NDArray[np.float64]:
        """Return all stamps, float64, axes (sample,), LSL clock, seconds."""
        return np.asarray(self._file["mua/time_s"][: self.n_samples], np.float64)

    def index(self) -> NDArray[np.int64]:
        """Return all sample-clock indices, int64, axes (sample,)."""
        return np.asarray(self._file["mua/index"][: self.n_samples], np.int64)

    def markers(self) -> list[SessionMarker]:
        """Return the markers in the order in which they were received."""
        group = self._file["markers"]
        texts = read_text_column(group, "text")
        times = group["time_s"][:]
        return [
            SessionMarker(float(t), text.decode("utf-8", "replace"))
            for t, text in zip(times, texts, strict=False)
        ]

    def stimuli(self) -> tuple[list[str], NDArray[np.float32]] | None:
        """Return (ids, latents float32 axes (stimulus, latent)), or None when the file has none."""
        if "stimuli/latent" not in self._file:
            return None
        ids = [i.decode() if isinstance(i, bytes) else str(i) for i in self._file["stimuli/id"][:]]
        return ids, np.asarray(self._file["stimuli/latent"][:], np.float32)

    def group(self, name: str) -> h5py.Group | None:
        """Return a group (``frames``, ``events``) or None."""
        return self._file.get(name)
