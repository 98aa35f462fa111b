"""Any recording with a time axis as NWB, in blocks: for sharing, passes nwbinspector without critical findings.

Values in uV become an ElectricalSeries (volts by its conversion), others a TimeSeries beside the electrodes table.
Rows stand in order of the sample clock: late ones at their place, doubled ones once. A regular recording gets a rate,
one with gaps time stamps. NWB counts time from the session's start; ours is the first sample, and its place on the
LSL clock is kept in the notes with whatever else NWB has no place for. In memory: one block, and 24 bytes a sample for
order, index and stamps.
"""

from __future__ import annotations

import json
import uuid
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import SessionError
from offline.recordings.formats.nwb import LATENTS, MARKERS, MODULE, MUA
from offline.recordings.formats.nwb_electrodes import write_electrodes
from offline.recordings.formats.ordered_rows import OrderedRows, rows_per_block
from offline.recordings.formats.reader import RecordingReader, one_line
from offline.whole_files import whole_file

_UNKNOWN = "unknown"
_GZIP_LEVEL = 1
# NWB's range without an upper end: nothing is known, and nothing is claimed.
_ANY_AGE = "P0D/"


def write_nwb(
    reader: RecordingReader,
    path: Path,
    progress: Callable[[int], None] | None = None,
    *,
    description: str | None = None,
    subject: str | None = None,
    age: str | None = None,
) -> None:
    """Write a recording.

    Parameters
    ----------
    reader : RecordingReader
    path : Path
        Should end in .nwb; an existing file is replaced once the new one is whole.
    progress : callable, optional
        Called with the number of rows done since the last call.
    description : str, optional
        Of the session; made from what the recording says by default.
    subject : str, optional
        Id of the animal; 'unknown', or 'simulated', by default.
    age : str, optional
        Of the animal, ISO 8601 duration such as P9Y, or a range of two; by default any.

    Raises
    ------
    SessionError
        The recording has no time axis or no samples, cannot be read, or the file cannot be written.
    """
    info = reader.info
    if info.rate_hz is None or not reader.n_samples:
        raise SessionError(
            f"{info.path}: {reader.n_samples} rows, {'no ' if info.rate_hz is None else ''}time axis, expected a "
            "recording with samples. NWB is written from streams and trials only."
        )
    try:
        with whole_file(path) as part, warnings.catch_warnings():
            # hdmf warns of what nwbinspector judges anyway.
            warnings.simplefilter("ignore")
            _write(part, reader, progress, description, _subject(reader, subject, age))
    except OSError as error:
        raise SessionError(
            f"{path}: {error.strerror or one_line(error)}, expected a place that can be written. Check folder and room."
        ) from None


def _write(
    part: Path,
    reader: RecordingReader,
    progress: Callable[[int], None] | None,
    description: str | None,
    subject: Any,
) -> None:
    from pynwb import NWBHDF5IO, NWBFile

    ordered = OrderedRows(reader)
    time_s = ordered.time_s()
    per_s = (reader.info.rate_hz or 1.0) * reader.info.speed
    start_s = float(time_s[0])
    nwb = NWBFile(
        session_description=description or _description(reader),
        identifier=str(uuid.uuid4()),
        session_start_time=_started(reader),
        notes=json.dumps({"b2g": _notes(reader, start_s)}),
        subject=subject,
    )
    electrodes = write_electrodes(nwb, reader.channels)
    times: dict[str, Any] = {"starting_time": 0.0, "rate": per_s}
    if not _regular(ordered.index, time_s - start_s, per_s):
        times = {"timestamps": time_s - start_s}
    nwb.add_acquisition(_mua(reader, ordered, electrodes, times, progress))
    _add_trials(nwb, reader, start_s)
    _add_markers(nwb, reader, start_s)
    _add_latents(nwb, reader)
    with NWBHDF5IO(str(part), "w") as io:
        io.write(nwb)


def _regular(index: NDArray[np.int64], time_s: NDArray[np.float64], per_s: float) -> bool:
    """Whether a rate says as much as the stamps: no gap, and no stamp half a sample off."""
    if len(index) > 1 and index[-1] - index[0] != len(index) - 1:
        return False
    return bool(np.abs(time_s - np.arange(len(index)) / per_s).max() < 1e-6)


