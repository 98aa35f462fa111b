"""Trials of one or more recordings as training sees them: features in z units of their own day, stimuli, days.

A recording is a day; one that says itself on which days its trials were shown (TVSD) is as many. Each day is
normalised with the statistics of all its samples, which know neither stimuli nor trials. Features and statistics are
kept in a folder, so that an interrupted fit goes on. Knows nothing of latents or decoders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.bundle import Normalisation
from b2g_rt.contracts.windows import WindowSpec
from b2g_rt.errors import SessionError
from offline.evaluation.held_out import FeatureChain
from offline.export.day_features import Cutting, Day, cut_days
from offline.recordings.features import features_bytes
from offline.recordings.features_file import Features, joined_features
from offline.recordings.formats.reader import RecordingReader
from offline.recordings.mua_source import MuaTrials, RecordingPart, days_of, mua_of
from offline.recordings.trials import recorded_trials
from offline.scheduling.resources import Resources
from offline.stages import Stage

if TYPE_CHECKING:
    from pathlib import Path

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingTrials:
    """All trials of some recordings.

    Attributes
    ----------
    stimuli : tuple of str, axes (trial,)
    is_test : bool, axes (trial,)
        Whether the recording itself says that the trial is for testing.
    day : int64, axes (trial,)
        From 0; the last one is the newest.
    features : float32, axes (trial, window, channel), z units of the day; or a file of them
        NaN where too much of a window is missing.
    sliding : float32, axes (trial, position, channel), or None
        Of a free-running decoder that is to be smoothed: successive positions of its window.
    chain : FeatureChain
        Of the last day, which is the nearest to what comes next.
    streams : tuple of (MuaTrials, FeatureChain), one per day
        Where the features came from; none of responses without a time axis.
    """

    stimuli: tuple[str, ...]
    is_test: NDArray[np.bool_]
    day: NDArray[np.int64]
    features: Features
    sliding: Float32 | None
    chain: FeatureChain
    streams: tuple[tuple[MuaTrials, FeatureChain], ...] = ()

    @property
    def n_days(self) -> int:
        """Number of days."""
        return len(np.unique(self.day))


def training_trials(
    recordings: Sequence[RecordingReader],
    windows: WindowSpec,
    stage: Stage,
    work: Path | None = None,
    *,
    sliding: bool = False,
    resources: Resources | None = None,
) -> TrainingTrials:
    """Cut the windows of all trials.

    Parameters
    ----------
    recordings : sequence of RecordingReader
        In the order in which they were made; of the same electrodes.
    windows : WindowSpec
    stage : Stage
        Progress.
    work : Path, optional
        Where arrays are kept.
    sliding : bool
        Whether positions of a sliding window are wanted too.
    resources : Resources, optional
        Workers that cut days side by side, and the memory that decides whether features are held.

    Raises
    ------
    SessionError
        A recording without trials, of another rate or unit, or of other electrodes than the first.
    """
    parts = [part for recording in recordings for part in _days(recording, windows)]
    _check_alike(recordings)
    normalisation = Normalisation(kind="frozen" if len(parts) == 1 else "running")
    if not parts:
        raise SessionError("training: no recording, expected at least one.")
    files = _files(parts, windows, resources, work)
    how = Cutting(windows, sliding, work, files)
    cut = cut_days(parts, how, stage, resources.workers if resources else None)
    chain = cut[-1].chain
    return TrainingTrials(
        stimuli=tuple(s for part in parts for s in part.stimuli),
        is_test=np.concatenate([part.is_test for part in parts]),
        day=np.repeat(np.arange(len(parts)), [len(part.stimuli) for part in parts]),
        features=joined_features([one.features for one in cut]),
        sliding=np.concatenate([one.sliding for one in cut if one.sliding is not None])
        if sliding
        else None,
        chain=FeatureChain(
            chain.channels, windows, chain.channel_mean, chain.channel_sd, normalisation
        ),
        streams=tuple(
            (day.mua, one.chain) for day, one in zip(parts, cut, strict=True) if day.mua is not None
        ),
    )


def _files(
    days: Sequence[Day], windows: WindowSpec, resources: Resources | None, work: Path | None
) -> Path | None:
    """Return where features go that are too many to be held; None: they are held."""
    if resources is None or any(day.mua is None for day in days):
        return None
    n_trials = sum(len(day.stimuli) for day in days)
    n_bytes = features_bytes(n_trials, windows, days[0].reader.channels.n_channels)
    return (work or resources.scratch).absolute() if n_bytes > resources.held_features else None


def _days(reader: RecordingReader, windows: WindowSpec) -> list[Day]:
    """Split a recording into its days: one, unless it says on which days its trials were shown, in their order."""
    table = recorded_trials(reader)
    is_test = np.array([s == "test" for s in table.split])
    key = _recording_key(reader)
    if reader.info.kind == "responses":
        return [Day(reader, table.stimulus, is_test, None, table.onset_idx, key)]
    days = []
    for start, stop, trials in days_of(reader, table):
        part = RecordingPart(reader, start, stop)
        mua = mua_of(part, table.onset_idx[trials], windows.rate_hz)
        stimuli = tuple(table.stimulus[i] for i in trials)
        days.append(
            Day(reader, stimuli, is_test[trials], mua, trials, {**key, "rows": [start, stop]})
        )
    return days


def _check_alike(recordings: Sequence[RecordingReader]) -> None:
    first = recordings[0]
    for other in recordings[1:]:
        if not first.channels.same_electrodes(other.channels):
            raise SessionError(
                f"{other.info.path}: {other.channels.n_channels} electrodes, {first.info.path} has other "
                f"{first.channels.n_channels}, expected the same. Fit a bundle per animal."
            )
        if (first.info.unit, first.info.kind) != (other.info.unit, other.info.kind):
            raise SessionError(
                f"{other.info.path}: {other.info.kind} in '{other.info.unit}', {first.info.path} holds "
                f"{first.info.kind} in '{first.info.unit}', expected the same. Fit a bundle each."
            )


def _recording_key(reader: RecordingReader) -> dict[str, Any]:
    state = reader.info.path.stat()
    return {
        "path": str(reader.info.path.resolve()),
        "bytes": state.st_size,
        "modified": state.st_mtime_ns,
        "channels": reader.channels.to_dict(),
        "gaps": reader.gaps.lines(),
    }
