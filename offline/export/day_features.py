"""The features of one day's trials, from its samples: a piece of work, for threads or the workers of a cluster.

A day knows how to open its recording, so a worker that can read the file needs nothing else of it. Its statistics,
then its windows, both kept in a folder, so that an interrupted fit goes on. Knows nothing of latents or decoders.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.bundle import Normalisation
from b2g_rt.contracts.windows import WindowSpec
from b2g_rt.errors import SessionError
from offline.evaluation.held_out import FeatureChain
from offline.export.source_hashes import BRAIN, source_hashes
from offline.recordings.cache import Arrays, cached_arrays
from offline.recordings.features import window_starts
from offline.recordings.features_file import Features, FeaturesFile, kept_features_file
from offline.recordings.formats.reader import RecordingReader
from offline.recordings.mua_source import MuaTrials
from offline.recordings.statistics import ChannelStatistics, channel_statistics
from offline.scheduling.workers import Workers
from offline.stages import Stage

SLIDING_STRIDES = (-3, -2, -1, 0, 1)
"""Positions of a sliding window that smoothing is chosen on, strides from where the decoder is trained: those that
show the stimulus."""

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Day:
    """One day's trials; ``mua`` is None where there are responses without a time axis (``rows``).

    Attributes
    ----------
    reader : RecordingReader
    stimuli : tuple of str, axes (trial,)
    is_test : bool, axes (trial,)
    mua : MuaTrials or None
    rows : int64, axes (trial,)
    key : dict
        What identifies the day's samples; plain data.
    """

    reader: RecordingReader
    stimuli: tuple[str, ...]
    is_test: NDArray[np.bool_]
    mua: MuaTrials | None
    rows: NDArray[np.int64]
    key: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cutting:
    """How days are cut.

    Attributes
    ----------
    windows : WindowSpec
    sliding : bool
        Whether positions of a sliding window are wanted too.
    work : Path or None
        Where arrays are kept.
    files : Path or None
        Where features go that are too many for memory; None: they are held.
    """

    windows: WindowSpec
    sliding: bool
    work: Path | None
    files: Path | None


@dataclass(frozen=True, slots=True, eq=False)
class DayFeatures:
    """A day's features in its own z units, the positions of a sliding window if wanted, and its chain."""

    chain: FeatureChain
    features: Features
    sliding: Float32 | None


def cut_days(
    days: Sequence[Day], how: Cutting, stage: Stage, workers: Workers | None
) -> list[DayFeatures]:
    """Cut all days: several of them side by side where there are workers.

    Raises
    ------
    SessionError
        A recording that cannot be read, here or where a worker is.
    """
    if workers is None or len(days) == 1:
        names = [f"day {i + 1} of {len(days)}: " if len(days) > 1 else "" for i in range(len(days))]
        return [cut_day(how, day, stage, name) for day, name in zip(days, names, strict=True)]
    done = stage(f"statistics and features of {len(days)} days", len(days))
    function = _cut_quietly if workers.here else _cut_elsewhere
    found = list(workers.run(function, days, shared=how, progress=done))
    for one in found:
        if isinstance(one.features, FeaturesFile):
            _check_seen(one.features)
    return found


def cut_day(how: Cutting, day: Day, stage: Stage, name: str = "") -> DayFeatures:
    """Cut one day; ``name`` opens the stages' lines."""
    chain = _chain(how, day, stage, name)
    mua = day.mua
    if mua is None:
        features: Features = chain.responses(day.reader, day.rows)
    else:
        done = stage(f"{name}features", mua.recording.n_samples)
        features = _cut(how, mua, mua.onsets, chain, day.key, done, how.files)
    return DayFeatures(
        chain, features, _sliding(how, day, chain, stage, name) if how.sliding else None
    )


def _cut_quietly(how: Cutting, day: Day) -> DayFeatures:
    return cut_day(how, day, lambda what, total: lambda done: None)


def _cut_elsewhere(how: Cutting, day: Day) -> DayFeatures:
    """Cut a day whose recording was opened for it alone."""
    with day.reader:
        return _cut_quietly(how, day)


def _check_seen(features: FeaturesFile) -> None:
    for path in features.paths:
        if not path.exists():
            raise SessionError(
                f"{path}: written by a worker, not seen here, expected a folder that all machines share. Name one with "
                "--work."
            )


def _chain(how: Cutting, day: Day, stage: Stage, name: str) -> FeatureChain:
    channels = day.reader.channels
    frozen = Normalisation(kind="frozen")
    if day.mua is None:
        # Responses are in z units already.
        zero, one = np.zeros(channels.n_channels), np.ones(channels.n_channels)
        return FeatureChain(channels, how.windows, zero, one, frozen)
    recording = day.mua.recording
    done = stage(f"{name}statistics", recording.n_samples)

    def compute() -> Arrays:
        return asdict(channel_statistics(recording, done))

    statistics = ChannelStatistics(**cached_arrays(how.work, "statistics", day.key, compute))
    return FeatureChain(channels, how.windows, statistics.mean, statistics.sd, frozen)


def _sliding(how: Cutting, day: Day, chain: FeatureChain, stage: Stage, name: str) -> Float32:
    mua = day.mua
    if mua is None or chain.windows.anchor != "free":
        raise SessionError(
            f"{day.reader.info.path}: one response per trial, expected a time axis to smooth over. Set --smoothing "
            "none."
        )
    done = stage(f"{name}features of the sliding window", mua.recording.n_samples)
    shift = np.array(SLIDING_STRIDES) * chain.windows.stride
    onsets = (mua.onsets[:, None] + shift).ravel()
    slid = _cut(how, mua, onsets, chain, day.key, done, None)
    return np.asarray(slid).reshape(len(mua.onsets), len(shift), -1)


def _cut(
    how: Cutting,
    mua: MuaTrials,
    onsets: NDArray[np.int64],
    chain: FeatureChain,
    key: dict[str, Any],
    done: Callable[[int], None],
    files: Path | None,
) -> Features:
    key = {
        **key,
        "windows": chain.windows.to_dict(),
        "starts": window_starts(chain.windows).tolist(),
        "onsets": onsets.tolist(),
        "sources": source_hashes(BRAIN),
    }
    if files is not None:
        return kept_features_file(
            files, key, lambda path: chain.features_file(path, mua.recording, onsets, done)
        )

    def compute() -> Arrays:
        return {"features": chain.features(mua.recording, onsets, done)}

    return np.asarray(cached_arrays(how.work, "features", key, compute)["features"], np.float32)
