"""The channel map as NWB's electrodes table, and back: array, row, col, location (the ROI), dead; a row per column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from b2g_rt.contracts.channels import ARRAY_COLS, ELECTRODES_PER_ARRAY, ArraySlot, ChannelMap
from b2g_rt.errors import ChannelMapError

_ELECTRODE = ("array", "row", "col", "location")
_UNKNOWN = "unknown"


def write_electrodes(nwb: Any, channels: ChannelMap) -> Any:
    """Fill the electrodes table, one row per column of the recording; return the region of all."""
    device = nwb.create_device(name="arrays", description="Electrode arrays of 8 x 8 electrodes.")
    for name, what in (
        ("array", "Number of the array; -1: column without electrode."),
        ("row", "Row in the array's 8 x 8 grid."),
        ("col", "Column in the array's 8 x 8 grid."),
        ("dead", "Whether the electrode is left out."),
    ):
        nwb.add_electrode_column(name=name, description=what)
    groups: dict[int, Any] = {}

    def group(number: int, roi: str) -> Any:
        if number not in groups:
            groups[number] = nwb.create_electrode_group(
                name=f"array {number}" if number >= 0 else _UNKNOWN,
                description=f"Array {number}." if number >= 0 else "Columns without electrode.",
                location=roi,
                device=device,
            )
        return groups[number]

    owner = {
        slot.first + electrode: (slot, electrode)
        for slot in channels.slots
        for electrode in range(ELECTRODES_PER_ARRAY)
    }
    kept = set(channels.stream_idx.tolist())
    for column in range(channels.n_stream_channels):
        slot, electrode = owner.get(column, (None, 0))
        roi = slot.roi if slot else _UNKNOWN
        number = slot.array if slot else -1
        nwb.add_electrode(
            location=roi,
            group=group(number, roi),
            array=number,
            row=electrode // ARRAY_COLS,
            col=electrode % ARRAY_COLS,
            dead=column not in kept,
        )
    return nwb.create_electrode_table_region(
        region=list(range(channels.n_stream_channels)), description="All columns of the recording."
    )


def read_electrodes(nwb: Any, series: Any, n_columns: int, path: Path) -> ChannelMap:
    """Rebuild the channel map from the electrodes table; its rows are the columns of the series."""
    table = nwb.electrodes
    if table is None or any(name not in table.colnames for name in _ELECTRODE):
        raise ChannelMapError(
            f"{path}: its electrodes table does not say array, row, col and location, expected these or a channel map. "
            "Give it with --channels FILE.yaml (see configs/channels)."
        )
    region = getattr(series, "electrodes", None)
    rows = np.arange(len(table)) if region is None else np.asarray(region.data[:], np.int64)
    if len(rows) != n_columns:
        raise ChannelMapError(
            f"{path}: {len(rows)} electrodes for {n_columns} columns, expected as many. Give --channels FILE.yaml."
        )
    array, row, col = (np.asarray(table[n][:], np.int64)[rows] for n in ("array", "row", "col"))
    roi = np.array([str(x) for x in table["location"][:]])[rows]
    dead = (
        np.asarray(table["dead"][:], np.bool_)[rows]
        if "dead" in table.colnames
        else np.zeros(n_columns, np.bool_)
    )
    slots = []
    for number in np.unique(array[array >= 0]).tolist():
        columns = np.flatnonzero(array == number)
        electrode = row[columns] * ARRAY_COLS + col[columns]
        firsts = set((columns - electrode).tolist())
        if len(firsts) != 1 or len(set(roi[columns].tolist())) != 1:
            raise ChannelMapError(
                f"{path}: the electrodes of array {number} do not stand row by row in one area, expected 64 columns "
                "each. Give --channels FILE.yaml."
            )
        missing = set(range(ELECTRODES_PER_ARRAY)) - set(electrode[~dead[columns]].tolist())
        slots.append(
            ArraySlot(
                number,
                str(roi[columns[0]]),
                firsts.pop(),
                dead=len(missing) == ELECTRODES_PER_ARRAY,
                dead_electrodes=()
                if len(missing) == ELECTRODES_PER_ARRAY
                else tuple(sorted(missing)),
            )
        )
    return ChannelMap(n_columns, tuple(sorted(slots, key=lambda s: s.first)))
