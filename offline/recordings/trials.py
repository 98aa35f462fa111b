"""The trials of a recording of any format, and how a marker's time becomes a place on the sample clock.

A marker's time stamp becomes a position on the sample clock by the stamps stored beside the samples: linear
between neighbouring samples, at the nominal rate beyond them, then to the nearest index, half up. The live
service fits a line through many stamps instead (it must not know the future); where the stored stamps jitter,
the two can differ by about that jitter, where they are regular, they are equal.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import SessionError
from offline.recordings.formats.reader import RecordingReader
from offline.recordings.formats.trial_table import TrialTable, no_trials


def sample_positions(
    times: NDArray[np.float64], time_s: NDArray[np.float64], index: NDArray[np.int64], per_s: float
) -> NDArray[np.float64]:
    """Return where points in time lie on the sample clock.

    Parameters
    ----------
    times : float64, axes (marker,), seconds
    time_s : float64, axes (sample,), seconds, the same clock
    index : int64, axes (sample,)
        In order of reception; late and doubled samples do not count.
    per_s : float
        Samples per second of the clock, used before the first and after the last sample.

    Returns
    -------
    float64, axes (marker,), samples, fractional
    """
    newest = np.maximum.accumulate(np.concatenate([index[:1] - 1, index[:-1]]))
    time_s, index = time_s[index > newest], index[index > newest]
    # Stamps that run backwards (jitter between chunks) are held at the latest one so far.
    stamps = np.maximum.accumulate(time_s)
    inside = np.interp(times, stamps, index.astype(np.float64))
    before = index[0] + (times - stamps[0]) * per_s
    after = index[-1] + (times - stamps[-1]) * per_s
    return np.where(times < stamps[0], before, np.where(times > stamps[-1], after, inside))


def recorded_trials(recording: RecordingReader) -> TrialTable:
    """Return the trials of a recording that has some.

    Raises
    ------
    SessionError
        The marker pattern is none, or no marker fits it.
    """
    table = recording.trials() if recording.n_samples else no_trials()
    if not table.n_trials:
        raise SessionError(
            f"{recording.info.path}: {len(recording.markers())} markers, 0 of them onsets, {recording.n_samples} "
            "samples, expected onset markers and samples. Check --marker-pattern."
        )
    return table
