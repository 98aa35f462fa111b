"""The stimulation protocol: when each stimulus of a session comes on.

Pure arithmetic on samples at 1 kHz; knows no stimuli, electrodes or clocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Protocol:
    """Runs of a fixation period and a few stimuli, with a pause between runs.

    Attributes
    ----------
    fixation_ms, stimulus_ms, gap_ms, pause_ms : int
        Fixation before the first stimulus, stimulus, gap after each stimulus, pause after a run.
    stimuli_per_run : int

    Raises
    ------
    ValueError
        A negative duration, nothing shown, or no stimulus in a run.

    Notes
    -----
    Defaults: Brain2GAN, 300 ms fixation, then 4 x (200 ms stimulus + 200 ms gap).
    """

    fixation_ms: int = 300
    stimulus_ms: int = 200
    gap_ms: int = 200
    stimuli_per_run: int = 4
    pause_ms: int = 600

    def __post_init__(self) -> None:
        """Refuse what makes no protocol, with ValueError."""
        durations = (self.fixation_ms, self.stimulus_ms, self.gap_ms, self.pause_ms)
        if min(durations) < 0 or self.stimulus_ms + self.gap_ms < 1 or self.stimuli_per_run < 1:
            raise ValueError(f"{self}: durations and counts that make no protocol")

    @property
    def run_ms(self) -> int:
        """Duration of a whole run, its pause included."""
        shown = self.stimuli_per_run * (self.stimulus_ms + self.gap_ms)
        return self.fixation_ms + shown + self.pause_ms

    def onsets(self, n_stimuli: int) -> NDArray[np.int64]:
        """Return the onset of each presentation, int64, axes (trial,), sample index from 0."""
        run, slot = np.divmod(np.arange(n_stimuli, dtype=np.int64), self.stimuli_per_run)
        within = self.fixation_ms + slot * (self.stimulus_ms + self.gap_ms)
        return np.asarray(run * self.run_ms + within)

    def n_samples(self, n_stimuli: int) -> int:
        """Return the length of a session, samples: up to the pause after its last stimulus."""
        if n_stimuli == 0:
            return 0
        last = int(self.onsets(n_stimuli)[-1])
        return last + self.stimulus_ms + self.gap_ms + self.pause_ms
