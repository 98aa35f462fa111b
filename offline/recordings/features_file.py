"""Features that may be larger than memory: in an HDF5 file, written by trials, read one window at a time.

An array and a file answer alike through the functions here, so that what fits and scores does not care. In memory
while writing: TRIALS_PER_CHUNK trials (a few such blocks where trials overlap); while reading: one window of all
trials, twice while it is put in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import SessionError
from offline.recordings.cache import key_hash
from offline.whole_files import whole_file

Float32 = NDArray[np.float32]

TRIALS_PER_CHUNK = 64
KIND = "b2g-features"


@dataclass(frozen=True, slots=True, eq=False)
class FeaturesFile:
    """Features in files, or some trials of them; a file is open only while it is read.

    Attributes
    ----------
    paths : tuple of Path
        Their trials follow each other.
    rows : int, axes (trial,)
        Where each trial is in all of them.
    n_windows, n_channels : int
    """

    paths: tuple[Path, ...]
    rows: NDArray[np.intp]
    n_windows: int
    n_channels: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Trials, windows, channels; as of an array."""
        return len(self.rows), self.n_windows, self.n_channels

    @classmethod
    def of(cls, path: Path) -> FeaturesFile:
        """Open what ``write_features`` wrote.

        Raises
        ------
        SessionError
            It is no such file, or is broken.
        """
        try:
            with h5py.File(path, "r") as file:
                if file.attrs.get("kind") != KIND:
                    raise KeyError("another kind of file")
                _, n_windows, n_channels = file["features"].shape
                rows = np.asarray(file["row_of_trial"][:], np.intp)
        except (OSError, KeyError, ValueError) as error:
            raise SessionError(
                f"{path}: cannot be read ({error}), expected features written before. Delete it."
            ) from None
        return cls((path,), rows, n_windows, n_channels)

    def window(self, window_idx: int) -> Float32:
        """Return one window of all trials, float32, axes (trial, channel)."""
        parts = [_read_window(path, window_idx) for path in self.paths]
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if np.array_equal(self.rows, np.arange(len(whole))):
            return whole
        return whole[self.rows]

    def trials(self, trial_idx: NDArray[np.integer]) -> Float32:
        """Return all windows of some trials, float32, axes (trial, window, channel); what lies between is read too."""
        wanted = self.rows[trial_idx]
        found = np.empty((len(wanted), self.n_windows, self.n_channels), np.float32)
        first = 0
        for path in self.paths:
            first += _read_trials(path, wanted - first, found)
        return found


Features = Float32 | FeaturesFile
"""Axes (trial, window, channel)."""


def window_of(features: Features, window_idx: int) -> Float32:
    """Return one window of all trials, float32, axes (trial, channel)."""
    if isinstance(features, FeaturesFile):
        return features.window(window_idx)
    return features[:, window_idx]


def trials_of(features: Features, trial_idx: NDArray[np.integer]) -> Features:
    """Return some trials; int, axes (trial,). Of a file nothing is read yet."""
    if isinstance(features, FeaturesFile):
        return FeaturesFile(
            features.paths, features.rows[trial_idx], features.n_windows, features.n_channels
        )
    return features[trial_idx]


