"""What the stages count and time, in one place for the status message and the summary.

Each counter has one writing thread; others only read.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from b2g_rt.service.latency import LatencyMeter


@dataclass(slots=True)
class Progress:
    """Counts and durations of one session.

    ``decode``: return of the pull that made a window due, to its latent. ``sample_to_latent``, ``sample_to_frame``:
    from the stamp of the window's last sample to its latent, and to its picture leaving the service.
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
    decode: LatencyMeter = field(default_factory=LatencyMeter)
    sample_to_latent: LatencyMeter = field(default_factory=LatencyMeter)
    sample_to_frame: LatencyMeter = field(default_factory=LatencyMeter)
