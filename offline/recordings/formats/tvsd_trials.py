"""TVSD's ``THINGS_MUA_trials.mat`` (about 58 GB): 300 ms around each correct trial, read a few trials at a time.

As h5py sees it: ALLMUA (time, trial, column), columns scrambled; ALLMAT (6 or 7, trial): trial, training image, test
image, a repetition number that is shuffled and useless, and so on, the day last; tb, ms relative to the onset.
Rows are trial after trial. On the sample clock two trials lie a trial's length apart (see `reader`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import SessionError
from offline.recordings.formats.gaps import GapReport
from offline.recordings.formats.mat_file import dataset, open_mat, vector
from offline.recordings.formats.reader import (
    ReaderOptions,
    RecordingInfo,
    RecordingReader,
    fitting,
    one_line,
)
from offline.recordings.formats.trial_table import TrialTable
from offline.recordings.formats.tvsd_electrodes import (
    mapping_path,
    monkey_of,
    read_mapping,
    tvsd_channels,
)

if TYPE_CHECKING:
    import h5py

NAME = "tvsd-trials"
HELD_BYTES = 64 << 20
"""Most that is read at once, unless a single trial is larger; about four times as much is used while it is sorted."""

_EXPECTED = "TVSD's trials: a MATLAB 7.3 file with ALLMUA, ALLMAT and tb"
_N_COLUMNS_OF_TABLE = (6, 7)
_TRAIN, _TEST, _DAY = 1, 2, -1


class TvsdTrialsReader(RecordingReader):
    """The trials of one monkey; in memory are the table and one batch of trials.

    Parameters
    ----------
    path : Path
    options : ReaderOptions
        ``mapping``, ``monkey``, ``channels`` (of the unscrambled columns).

    Raises
    ------
    SessionError, ChannelMapError
    """

    def __init__(self, path: Path, options: ReaderOptions) -> None:
        self._file = open_mat(path, _EXPECTED)
        try:
            self._mua = dataset(self._file, "ALLMUA", path)
            if self._mua.ndim != 3:
                raise SessionError(
                    f"{path}: ALLMUA {self._mua.shape}, expected (time, trial, channel)."
                )
            tb = vector(self._file, "tb", path)
            self._table = _table(self._file, int(self._mua.shape[1]), path)
            self.n_time, self.n_trials, n_columns = self._mua.shape
            rate_hz, self._onset = _time_base(tb, self.n_time, path)
            if self._table.shape[1] != self.n_trials:
                raise SessionError(
                    f"{path}: {self.n_trials} trials in ALLMUA, {self._table.shape[1]} in ALLMAT, expected as many. "
                    "The file is incomplete."
                )
            channels = options.channels or tvsd_channels(monkey_of(path, options.monkey))
            self.channels = fitting(channels, n_columns, path)
            mapping = mapping_path(path, options.mapping)
            self._mapping = read_mapping(mapping, n_columns)
            self.n_samples = self.n_time * self.n_trials
            self.gaps = GapReport(self.n_samples)
            self._batch = _trials_at_once(self._mua)
            self._held: tuple[int, NDArray[np.float32]] | None = None
            self.info = RecordingInfo(
                path=path,
                format=NAME,
                kind="trials",
                unit="uV",
                rate_hz=rate_hz,
                n_columns=n_columns,
                facts=(
                    ("trial", f"{tb[0]:g} to {tb[-1]:g} ms around the onset"),
                    ("mapping", str(mapping)),
                    ("days", str(len(np.unique(self._table[_DAY])))),
                ),
            )
        except BaseException:
            self._file.close()
            raise

    def _columns(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return rows [start, stop), unscrambled, axes (sample, column)."""
        rows = np.empty((stop - start, self.info.n_columns), np.float32)
        at = start
        while at < stop:
            first, batch = self._trials_with(at // self.n_time)
            offset = at - first * self.n_time
            n = min(stop - at, len(batch) - offset)
            rows[at - start : at - start + n] = batch[offset : offset + n]
            at += n
        return rows

    def _trials_with(self, trial: int) -> tuple[int, NDArray[np.float32]]:
        """Return the first trial of a batch, and the batch's rows, axes (sample, column)."""
        first = trial - trial % self._batch
        if self._held is None or self._held[0] != first:
            # The old batch goes before the new one comes.
            self._held = None
            block = np.asarray(self._mua[:, first : first + self._batch], np.float32)
            n_rows = self.n_time * block.shape[1]
            rows = block.transpose(1, 0, 2).reshape(n_rows, -1)[:, self._mapping]
            self._held = (first, rows)
        return self._held

    def index(self, start: int = 0, stop: int | None = None) -> NDArray[np.int64]:
        """Return the places on the sample clock; between two trials a trial's length is left out."""
        row = np.arange(*slice(start, stop).indices(self.n_samples), dtype=np.int64)
        return row + row // self.n_time * self.n_time

    def time_s(self, start: int = 0, stop: int | None = None) -> NDArray[np.float64]:
        """Return the sample clock in s: the file does not say when a trial was."""
        return self.index(start, stop) / (self.info.rate_hz or 1.0)

    def trials(self) -> TrialTable:
        """Return the trials; ids as the pictures' numbers: training/00001, test/0001."""
        train, test = self._table[_TRAIN], self._table[_TEST]
        digits = max(4, len(str(int(train.max(initial=0)))))
        onset_idx = np.arange(self.n_trials, dtype=np.int64) * 2 * self.n_time + self._onset
        return TrialTable(
            tuple(
                f"training/{int(a):0{digits}d}" if a > 0 else f"test/{int(b):04d}"
                for a, b in zip(train, test, strict=True)
            ),
            onset_idx,
            onset_idx / (self.info.rate_hz or 1.0),
            tuple("train" if a > 0 else "test" for a in train),
            self._table[_DAY].astype(np.int64),
        )

    def close(self) -> None:
        """Close the file; twice is harmless."""
        self._held = None
        self._file.close()


def _trials_at_once(mua: h5py.Dataset) -> int:
    """Return how many trials are read at once: whole chunks of the file, so that none is read twice."""
    n_time, _, n_columns = mua.shape
    most = max(1, HELD_BYTES // (4 * n_time * n_columns))
    chunk = mua.chunks[1] if mua.chunks else 1
    return most - most % chunk if chunk <= most else most


def _table(file: h5py.File, n_trials: int, path: Path) -> NDArray[np.float64]:
    found = dataset(file, "ALLMAT", path)
    try:
        table = np.asarray(found[()], np.float64)
    except (OSError, RuntimeError) as error:
        raise SessionError(
            f"{path}: ALLMAT cannot be read ({one_line(error)}). The file is damaged."
        ) from None
    if table.ndim == 2 and table.shape[0] == n_trials and table.shape[1] in _N_COLUMNS_OF_TABLE:
        table = table if n_trials in _N_COLUMNS_OF_TABLE else table.T
    if table.ndim != 2 or table.shape[0] not in _N_COLUMNS_OF_TABLE:
        raise SessionError(f"{path}: ALLMAT {found.shape}, expected 6 or 7 columns.")
    numbers = table[[_TRAIN, _TEST, _DAY]]
    whole = np.isfinite(numbers).all() and (numbers == np.round(numbers)).all()
    if not whole or ((numbers[0] > 0) == (numbers[1] > 0)).any():
        n_bad = int(np.count_nonzero((numbers[0] > 0) == (numbers[1] > 0)))
        raise SessionError(
            f"{path}: {n_bad} of {table.shape[1]} trials in ALLMAT show both or neither of a training and a test "
            "image, expected one whole number each (columns 2 and 3). Is it another table?"
        )
    return table


def _time_base(tb: NDArray[np.float64], n_time: int, path: Path) -> tuple[float, int]:
    """Return the rate in Hz and the sample of the onset."""
    if len(tb) != n_time or n_time < 2 or not np.allclose(np.diff(tb), tb[1] - tb[0]):
        raise SessionError(
            f"{path}: tb has {len(tb)} times, expected {n_time} regular ones, in ms, as ALLMUA has."
        )
    onset = np.flatnonzero(np.isclose(tb, 0.0))
    if tb[1] <= tb[0] or not len(onset):
        raise SessionError(f"{path}: tb from {tb[0]:g} to {tb[-1]:g}, expected ms around 0.")
    return 1000.0 / float(tb[1] - tb[0]), int(onset[0])
