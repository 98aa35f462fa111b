"""Matrices of responses, one row per stimulus and no time axis: Brain2GAN's .mat files, and TVSD's normMUA.

Rows are the training stimuli, then the test stimuli. The row is the place on the "clock", so that blocks and trials
have the form they have in every recording; ``rate_hz`` is None.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ChannelMap, brain2gan_channels
from b2g_rt.errors import SessionError
from offline.recordings.formats.gaps import GapReport
from offline.recordings.formats.latent_pickle import read_latents
from offline.recordings.formats.mat_file import dataset, open_mat
from offline.recordings.formats.reader import (
    ReaderOptions,
    RecordingInfo,
    RecordingReader,
    Stimuli,
    faults_told,
    fitting,
)
from offline.recordings.formats.trial_table import UNKNOWN_DAY, TrialTable
from offline.recordings.formats.tvsd_electrodes import monkey_of, tvsd_channels

if TYPE_CHECKING:
    import h5py

BRAIN2GAN = "brain2gan"
TVSD = "tvsd-responses"
PARTS = ("train", "test")
SPLITS = ("training", "test")
"""What stimulus sets call them, and ids."""
# Channel counts of the published files, by which a matrix that was saved the other way round is recognised.
_N_CHANNELS = (960, 1024)
_EXPECTED = "a MATLAB 7.3 file with train_MUA and test_MUA, axes (stimulus, channel)"
# Present in TVSD's file only.
_OF_TVSD = ("reliab", "oracle", "test_MUA_reps", "SNR")


class ResponsesReader(RecordingReader):
    """A file with ``train_MUA`` and ``test_MUA``.

    Parameters
    ----------
    path : Path
    options : ReaderOptions
        ``channels``: by default the Brain2GAN monkey's (960 or 1024 columns), for TVSD that of ``monkey``.
        ``latents``: the pickle; by default the only ``*_w.pickle`` beside a Brain2GAN file.

    Raises
    ------
    SessionError, ChannelMapError
    """

    def __init__(self, path: Path, options: ReaderOptions) -> None:
        self._file = open_mat(path, _EXPECTED)
        try:
            self._parts = [_matrix(self._file, f"{part}_MUA", path) for part in PARTS]
            widths = {part.n_columns for part in self._parts}
            if len(widths) != 1:
                raise SessionError(
                    f"{path}: {self._parts[0].n_columns} channels in train_MUA, {self._parts[1].n_columns} in "
                    "test_MUA, expected as many in both."
                )
            n_columns = widths.pop()
            tvsd = any(name in self._file for name in _OF_TVSD)
            self.channels = fitting(_channels(path, options, n_columns, tvsd), n_columns, path)
            self.n_train, self.n_test = (part.n_rows for part in self._parts)
            self.n_samples = self.n_train + self.n_test
            self.gaps = GapReport(self.n_samples)
            self._latents = None if tvsd else _latents_path(path, options)
            facts = [("training stimuli", str(self.n_train)), ("test stimuli", str(self.n_test))]
            facts += [
                (name, str(self._file[name].shape)) for name in _OF_TVSD if name in self._file
            ]
            if self._latents is not None:
                facts.append(("latents", str(self._latents)))
            self.info = RecordingInfo(
                path=path,
                format=TVSD if tvsd else BRAIN2GAN,
                kind="responses",
                unit="z",
                rate_hz=None,
                n_columns=n_columns,
                facts=tuple(facts),
            )
        except BaseException:
            self._file.close()
            raise

    def _columns(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return rows [start, stop), axes (stimulus, column)."""
        train, test = self._parts
        n = self.n_train
        return np.concatenate(
            [
                train.rows(min(start, n), min(stop, n)),
                test.rows(max(start - n, 0), max(stop - n, 0)),
            ]
        )

    def index(self, start: int = 0, stop: int | None = None) -> NDArray[np.int64]:
        """Return the row numbers."""
        return np.arange(*slice(start, stop).indices(self.n_samples), dtype=np.int64)

    def time_s(self, start: int = 0, stop: int | None = None) -> NDArray[np.float64]:
        """Return NaN: there is no time axis."""
        return np.full(len(self.index(start, stop)), np.nan)

    def trials(self) -> TrialTable:
        """Return one trial per row; ids as the pictures' files: training/0001, test/0001."""
        return TrialTable(
            tuple(response_ids("train", self.n_train) + response_ids("test", self.n_test)),
            self.index(),
            self.time_s(),
            ("train",) * self.n_train + ("test",) * self.n_test,
            np.full(self.n_samples, UNKNOWN_DAY, np.int64),
        )

    def stimuli(self) -> Stimuli | None:
        """Return the latents in the pickle beside the file.

        Raises
        ------
        SessionError
            It cannot be read, or has another number of stimuli.
        """
        if self._latents is None:
            return None
        latents = read_latents(self._latents)
        if (len(latents["train"]), len(latents["test"])) != (self.n_train, self.n_test):
            raise SessionError(
                f"{self._latents}: {len(latents['train'])} training and {len(latents['test'])} test latents, expected "
                f"{self.n_train} and {self.n_test} as in {self.info.path.name}. The notebooks saved pickles under "
                "swapped names: name the right one with --latents."
            )
        ids = response_ids("train", self.n_train) + response_ids("test", self.n_test)
        return ids, np.concatenate([latents["train"], latents["test"]])

    def quality(self, name: str) -> NDArray[np.float32] | None:
        """Return TVSD's ``reliab``, ``oracle``, ``SNR``, ... channel map applied, axes (..., channel); else None."""
        with faults_told(f"{self.info.path}: {name}", self.info.format):
            if name not in self._file:
                return None
            values = np.asarray(self._file[name][()], np.float32)
        if values.shape[-1:] != (self.info.n_columns,):
            values = values.T
        if values.shape[-1:] != (self.info.n_columns,):
            raise SessionError(
                f"{self.info.path}: {name} {values.shape}, expected {self.info.n_columns} channels along an axis."
            )
        flat = self.channels.pick(values.reshape(-1, self.info.n_columns))
        return flat.reshape(*values.shape[:-1], self.channels.n_channels)

    def close(self) -> None:
        """Close the file; twice is harmless."""
        self._file.close()


