"""What the stages count and time, in one place for the status message and the summary.

Each counter has one writing thread; others only read.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.messages import AdaptationState, TrialMessage
from b2g_rt.service.latency import LatencyMeter

_FIGURES = ("cosine", "centred_cosine", "two_way")


@dataclass(slots=True)
class Comparison:
    """The figures of the same trials, decoded with what was learnt and by the bundle alone: sums, kept apart."""

    n_trials: int = 0
    _adapted: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(_FIGURES)))
    _unadapted: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(_FIGURES)))

    def add(self, trial: TrialMessage) -> None:
        """Take a trial; one without the bundle's figures is left out of both."""
        unadapted = [getattr(trial, f"unadapted_{name}") for name in _FIGURES]
        if None in unadapted:
            return
        self.n_trials += 1
        self._adapted += [getattr(trial, name) for name in _FIGURES]
        self._unadapted += unadapted

    def line(self) -> str:
        """Return both, for people; "" without trials."""
        if not self.n_trials:
            return ""
        adapted, bundle = self.adapted, self.unadapted
        return (
            f"over the same {self.n_trials} trials cosine {adapted['cosine']:.3f} (bundle alone "
            f"{bundle['cosine']:.3f}), centred {adapted['centred_cosine']:.3f} ({bundle['centred_cosine']:.3f}), "
            f"two-way {adapted['two_way']:.3f} ({bundle['two_way']:.3f})"
        )

    @property
    def adapted(self) -> dict[str, float]:
        """Means over trials of what was published: cosine, centred_cosine, two_way; empty without trials."""
        return self._means(self._adapted)

    @property
    def unadapted(self) -> dict[str, float]:
        """The same of the bundle's decoder by itself."""
        return self._means(self._unadapted)

    def _means(self, sums: NDArray[np.float64]) -> dict[str, float]:
        if not self.n_trials:
            return {}
        return dict(zip(_FIGURES, (sums / self.n_trials).tolist(), strict=True))


@dataclass(slots=True)
class Progress:
    """Counts and durations of one session.

    ``decode``: return of the pull that made a window due, to its latent. ``sample_to_latent``, ``sample_to_frame``:
    from the stamp of the window's last sample to its latent, and to its picture leaving the service.
    ``adaptation``, ``n_trials_learnt``, ``n_trials_predicted``, ``n_trials_unpredicted``: as in ``StatusMessage``.
    """

    n_trials: int = 0
    n_unknown_stimuli: int = 0
    n_other_markers: int = 0
    n_markers_too_old: int = 0
    n_failures: int = 0
    windows_due: int = 0
    windows_decoded: int = 0
    windows_skipped: int = 0
    windows_dropped: int = 0
    windows_late: int = 0
    windows_gap: int = 0
    frames_rendered: int = 0
    adaptation: AdaptationState = "off"
    n_trials_learnt: int = 0
    n_trials_predicted: int = 0
    n_trials_unpredicted: int = 0
    comparison: Comparison = field(default_factory=Comparison)
    decode: LatencyMeter = field(default_factory=LatencyMeter)
    sample_to_latent: LatencyMeter = field(default_factory=LatencyMeter)
    sample_to_frame: LatencyMeter = field(default_factory=LatencyMeter)
