"""Which column of a stream is which electrode, and which electrodes a decoder sees.

A channel is one electrode that is kept; the channel axis of everything behind the source is in the order of
this map. Monkeys differ (dead blocks, order of ROIs), so the map is configuration, never code.
Knows nothing of LSL, files or ONNX.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import ChannelMapError

ROIS = ("V1", "V4", "IT")
ARRAY_ROWS = 8
ARRAY_COLS = 8
ELECTRODES_PER_ARRAY = ARRAY_ROWS * ARRAY_COLS


@dataclass(frozen=True, slots=True)
class ArraySlot:
    """One 8x8 array as it stands in the stream.

    ``array``: its number, unique. ``roi``: V1, V4 or IT. ``first``: stream column of its electrode (row 0,
    col 0); the 64 electrodes follow row by row. ``dead``: the whole array is left out. ``dead_electrodes``:
    positions 0..63 that are left out.
    """

    array: int
    roi: str
    first: int
    dead: bool = False
    dead_electrodes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ChannelMap:
    """The kept electrodes, in channel order.

    Attributes
    ----------
    n_stream_channels : int
        Columns of the stream, dead ones included.
    stream_idx : int64, axes (channel,)
        Stream column of each channel, ascending.
    roi : tuple of str, axes (channel,)
    array, row, col : int64, axes (channel,)
        Array number and position in its 8x8 grid.

    Raises
    ------
    ChannelMapError
        Overlapping arrays, unknown ROI, columns beyond the stream, electrodes named twice.
    """

    n_stream_channels: int
    slots: tuple[ArraySlot, ...]
    stream_idx: NDArray[np.int64] = field(init=False, repr=False, compare=False)
    roi: tuple[str, ...] = field(init=False, repr=False, compare=False)
    array: NDArray[np.int64] = field(init=False, repr=False, compare=False)
    row: NDArray[np.int64] = field(init=False, repr=False, compare=False)
    col: NDArray[np.int64] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rows = sorted(
            (slot.first + electrode, slot.roi, slot.array, electrode)
            for slot in self.slots
            for electrode in _kept(slot)
        )
        self._check()
        if not rows:
            raise ChannelMapError(
                "channel map: no electrode is kept, expected at least one. Check 'dead'."
            )
        electrode = np.array([r[3] for r in rows], np.int64)
        put = object.__setattr__
        put(self, "stream_idx", np.array([r[0] for r in rows], np.int64))
        put(self, "roi", tuple(r[1] for r in rows))
        put(self, "array", np.array([r[2] for r in rows], np.int64))
        put(self, "row", electrode // ARRAY_COLS)
        put(self, "col", electrode % ARRAY_COLS)

    def _check(self) -> None:
        owner = np.full(self.n_stream_channels, -1)
        seen: set[int] = set()
        for slot in self.slots:
            where = f"channel map: array {slot.array}"
            if slot.roi not in ROIS:
                raise ChannelMapError(
                    f"{where}: ROI '{slot.roi}', expected one of {', '.join(ROIS)}."
                )
            if slot.array in seen:
                raise ChannelMapError(f"{where}: named twice. Give each array its own number.")
            seen.add(slot.array)
            stop = slot.first + ELECTRODES_PER_ARRAY
            if slot.first < 0 or stop > self.n_stream_channels:
                raise ChannelMapError(
                    f"{where}: columns {slot.first} to {stop - 1}, the stream has {self.n_stream_channels}."
                )
            taken = owner[slot.first : stop]
            if (taken >= 0).any():
                raise ChannelMapError(
                    f"{where}: shares columns with array {int(taken.max())}. Correct 'first' of one of them."
                )
            owner[slot.first : stop] = slot.array
            if any(not 0 <= e < ELECTRODES_PER_ARRAY for e in slot.dead_electrodes):
                raise ChannelMapError(
                    f"{where}: dead_electrodes {slot.dead_electrodes}, expected 0 to 63."
                )

    @property
    def n_channels(self) -> int:
        """Number of kept electrodes."""
        return len(self.stream_idx)

    @property
    def takes_all(self) -> bool:
        """Whether every column of the stream is kept, in order (then no copy is needed)."""
        return self.n_channels == self.n_stream_channels

    def channels_of(self, roi: str) -> NDArray[np.int64]:
        """Return the channel positions of one ROI, int64, axes (channel,)."""
        return np.flatnonzero(np.array([r == roi for r in self.roi]))

    def rois(self) -> tuple[str, ...]:
        """Return the ROIs that have channels, in the order V1, V4, IT."""
        return tuple(r for r in ROIS if r in self.roi)

    def pick(self, chunk: NDArray[np.float32]) -> NDArray[np.float32]:
        """Reorder a chunk of the stream to channels.

        Parameters
        ----------
        chunk : float32, axes (sample, stream column)

        Returns
        -------
        float32, axes (sample, channel); the chunk itself where nothing is left out.

        Raises
        ------
        ChannelMapError
            The chunk has another number of columns than the map.
        """
        if chunk.shape[1] != self.n_stream_channels:
            raise ChannelMapError(
                f"chunk: {chunk.shape[1]} columns, the channel map expects {self.n_stream_channels}."
            )
        return chunk if self.takes_all else chunk[:, self.stream_idx]

    def same_electrodes(self, other: ChannelMap) -> bool:
        """Whether both keep the same electrodes in the same order (stream columns may differ)."""
        return self.roi == other.roi and all(
            np.array_equal(getattr(self, name), getattr(other, name))
            for name in ("array", "row", "col")
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for YAML or JSON; ``from_dict`` reads it."""
        return {
            "n_stream_channels": self.n_stream_channels,
            "arrays": [
                {
                    "array": s.array,
                    "roi": s.roi,
                    "first": s.first,
                    "dead": s.dead,
                    "dead_electrodes": list(s.dead_electrodes),
                }
                for s in self.slots
            ],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ChannelMap:
        """Build from plain data.

        Raises
        ------
        ChannelMapError
            A key is missing, unknown or of the wrong type, or the map contradicts itself.
        """
        try:
            slots = tuple(
                ArraySlot(**{**a, "dead_electrodes": tuple(a.get("dead_electrodes", ()))})
                for a in data["arrays"]
            )
            return cls(int(data["n_stream_channels"]), slots)
        except (KeyError, TypeError, ValueError) as error:
            raise ChannelMapError(
                f"channel map: {error}, expected n_stream_channels and arrays "
                "(each array, roi, first, optionally dead and dead_electrodes)."
            ) from None


def _kept(slot: ArraySlot) -> list[int]:
    if slot.dead:
        return []
    return [e for e in range(ELECTRODES_PER_ARRAY) if e not in slot.dead_electrodes]


def brain2gan_channels(n_stream_channels: int = 960) -> ChannelMap:
    """Return the map of the Brain2GAN monkey: V1 7 arrays, V4 4, IT 4.

    Parameters
    ----------
    n_stream_channels : int
        960: the broken array is already dropped; 1024: it stands at columns 320-383 and is left out here.

    Raises
    ------
    ChannelMapError
        Any other number.

    Notes
    -----
    Source: Brain2GAN, doi 10.1371/journal.pcbi.1012058; column borders 0, 448, 704, 960 after dropping.
    """
    if n_stream_channels not in (960, 1024):
        raise ChannelMapError(
            f"channel map: {n_stream_channels} stream channels, expected 960 or 1024."
        )
    rois = ["V1"] * 7 + ["V4"] * 4 + ["IT"] * 4
    broken_at = 320 // ELECTRODES_PER_ARRAY
    slots = []
    for position, roi in enumerate(rois):
        number = position + (position >= broken_at)
        first = ELECTRODES_PER_ARRAY * (number if n_stream_channels == 1024 else position)
        slots.append(ArraySlot(array=number, roi=roi, first=first))
    if n_stream_channels == 1024:
        slots.insert(broken_at, ArraySlot(array=broken_at, roi="V1", first=320, dead=True))
    return ChannelMap(n_stream_channels, tuple(slots))