def response_ids(part: str, n: int) -> list[str]:
    """Return the ids of a part's stimuli, in order: the names of the pictures' files without their ending."""
    digits = max(4, len(str(n)))
    folder = "training" if part == "train" else part
    return [f"{folder}/{k:0{digits}d}" for k in range(1, n + 1)]


def counted_ids(ids: Sequence[str], split: Sequence[str]) -> list[str]:
    """Return ids as a file of responses counts: the third training stimulus becomes training/0003, whatever its id.

    Raises
    ------
    SessionError
        A stimulus is neither of 'training' nor of 'test'.
    """
    left = {
        p: iter(response_ids(q, list(split).count(p))) for p, q in zip(SPLITS, PARTS, strict=True)
    }
    for name, part in zip(ids, split, strict=True):
        if part not in left:
            raise SessionError(
                f"stimulus '{name}': of neither test nor training, expected one of them. Give a folder with test/ and "
                "training/."
            )
    return [next(left[part]) for part in split]


@dataclass(frozen=True, slots=True)
class _Matrix:
    """One matrix on the disk; ``transposed``: it lies there as (channel, stimulus)."""

    data: h5py.Dataset
    transposed: bool

    @property
    def n_rows(self) -> int:
        return int(self.data.shape[1 if self.transposed else 0])

    @property
    def n_columns(self) -> int:
        return int(self.data.shape[0 if self.transposed else 1])

    def rows(self, start: int, stop: int) -> NDArray[np.float32]:
        if start >= stop:
            return np.zeros((0, self.n_columns), np.float32)
        part = self.data[:, start:stop].T if self.transposed else self.data[start:stop]
        return np.asarray(part, np.float32)


def _matrix(file: h5py.File, name: str, path: Path) -> _Matrix:
    found = dataset(file, name, path)
    if found.ndim != 2 or not found.size:
        raise SessionError(f"{path}: {name} {found.shape}, expected (stimulus, channel).")
    across = found.shape[0] in _N_CHANNELS and found.shape[1] not in _N_CHANNELS
    return _Matrix(found, across)


def _channels(path: Path, options: ReaderOptions, n_columns: int, tvsd: bool) -> ChannelMap:
    if options.channels is not None:
        return options.channels
    if tvsd:
        return tvsd_channels(monkey_of(path, options.monkey))
    return brain2gan_channels(n_columns if n_columns in (960, 1024) else 1024)


def _latents_path(path: Path, options: ReaderOptions) -> Path | None:
    if options.latents is not None:
        return options.latents
    beside = sorted(path.parent.glob("*_w.pickle"))
    return beside[0] if len(beside) == 1 else None
