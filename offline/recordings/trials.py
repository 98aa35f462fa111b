"""The trials of a recorded session: which stimulus came on, and at which sample.

A marker's time stamp becomes a position on the sample clock by the stamps stored beside the samples: linear
between neighbouring samples, at the nominal rate beyond them, then to the nearest index, half up. The live
service fits a line through many stamps instead (it must not know the future); where the stored stamps jitter,
the two can differ by about that jitter, where they are regular, they are equal.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from b2g_rt.config import StreamsConfig
from b2g_rt.contracts.session import SessionFile
from b2g_rt.contracts.windows import Trial, onset_index
from b2g_rt.errors import SessionError


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


def session_trials(session: SessionFile, marker_pattern: str | None = None) -> list[Trial]:
    """Return the trials of a session, in the order of its markers.

    Parameters
    ----------
    session : SessionFile
    marker_pattern : str, optional
        Regular expression that an onset marker matches whole, with a group 'stimulus'; the service's default.

    Raises
    ------
    SessionError
        The pattern is none, or no marker fits it.
    """
    text = marker_pattern or StreamsConfig().marker_pattern
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise SessionError(
            f"marker pattern {text!r}: {error}, expected a regular expression."
        ) from None
    if "stimulus" not in pattern.groupindex:
        raise SessionError(
            f"marker pattern {text!r}: no group 'stimulus', expected for example {r'(?P<stimulus>.+)'!r}."
        )
    markers = session.markers()
    found = [(m, hit["stimulus"]) for m in markers if (hit := pattern.fullmatch(m.text))]
    if not found or not session.n_samples:
        raise SessionError(
            f"{session.path}: {len(markers)} markers, {len(found)} of them onsets, {session.n_samples} samples, "
            "expected onset markers and samples. Check streams.marker_pattern."
        )
    times = np.array([m.time_s for m, _ in found])
    per_s = session.info.rate_hz * session.info.speed
    positions = sample_positions(times, session.time_s(), session.index(), per_s)
    return [
        Trial(i, stimulus, marker.time_s, onset_index(float(position)))
        for i, ((marker, stimulus), position) in enumerate(zip(found, positions, strict=True))
    ]
