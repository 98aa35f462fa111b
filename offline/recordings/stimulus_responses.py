"""One response per stimulus, as the published matrices hold it: window means, normalised by day, averaged over repeats.

For writers of Brain2GAN's and TVSD's files. Windows are the paper's (V1 25-125, V4 50-150, IT 75-175 ms), cut by the
functions that cut them live; normalisation is the paper's, which looks ahead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.bundle import Normalisation
from b2g_rt.contracts.windows import sliding_windows
from b2g_rt.errors import SessionError
from b2g_rt.mua.normaliser import Normaliser
from offline.recordings.features import window_features
from offline.recordings.formats.reader import RecordingReader
from offline.recordings.formats.trial_table import UNKNOWN_DAY, TrialTable
from offline.recordings.normalisation import paper_normalised
from offline.recordings.recording import Recording
from offline.recordings.reliability import averaged_repetitions, repetitions

TRAIN, TEST = "train", "test"


@dataclass(frozen=True, slots=True, eq=False)
class StimulusResponses:
    """Responses by stimulus, z units.

    Attributes
    ----------
    train_ids, test_ids : tuple of str, axes (stimulus,)
        Ascending.
    train, test : float32, axes (stimulus, channel)
        Means over what was shown; NaN where no presentation has a value.
    test_repetitions : float32, axes (repetition, stimulus, channel)
        In the order of presentation; NaN beyond a stimulus's last.
    """

    train_ids: tuple[str, ...]
    test_ids: tuple[str, ...]
    train: NDArray[np.float32]
    test: NDArray[np.float32]
    test_repetitions: NDArray[np.float32]


def stimulus_responses(
    readers: Sequence[RecordingReader], progress: Callable[[int], None] | None = None
) -> StimulusResponses:
    """Cut, normalise and average.

    Parameters
    ----------
    readers : sequence of RecordingReader
        Of the same electrodes; one a day, unless their trials say which day it was.
    progress : callable, optional
        Called with the number of samples done since the last call.

    Raises
    ------
    SessionError
        No time axis, no training or no test stimuli, or a day with too few test trials.
    """
    parts: list[NDArray[np.float32]] = []
    stimulus: list[str] = []
    split: list[str] = []
    day: list[int] = []
    for number, reader in enumerate(readers, start=1):
        trials = reader.trials()
        parts.append(_window_means(reader, trials, progress))
        stimulus += trials.stimulus
        split += trials.split
        day += [number if d == UNKNOWN_DAY else d for d in trials.day.tolist()]
    is_test = is_test_trial(stimulus, split, readers)
    z = paper_normalised(np.concatenate(parts), day, is_test).values
    shown = np.array(stimulus)
    train, train_ids = averaged_repetitions(z[~is_test], shown[~is_test].tolist())
    repeated = repetitions(z[is_test], shown[is_test].tolist(), at_least=1)
    return StimulusResponses(
        train_ids,
        repeated.stimuli,
        train.astype(np.float32),
        repeated.averaged.astype(np.float32),
        repeated.values.astype(np.float32),
    )


def _window_means(
    reader: RecordingReader, trials: TrialTable, progress: Callable[[int], None] | None
) -> NDArray[np.float32]:
    """Return the mean over each electrode's response window, axes (trial, channel), in the recording's unit."""
    info = reader.info
    if info.rate_hz is None:
        raise SessionError(
            f"{info.path}: one row per stimulus already, expected a recording with samples. Use the file as it is."
        )
    return window_means(reader, trials.onset_idx, info.rate_hz, progress)


def window_means(
    recording: Recording,
    onsets: NDArray[np.int64],
    rate_hz: float,
    progress: Callable[[int], None] | None = None,
) -> NDArray[np.float32]:
    """Return the mean over each electrode's response window, in the recording's unit.

    Parameters
    ----------
    recording : Recording
    onsets : int64, axes (trial,)
        On its sample clock.
    rate_hz : float
        Its rate.
    progress : callable, optional
        Called with the number of samples done since the last call.

    Returns
    -------
    float32, axes (trial, channel); NaN where too much of a window is missing
    """
    n = recording.channels.n_channels
    as_it_is = Normaliser(Normalisation(kind="frozen"), np.zeros(n), np.ones(n), rate_hz)
    spec = sliding_windows(rate_hz)
    blocks, channels = recording.blocks(), recording.channels
    return window_features(blocks, onsets, spec, channels, as_it_is, progress=progress)[:, 0]


def is_test_trial(
    stimulus: Sequence[str], split: Sequence[str], readers: Sequence[RecordingReader]
) -> NDArray[np.bool_]:
    """Say which trials are test trials: as told, else those of stimuli that were shown more than once."""
    if all(split):
        is_test = np.array([s == TEST for s in split], np.bool_)
    else:
        shown = Counter(stimulus)
        is_test = np.array([shown[s] > 1 for s in stimulus], np.bool_)
    if not is_test.any() or is_test.all():
        raise SessionError(
            f"{readers[0].info.path}: {int(is_test.sum())} of {len(is_test)} trials are test trials (shown more than "
            "once, where nothing else is said), expected training and test stimuli."
        )
    return is_test