def trial_blocks(features: Features) -> Iterator[tuple[NDArray[np.intp], Float32]]:
    """Yield every trial once, in blocks: positions of the trials, and float32, axes (trial, window, channel).

    At most TRIALS_PER_CHUNK trials at a time; those of a file in the file's order, as they lie there.
    """
    if not isinstance(features, FeaturesFile):
        for start in range(0, len(features), TRIALS_PER_CHUNK):
            some = features[start : start + TRIALS_PER_CHUNK]
            yield np.arange(start, start + len(some)), some
        return
    order = np.argsort(features.rows, kind="stable")
    edges = np.flatnonzero(np.diff(features.rows[order] // TRIALS_PER_CHUNK)) + 1
    for trials in np.split(order, edges):
        if len(trials):
            yield trials, features.trials(trials)


def joined_features(parts: Sequence[Features]) -> Features:
    """Return the trials of all parts, in their order; a file, unless all are arrays."""
    arrays = [part for part in parts if not isinstance(part, FeaturesFile)]
    if len(arrays) == len(parts):
        return np.concatenate(arrays)
    files = [part for part in parts if isinstance(part, FeaturesFile)]
    if len(files) < len(parts):
        raise ValueError(f"{len(arrays)} arrays and {len(files)} files, expected one kind.")
    starts = np.cumsum([0, *(len(one.rows) for one in files)])
    rows = [one.rows + start for one, start in zip(files, starts, strict=False)]
    paths = tuple(path for one in files for path in one.paths)
    return FeaturesFile(paths, np.concatenate(rows), files[0].n_windows, files[0].n_channels)


def array_of(features: Features) -> Float32:
    """Return all of them as an array, float32, axes (trial, window, channel)."""
    if isinstance(features, FeaturesFile):
        return np.stack([features.window(k) for k in range(features.n_windows)], axis=1)
    return features


def finite_trials(features: Features) -> NDArray[np.bool_]:
    """Return which trials are finite in every window, axes (trial,); one window is looked at at a time."""
    finite = np.ones(features.shape[0], np.bool_)
    for window_idx in range(features.shape[1]):
        finite &= np.isfinite(window_of(features, window_idx)).all(axis=1)
    return finite


def _read_window(path: Path, window_idx: int) -> Float32:
    try:
        with h5py.File(path, "r") as file:
            return np.asarray(file["features"][:, window_idx], np.float32)
    except (OSError, KeyError) as error:
        raise SessionError(
            f"{path}: cannot be read ({error}), expected features written before. Delete it."
        ) from None


def _read_trials(path: Path, rows: NDArray[np.integer], into: Float32) -> int:
    """Read those of some rows that are in a file; return how many rows it has."""
    try:
        with h5py.File(path, "r") as file:
            data = file["features"]
            here = np.flatnonzero((rows >= 0) & (rows < len(data)))
            if len(here):
                start, stop = int(rows[here].min()), int(rows[here].max()) + 1
                into[here] = data[start:stop][rows[here] - start]
            return len(data)
    except (OSError, KeyError) as error:
        raise SessionError(
            f"{path}: cannot be read ({error}), expected features written before. Delete it."
        ) from None


def write_features(
    path: Path,
    windows: Iterable[tuple[int, int, Float32 | None]],
    onsets: NDArray[np.int64],
    n_windows: int,
    n_channels: int,
) -> FeaturesFile:
    """Write features as they are cut; the file appears when it is whole.

    Parameters
    ----------
    path : Path
    windows : iterable of (trial, window, values)
        In any order; few blocks of trials are held when it is that of time. Values are float32, axes (channel,), None
        for a window that is missing; one that never comes is missing too (NaN).
    onsets : int64, axes (trial,)
        In the file, trials are in this order.
    n_windows, n_channels : int
    """
    n_trials = len(onsets)
    row_of_trial = np.empty(n_trials, np.intp)
    row_of_trial[np.argsort(onsets, kind="stable")] = np.arange(n_trials)
    with whole_file(path) as part, h5py.File(part, "w") as file:
        file.attrs["kind"] = KIND
        file["row_of_trial"] = row_of_trial
        shape = (n_trials, n_windows, n_channels)
        chunk = (min(TRIALS_PER_CHUNK, n_trials), 1, n_channels)
        data = file.create_dataset("features", shape, "f4", chunks=chunk, fillvalue=np.nan)
        held = _HeldTrials(shape, lambda start, values: _put(data, start, values))
        for trial, window, values in windows:
            held.add(int(row_of_trial[trial]), window, values)
        held.finish()
    return FeaturesFile((path,), row_of_trial, n_windows, n_channels)


def kept_features_file(
    folder: Path, key: Mapping[str, Any], write: Callable[[Path], FeaturesFile]
) -> FeaturesFile:
    """Return the features that a run before left in a folder, or write them; see cache.py.

    Parameters
    ----------
    folder : Path
    key : mapping
        Everything the features depend on; plain data.
    write : callable
        Called with the path to write to where there is no such file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"features-{key_hash(key)[:16]}.h5"
    try:
        return FeaturesFile.of(path)
    except SessionError:
        return write(path)


class _HeldTrials:
    """Blocks of trials that are not whole yet."""

    def __init__(self, shape: tuple[int, int, int], write: Callable[[int, Float32], None]) -> None:
        self._shape, self._write = shape, write
        self._blocks: dict[int, tuple[Float32, int]] = {}

    def add(self, row: int, window: int, values: Float32 | None) -> None:
        n_trials, n_windows, n_channels = self._shape
        start = row - row % TRIALS_PER_CHUNK
        n_rows = min(TRIALS_PER_CHUNK, n_trials - start)
        if start not in self._blocks:
            blank = np.full((n_rows, n_windows, n_channels), np.nan, np.float32)
            self._blocks[start] = (blank, 0)
        block, n_done = self._blocks[start]
        if values is not None:
            block[row - start, window] = values
        self._blocks[start] = (block, n_done + 1)
        if n_done + 1 == n_rows * n_windows:
            self._write(start, self._blocks.pop(start)[0])

    def finish(self) -> None:
        for start, (block, _) in sorted(self._blocks.items()):
            self._write(start, block)
        self._blocks.clear()


def _put(data: Any, start: int, values: Float32) -> None:
    for window_idx in range(values.shape[1]):
        data[start : start + len(values), window_idx] = np.ascontiguousarray(values[:, window_idx])
