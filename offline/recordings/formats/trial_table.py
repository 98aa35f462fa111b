"""The trials of a recording, whatever its format: which stimulus, where on the sample clock, of which set and day.

Repetitions are always counted from the stimulus ids, in the order of the trials: TVSD's own column is shuffled.
Knows no files.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from b2g_rt.config import StreamsConfig
from b2g_rt.contracts.session import SessionMarker
from b2g_rt.contracts.windows import Trial, onset_index
from b2g_rt.errors import SessionError

UNKNOWN_DAY = -1


@dataclass(frozen=True, slots=True)
class TrialTable:
    """One row per trial, in the order of presentation.

    Attributes
    ----------
    stimulus : tuple of str, axes (trial,)
    onset_idx : int64, axes (trial,)
        Place on the recording's sample clock; without a time axis the row of the response.
    onset_s : float64, axes (trial,)
        The recording's clock, s; NaN where there is none.
    split : tuple of str, axes (trial,)
        'train', 'test', or '' where the recording does not say.
    day : int64, axes (trial,)
        Recording day from 1; -1 where the recording does not say.
    """

    stimulus: tuple[str, ...]
    onset_idx: NDArray[np.int64]
    onset_s: NDArray[np.float64]
    split: tuple[str, ...]
    day: NDArray[np.int64]

    def __post_init__(self) -> None:
        n = len(self.stimulus)
        lengths = [len(x) for x in (self.onset_idx, self.onset_s, self.split, self.day)]
        if any(length != n for length in lengths):
            raise SessionError(f"trials: columns of {n} and {lengths} rows, expected equal ones.")

    @property
    def n_trials(self) -> int:
        """Number of trials."""
        return len(self.stimulus)

    def repetition(self) -> NDArray[np.int64]:
        """Return which presentation of its stimulus each trial is, from 0, int64, axes (trial,)."""
        seen: Counter[str] = Counter()
        numbers = np.empty(self.n_trials, np.int64)
        for trial, stimulus in enumerate(self.stimulus):
            numbers[trial] = seen[stimulus]
            seen[stimulus] += 1
        return numbers

    def n_repetitions(self) -> dict[str, int]:
        """Return how often each stimulus was shown, in the order of first presentation."""
        return dict(Counter(self.stimulus))

    def trials(self) -> list[Trial]:
        """Return the trials as the windows' functions take them."""
        return [
            Trial(i, stimulus, float(onset_s), int(onset_idx))
            for i, (stimulus, onset_s, onset_idx) in enumerate(
                zip(self.stimulus, self.onset_s, self.onset_idx, strict=True)
            )
        ]


def no_trials() -> TrialTable:
    """Return a table without trials."""
    return TrialTable((), np.zeros(0, np.int64), np.zeros(0), (), np.zeros(0, np.int64))


def unsorted_trials(
    stimulus: Sequence[str], onset_idx: NDArray[np.int64], onset_s: NDArray[np.float64]
) -> TrialTable:
    """Return a table of trials whose set and day are not known."""
    n = len(stimulus)
    return TrialTable(
        tuple(stimulus), onset_idx, onset_s, ("",) * n, np.full(n, UNKNOWN_DAY, np.int64)
    )


def onsets_of(
    markers: Sequence[SessionMarker], marker_pattern: str | None, where: str
) -> tuple[list[str], NDArray[np.float64]]:
    """Return stimulus and time of the markers that are onsets.

    Parameters
    ----------
    markers : sequence of SessionMarker
    marker_pattern : str, optional
        Regular expression that an onset marker matches whole, with a group 'stimulus'; the service's default.
    where : str
        Opens the error's line.

    Raises
    ------
    SessionError
        The pattern is none, or has no group 'stimulus'.
    """
    text = marker_pattern or StreamsConfig().marker_pattern
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise SessionError(
            f"{where}: marker pattern {text!r}: {error}, expected a regular expression."
        ) from None
    if "stimulus" not in pattern.groupindex:
        raise SessionError(
            f"{where}: marker pattern {text!r} has no group 'stimulus', expected for example "
            f"{r'(?P<stimulus>.+)'!r}."
        )
    found = [
        (hit["stimulus"], m.time_s)
        for m in markers
        if np.isfinite(m.time_s) and (hit := pattern.fullmatch(m.text))
    ]
    return [stimulus for stimulus, _ in found], np.array([time for _, time in found], np.float64)


def rounded(positions: NDArray[np.float64]) -> NDArray[np.int64]:
    """Round positions on the sample clock to indices, half up, as everywhere."""
    return np.array([onset_index(float(p)) for p in positions], np.int64)
