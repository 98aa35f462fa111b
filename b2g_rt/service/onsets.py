"""From marker texts to trials: which markers are onsets, and where they lie on the sample clock."""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from b2g_rt.contracts.windows import Trial, onset_index
from b2g_rt.errors import ConfigError

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Onset:
    """An onset marker that is not on the sample clock yet; LSL clock, seconds."""

    stimulus: str
    onset_s: float


class OnsetTracker:
    """Holds onsets until the sample clock has passed them, then numbers the trials.

    Parameters
    ----------
    pattern : str
        Regular expression that an onset marker matches whole, with a group ``stimulus``.

    Raises
    ------
    ConfigError
        The pattern is no regular expression, or has no such group.
    """

    def __init__(self, pattern: str) -> None:
        try:
            self._pattern = re.compile(pattern)
        except re.error as error:
            raise ConfigError(
                f"streams.marker_pattern: {error}, expected a regular expression."
            ) from None
        if "stimulus" not in self._pattern.groupindex:
            raise ConfigError(
                f"streams.marker_pattern: '{pattern}' has no group 'stimulus', expected for example "
                "'(?P<stimulus>.+)'."
            )
        self._waiting: deque[Onset] = deque()
        self.n_trials = 0
        self.n_others = 0

    def add(self, time_s: float, text: str) -> bool:
        """Take a marker; return whether it is an onset."""
        match = self._pattern.fullmatch(text)
        if match is None or not match["stimulus"]:
            self.n_others += 1
            return False
        self._waiting.append(Onset(match["stimulus"], time_s))
        return True

    def resolve(self, position_of: Callable[[float], float], stop: int) -> list[Trial]:
        """Return the trials whose onset lies before ``stop``, in the order in which their markers came.

        Parameters
        ----------
        position_of : callable
            Position on the sample clock, in samples, of a time on the LSL clock.
        stop : int
            Newest index plus one.
        """
        trials: list[Trial] = []
        still: deque[Onset] = deque()
        for onset in self._waiting:
            index = onset_index(position_of(onset.onset_s))
            if index >= stop:
                still.append(onset)
                continue
            trials.append(Trial(self.n_trials, onset.stimulus, onset.onset_s, index))
            self.n_trials += 1
        self._waiting = still
        return trials

    @property
    def n_waiting(self) -> int:
        """Onsets that the samples have not reached."""
        return len(self._waiting)
