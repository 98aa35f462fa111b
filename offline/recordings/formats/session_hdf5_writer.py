"""Any recording with a time axis as our own HDF5 session: what replay, fit and evaluate read. In blocks.

Rows keep their stamps and their place on the sample clock, so gaps stay gaps. Dead columns are kept: the channel map
leaves them out when the file is read. The file appears whole or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from b2g_rt.contracts.session import GrowingColumn, SessionInfo, TextColumn, write_header
from b2g_rt.errors import SessionError
from offline.recordings.formats.ordered_rows import rows_per_block
from offline.recordings.formats.reader import SIMULATED, RecordingReader, one_line, sample_rate
from offline.recordings.formats.session_hdf5 import TRIALS
from offline.recordings.formats.trial_table import TrialTable
from offline.whole_files import whole_file


def write_session_hdf5(
    reader: RecordingReader, path: Path, progress: Callable[[int], None] | None = None
) -> None:
    """Write a recording.

    Parameters
    ----------
    reader : RecordingReader
    path : Path
        An existing file is replaced once the new one is whole.
    progress : callable, optional
        Called with the number of rows done since the last call.

    Raises
    ------
    SessionError
        The recording has no time axis, cannot be read, or the file cannot be written.
    """
    info = reader.info
    rate_hz = sample_rate(info, "Use the file as it is.")
    trials = reader.trials()
    header = SessionInfo(
        rate_hz=rate_hz,
        unit=info.unit,
        channel_map=reader.channels,
        simulated=info.simulated,
        speed=info.speed,
        provenance=_provenance(reader),
    )
    try:
        with whole_file(path) as part:
            _check_room(part, reader)
            _write(part, reader, header, trials, progress)
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise SessionError(
            f"{path}: {reason}, expected room for {_n_bytes(reader) / 1e6:.0f} MB. Make room or choose another folder."
        ) from None


def _write(
    part: Path,
    reader: RecordingReader,
    header: SessionInfo,
    trials: TrialTable,
    progress: Callable[[int], None] | None,
) -> None:
    import h5py

    info = reader.info
    with h5py.File(part, "w", libver="latest") as file:
        write_header(file, header, datetime.now(UTC).isoformat(timespec="seconds"))
        group = file.create_group("mua")
        data = GrowingColumn(group, "data", "f4", (info.n_columns,))
        time_s = GrowingColumn(group, "time_s", "f8")
        index = GrowingColumn(group, "index", "i8")
        for start in range(0, reader.n_samples, rows := rows_per_block(info.n_columns)):
            stop = min(start + rows, reader.n_samples)
            data.append(reader.columns(start, stop))
            time_s.append(reader.time_s(start, stop))
            index.append(reader.index(start, stop))
            if progress:
                progress(stop - start)
        markers = [(m.time_s, m.text) for m in reader.markers()]
        if not markers:
            markers = list(zip(trials.onset_s.tolist(), trials.stimulus, strict=True))
        group = file.create_group("markers")
        GrowingColumn(group, "time_s", "f8").append(np.array([t for t, _ in markers], np.float64))
        TextColumn(group, "text").append([text.encode() for _, text in markers])
        group = file.create_group(TRIALS)
        TextColumn(group, "stimulus").append([s.encode() for s in trials.stimulus])
        TextColumn(group, "split").append([s.encode() for s in trials.split])
        group["onset_idx"] = trials.onset_idx
        group["onset_s"] = trials.onset_s
        group["day"] = trials.day
        stimuli = reader.stimuli()
        if stimuli is not None:
            ids, latents = stimuli
            group = file.create_group("stimuli")
            group["id"] = np.array([i.encode() for i in ids], np.bytes_)
            group["latent"] = np.asarray(latents, np.float32)


def _provenance(reader: RecordingReader) -> dict[str, object]:
    told = dict(reader.provenance())
    if reader.info.format != SIMULATED:
        told["converted_from"] = {
            "file": reader.info.path.name,
            "format": reader.info.format,
            "kind": reader.info.kind,
        }
    return {**told, **({"gaps": reader.gaps.lines()} if reader.gaps.lines() else {})}


def _check_room(part: Path, reader: RecordingReader) -> None:
    # HDF5 2.0 can crash the process after a write that finds the disk full, so ask beforehand.
    with part.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, _n_bytes(reader))


def _n_bytes(reader: RecordingReader) -> int:
    return round(1.02 * reader.n_samples * (4 * reader.info.n_columns + 16)) + 2_000_000
