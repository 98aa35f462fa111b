"""The simulated experiment as window responses: streams at 1 kHz, cut as live, once through.

The nine windows of every trial in the recording's unit, and the statistics of every training sample beside them. Both
ways to z units then start from the same responses, and the ROI windows are among the nine: V1's 25-125 ms is k = 5,
V4's 50-150 ms k = 6, IT's 75-175 ms k = 7. Sessions are kept in a folder, so that an interrupted run goes on.
Axes are (trial, window, channel). Knows no decoders.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.bundle import Normalisation
from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.contracts.windows import paper_windows, sliding_windows
from b2g_rt.mua.normaliser import Normaliser
from b2g_rt.simulation.from_record import macaque_record
from b2g_rt.simulation.macaque import Macaque
from b2g_rt.simulation.protocol import Protocol
from offline.export.source_hashes import BRAIN, source_hashes
from offline.recordings.cache import Arrays, cached_arrays
from offline.recordings.features import window_features, window_starts
from offline.recordings.recording import Block, Recording
from offline.recordings.side_by_side import Progress, side_by_side
from offline.recordings.simulated_sessions import RATE_HZ, simulated_recording
from offline.recordings.statistics import ChannelStatistics, merged_statistics
from offline.reproduction.plan import ReproductionPlan, Session
from offline.scheduling.workers import Workers
from offline.stages import Stage

WINDOWS = paper_windows(RATE_HZ)
ROI_WINDOWS = sliding_windows(RATE_HZ)


@dataclass(frozen=True, slots=True, eq=False)
class Responses:
    """What the electrodes answered, in the recording's unit.

    Attributes
    ----------
    training, test : float32, axes (trial, window, channel)
    statistics : ChannelStatistics
        Of all training samples: what a live chain would have been trained with.
    """

    training: NDArray[np.float32] = field(repr=False)
    test: NDArray[np.float32] = field(repr=False)
    statistics: ChannelStatistics


def simulated_responses(
    macaque: Macaque,
    plan: ReproductionPlan,
    work: Path | None,
    stage: Stage,
    workers: Workers | None = None,
) -> Responses:
    """Simulate all sessions.

    Parameters
    ----------
    macaque : Macaque
    plan : ReproductionPlan
    work : Path or None
        Where sessions are kept for a run that goes on after this one.
    stage : Stage
        Progress.
    workers : Workers, optional
        Of a cluster: a session is a piece of work. Otherwise sessions are simulated here, two side by side.
    """
    sessions = plan.sessions()
    w = {session.part: plan.latents(macaque, session.part) for session in sessions}
    key = {
        "plan": asdict(plan),
        **macaque_record(macaque),
        "channels": macaque.channels.to_dict(),
        "windows": WINDOWS.to_dict(),
        "sources": source_hashes(BRAIN),
    }

    every = _EverySession(macaque, key, work.absolute() if work else None)

    def shown_in(session: Session) -> NDArray[np.float32]:
        return w[session.part][plan.shown(session.part)[session.first : session.stop]]

    def one(position: int, tick: Progress) -> Arrays:
        session = sessions[position]
        return _kept_session(every, (session, shown_in(session)), tick)

    n_trials = plan.n_trials("training") + plan.n_trials("test")
    what = f"simulated: {n_trials} trials of {WINDOWS.n_windows} windows"
    if workers is not None and not workers.here:
        done = stage(what, len(sessions))
        pieces = ((session, shown_in(session)) for session in sessions)
        made = list(workers.run(_kept_session, pieces, shared=every, progress=done))
    else:
        n_samples = sum(Protocol().n_samples(session.stop - session.first) for session in sessions)
        made = side_by_side(one, len(sessions), stage(what, n_samples))
    is_training = [session.part == "training" for session in sessions]
    training = [m for m, own in zip(made, is_training, strict=True) if own]
    test = [m["responses"] for m, own in zip(made, is_training, strict=True) if not own]
    statistics = merged_statistics(_statistics(m) for m in training)
    return Responses(
        np.concatenate([m["responses"] for m in training]), np.concatenate(test), statistics
    )


def roi_window_responses(
    responses: NDArray[np.floating], channels: ChannelMap
) -> NDArray[np.float32]:
    """Pick each electrode's response in its ROI's window from the nine, float32, axes (trial, channel)."""
    (start,) = window_starts(ROI_WINDOWS)
    position = {int(s): k for k, s in enumerate(window_starts(WINDOWS))}
    k = np.array([position[int(start) - ROI_WINDOWS.lag_of(roi)] for roi in channels.roi])
    return np.asarray(responses[:, k, np.arange(channels.n_channels)], np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class _EverySession:
    """What the simulation of every session needs; ``key``: what its responses depend on."""

    macaque: Macaque
    key: dict[str, Any]
    work: Path | None


def _kept_session(
    every: _EverySession,
    item: tuple[Session, NDArray[np.float32]],
    tick: Progress = lambda done: None,
) -> Arrays:
    """Return a session's responses, from the folder or simulated; ``item``: the session, and the latents shown."""
    session, w = item
    return cached_arrays(
        every.work,
        f"responses-{session.part}-{session.first}",
        {**every.key, "session": asdict(session)},
        lambda: _session(every.macaque, w, session, tick),
    )


def _session(macaque: Macaque, w: NDArray[np.float32], session: Session, tick: Progress) -> Arrays:
    recording, onsets = simulated_recording(macaque, w, session.noise_seed)
    blank = np.zeros(macaque.channels.n_channels)
    # Mean 0 and SD 1: samples pass as they are, and whole windows are put into z units later.
    as_it_is = Normaliser(Normalisation(kind="frozen"), blank, blank + 1.0, RATE_HZ)
    passing = _Passing(recording)
    responses = window_features(
        passing.blocks, onsets, WINDOWS, macaque.channels, as_it_is, progress=tick
    )
    return {"responses": responses, **asdict(passing.whole_statistics())}


class _Passing:
    """Blocks on their way to the windows, and the statistics of all of them."""

    def __init__(self, recording: Recording) -> None:
        blank = np.zeros(recording.channels.n_channels)
        self._statistics = ChannelStatistics(blank, blank, blank)
        self.blocks = self._watched(recording)

    def _watched(self, recording: Recording) -> Iterator[Block]:
        for block in recording.blocks():
            self._statistics = self._statistics.merged(ChannelStatistics.of(block.values))
            yield block

    def whole_statistics(self) -> ChannelStatistics:
        """Return those of the whole recording: the windows need not have read its end."""
        for _ in self.blocks:
            pass
        return self._statistics


def _statistics(made: Arrays) -> ChannelStatistics:
    return ChannelStatistics(made["count"], made["mean"], made["squares"])