def _mua(
    reader: RecordingReader,
    ordered: OrderedRows,
    electrodes: Any,
    times: dict[str, Any],
    progress: Callable[[int], None] | None,
) -> Any:
    from hdmf.backends.hdf5 import H5DataIO
    from hdmf.data_utils import DataChunkIterator
    from pynwb import TimeSeries
    from pynwb.ecephys import ElectricalSeries

    info = reader.info
    rows = rows_per_block(info.n_columns)
    data = H5DataIO(
        DataChunkIterator(
            data=_rows(ordered, progress),
            maxshape=(None, info.n_columns),
            dtype=np.dtype("float32"),
            buffer_size=rows,
        ),
        compression="gzip",
        compression_opts=_GZIP_LEVEL,
        shuffle=True,
        chunks=(min(len(ordered), 1000), min(info.n_columns, 64)),
    )
    common = {"name": MUA, "data": data, **times}
    about = "Multi-unit activity, one column per electrode in the order of the recording, dead ones included."
    if info.unit == "uV":
        return ElectricalSeries(
            **common, electrodes=electrodes, conversion=1e-6, description=f"{about} uV in the data."
        )
    return TimeSeries(
        **common,
        unit=info.unit or "a.u.",
        description=f"{about} Columns are the rows of the electrodes table.",
    )


def _rows(
    ordered: OrderedRows, progress: Callable[[int], None] | None
) -> Iterator[NDArray[np.float32]]:
    for block in ordered.blocks():
        yield from block
        if progress:
            progress(len(block))


def _add_trials(nwb: Any, reader: RecordingReader, start_s: float) -> None:
    trials = reader.trials()
    if not trials.n_trials:
        return
    for name, what in (
        ("stimulus", "Id of the stimulus that came on at start_time."),
        ("repetition", "Which presentation of the stimulus this is, from 0, counted from the ids."),
        ("split", "train, test, or empty: not known."),
        ("day", "Recording day from 1; -1: not known."),
    ):
        nwb.add_trial_column(name=name, description=what)
    onset_s = trials.onset_s - start_s
    later = np.r_[onset_s[1:], np.inf]
    end_s = (reader.time_s(reader.n_samples - 1)[0] - start_s) + 1.0
    stop_s = np.where(later > onset_s, np.minimum(later, end_s), onset_s)
    for i, repetition in enumerate(trials.repetition().tolist()):
        nwb.add_trial(
            start_time=float(onset_s[i]),
            stop_time=float(max(stop_s[i], onset_s[i])),
            stimulus=trials.stimulus[i],
            repetition=repetition,
            split=trials.split[i],
            day=int(trials.day[i]),
        )


def _add_markers(nwb: Any, reader: RecordingReader, start_s: float) -> None:
    markers = [m for m in reader.markers() if np.isfinite(m.time_s)]
    if not markers:
        return
    table = nwb.create_events_table(
        name=MARKERS, description="Markers as received, with the time they were stamped."
    )
    for marker in markers:
        table.add_event(timestamp=marker.time_s - start_s, annotation=marker.text)


def _add_latents(nwb: Any, reader: RecordingReader) -> None:
    from hdmf.common import DynamicTable, VectorData

    stimuli = reader.stimuli()
    if stimuli is None:
        return
    ids, latents = stimuli
    table = DynamicTable(
        name=LATENTS,
        description="Latents the stimuli were made from.",
        columns=[
            VectorData(name="stimulus", description="Id of the stimulus.", data=list(ids)),
            VectorData(name="latent", description="Latent, one row per stimulus.", data=latents),
        ],
    )
    module = nwb.create_processing_module(name=MODULE, description="What was shown.")
    module.add(table)


def _notes(reader: RecordingReader, start_s: float) -> dict[str, Any]:
    info = reader.info
    return {
        "start_s": start_s,
        "kind": info.kind,
        "rate_hz": info.rate_hz,
        "speed": info.speed,
        "simulated": info.simulated,
        "provenance": reader.provenance(),
        "gaps": reader.gaps.lines(),
    }


def _description(reader: RecordingReader) -> str:
    about = "Simulated multi-unit activity" if reader.info.simulated else "Multi-unit activity"
    return f"{about}, converted from {reader.info.path.name} ({reader.info.format}) by b2g-offline."


def _subject(reader: RecordingReader, subject: str | None, age: str | None) -> Any:
    from pynwb.file import Subject

    simulated = reader.info.simulated
    return Subject(
        subject_id=subject or ("simulated" if simulated else _UNKNOWN),
        species="Macaca mulatta",
        sex="U",
        age=age or _ANY_AGE,
        description="Simulated: no animal was recorded." if simulated else "Passive fixation.",
    )


def _started(reader: RecordingReader) -> datetime:
    return reader.created() or datetime.fromtimestamp(reader.info.path.stat().st_mtime, UTC)
