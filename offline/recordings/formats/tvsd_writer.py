"""TVSD's files: ``THINGS_MUA_trials.mat``, 300 ms around onsets; ``THINGS_normMUA.mat``, a response per stimulus.

Trials are written a few at a time. What was lost is NaN: the format has no gaps. Columns are scrambled by a mapping
file as in the original; ids must be those of the format, training/N and test/N. Quality fields are ``reliab`` and
``oracle``; SNR and latencies, which nothing here reads, are not written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import SessionError
from offline.recordings.formats.brain2gan_writer import all_columns, write_stimuli
from offline.recordings.formats.mat_writer import make, mat_file, put
from offline.recordings.formats.ordered_rows import BLOCK_BYTES, OrderedRows
from offline.recordings.formats.reader import RecordingReader, one_line
from offline.recordings.formats.trial_table import UNKNOWN_DAY
from offline.recordings.reliability import oracle_correlation, pair_reliability
from offline.recordings.stimulus_responses import stimulus_responses

if TYPE_CHECKING:
    import h5py

TRIALS_FILE = "THINGS_MUA_trials.mat"
RESPONSES_FILE = "THINGS_normMUA.mat"
MAPPING_FILE = "1024chns_mapping_20220105.mat"
BEFORE, AFTER = 100, 200
"""Samples of a trial before the onset, and from it on."""

RATE_HZ = 1000.0
_ID = re.compile(r"(training|test)/0*([1-9]\d*)")


def write_tvsd_trials(
    readers: Sequence[RecordingReader],
    path: Path,
    progress: Callable[[int], None] | None = None,
    *,
    seed: int = 0,
) -> None:
    """Write the trials of one animal, and the mapping file beside them.

    Parameters
    ----------
    readers : sequence of RecordingReader
        At 1 kHz; one a day, unless their trials say which day it was.
    path : Path
        Its folders should name the monkey (monkeyN, monkeyF); an existing file is replaced once the new one is whole.
    progress : callable, optional
        Called with the number of samples done since the last call.
    seed : int
        Of the order in which columns are scrambled.

    Raises
    ------
    SessionError
        Another rate, ids that are no numbers of pictures, or the file cannot be written.
    """
    table = trial_table(readers)
    n_columns = readers[0].info.n_columns
    order = np.random.default_rng(seed).permutation(n_columns)
    n_time = BEFORE + AFTER
    at_once = max(1, BLOCK_BYTES // (4 * n_time * n_columns))
    try:
        n_bytes = 4 * n_time * table.shape[1] * n_columns
        with mat_file(path, n_bytes) as file:
            shape = (n_time, table.shape[1], n_columns)
            chunks = (n_time, 1, n_columns)
            mua = make(file, "ALLMUA", shape, "f4", chunks=chunks)
            put(file, "ALLMAT", table)
            put(file, "tb", np.arange(-BEFORE, AFTER, dtype=np.float64)[:, None])
            at = 0
            for trials in _batches(readers, at_once, progress):
                scrambled = np.empty_like(trials)
                scrambled[..., order] = trials
                mua[:, at : at + len(trials)] = scrambled.transpose(1, 0, 2)
                at += len(trials)
            write_mapping(path.with_name(MAPPING_FILE), order)
    except OSError as error:
        raise SessionError(
            f"{path}: {error.strerror or one_line(error)}, expected a place that can be written. Check folder and room."
        ) from None


def write_tvsd_responses(
    readers: Sequence[RecordingReader], path: Path, progress: Callable[[int], None] | None = None
) -> None:
    """Write one response per stimulus, with repetitions and quality, z units of each day's test trials.

    Parameters
    ----------
    readers : sequence of RecordingReader
        See ``stimulus_responses``.
    path : Path
    progress : callable, optional
        Called with the number of samples done since the last call.

    Raises
    ------
    SessionError
        See ``stimulus_responses``; or the file cannot be written.
    """
    found = stimulus_responses(readers, progress)
    channels = readers[0].channels
    repeated = found.test_repetitions
    try:
        with mat_file(path) as file:
            put(file, "train_MUA", all_columns(found.train, channels))
            put(file, "test_MUA", all_columns(found.test, channels))
            put(file, "test_MUA_reps", all_columns(repeated, channels))
            write_stimuli(file, found)
            if len(repeated) > 1:
                _put_quality(file, "reliab", pair_reliability(repeated), readers[0])
                _put_quality(file, "oracle", oracle_correlation(repeated)[None], readers[0])
    except OSError as error:
        raise SessionError(
            f"{path}: {error.strerror or one_line(error)}, expected a place that can be written. Check folder and room."
        ) from None


def write_mapping(path: Path, order: NDArray[np.int64]) -> None:
    """Write the mapping file: for each electrode the column it was recorded in, from 1 on.

    Parameters
    ----------
    path : Path
    order : int64, axes (column,)
        From 0.
    """
    with mat_file(path) as file:
        put(file, "mapping", (order + 1).astype(np.float64)[None, :])


def trial_table(readers: Sequence[RecordingReader]) -> NDArray[np.float64]:
    """Return ALLMAT, axes (7, trial): trial, training, test picture, repetition, count, correct, day.

    Raises
    ------
    SessionError
        Another rate than 1 kHz, or ids that are no numbers of pictures.
    """
    rows: list[tuple[float, ...]] = []
    seen: dict[str, int] = {}
    for number, reader in enumerate(readers, start=1):
        info, trials = reader.info, reader.trials()
        if info.rate_hz != RATE_HZ:
            raise SessionError(f"{info.path}: {info.rate_hz} samples a second, expected 1000.")
        for stimulus, day in zip(trials.stimulus, trials.day.tolist(), strict=True):
            hit = _ID.fullmatch(stimulus)
            if hit is None:
                raise SessionError(
                    f"{info.path}: stimulus {stimulus[:60]!r}, expected training/N or test/N with N from 1: TVSD's "
                    "table holds numbers only."
                )
            seen[stimulus] = seen.get(stimulus, 0) + 1
            picture = float(hit[2])
            train, test = (picture, 0.0) if hit[1] == "training" else (0.0, picture)
            told = float(number if day == UNKNOWN_DAY else day)
            rows.append((len(rows) + 1.0, train, test, seen[stimulus], seen[stimulus], 1.0, told))
    return np.array(rows, np.float64).reshape(-1, 7).T.copy()


def _batches(
    readers: Sequence[RecordingReader], n: int, progress: Callable[[int], None] | None
) -> Iterator[NDArray[np.float32]]:
    """Yield the trials in order, at most ``n`` at a time, axes (trial, sample, column); NaN where nothing is."""
    for reader in readers:
        rows, onsets = OrderedRows(reader), reader.trials().onset_idx
        done = 0
        for first in range(0, len(onsets), n):
            part = onsets[first : first + n]
            batch = np.full((len(part), BEFORE + AFTER, reader.info.n_columns), np.nan, np.float32)
            for trial, onset in enumerate(part.tolist()):
                edges = (onset - BEFORE, onset + AFTER)
                start, stop = np.searchsorted(rows.index, edges).tolist()
                batch[trial, rows.index[start:stop] - edges[0]] = rows.columns(start, stop)
                if progress and stop > done:
                    progress(stop - done)
                    done = stop
            yield batch
        if progress:
            progress(len(rows) - done)


def _put_quality(
    file: h5py.File, name: str, values: NDArray[np.float64], reader: RecordingReader
) -> None:
    columns = np.full((len(values), reader.info.n_columns), np.nan)
    columns[:, reader.channels.stream_idx] = values
    put(file, name, columns if name == "reliab" else columns.T)
