"""How much memory an evaluation takes: a figure that is said before the work, and kept to.

Figures are what arrays take at most, beyond the program itself, the latents that are given and the pictures of a
report; tests compare them with what is taken. What is too much of features goes to a file; latents stay.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from b2g_rt.errors import ConfigError
from offline.decoding.stepping import Decodes
from offline.evaluation.held_out import FeatureChain
from offline.evaluation.metrics import TABLE_SIZE
from offline.evaluation.scores import KnownTrials
from offline.recordings.features_file import TRIALS_PER_CHUNK
from offline.recordings.formats.reader import RecordingReader
from offline.recordings.recording import BLOCK_SAMPLES
from offline.scheduling.fewer_at_once import FewerAtOnce
from offline.scheduling.memory import size_text
from offline.scheduling.resources import Resources
from offline.stages import Stage

N_SLID = 13
"""Positions that a report slides a fixed decoder over; see slid_windows.py."""

_N_RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class EvaluationSize:
    """What is evaluated.

    Attributes
    ----------
    n_trials, n_windows, n_channels, n_latents, n_state : int
    n_stimuli : int
        That identification chooses from.
    n_samples : int
        Of the recording, whose places on the clock are looked through.
    n_rows : int
        Of responses without a time axis, which are read whole; else 0.
    n_slid : int
        Windows that a report slides a fixed decoder over.
    reported : bool
        Whether a report follows.
    """

    n_trials: int
    n_windows: int
    n_channels: int
    n_latents: int
    n_state: int
    n_stimuli: int
    n_samples: int = 0
    n_rows: int = 0
    n_slid: int = 0
    reported: bool = False

    @classmethod
    def of(
        cls,
        decoder: Decodes,
        chain: FeatureChain,
        known: KnownTrials,
        recording: RecordingReader | None = None,
        *,
        reported: bool = False,
    ) -> EvaluationSize:
        """Return the size of decoding and scoring some trials; without ``recording``: of simulated ones."""
        free = chain.windows.anchor == "free"
        responses = recording is not None and recording.info.kind == "responses"
        return cls(
            n_trials=len(known.true_idx),
            n_windows=1 if free else chain.windows.n_windows,
            n_channels=chain.channels.n_channels,
            n_latents=known.pool.shape[1],
            n_state=decoder.n_state,
            n_stimuli=len(known.pool),
            n_samples=recording.n_samples if recording is not None else 0,
            n_rows=recording.n_samples if recording is not None and responses else 0,
            n_slid=N_SLID if reported and free and not responses else 0,
            reported=reported,
        )


@dataclass(frozen=True, slots=True)
class EvaluationMemory:
    """What an evaluation takes.

    Attributes
    ----------
    at_once : int
        Pieces of work under way together.
    here : int
        Bytes in this process, at most.
    each_worker : int
        Bytes in each worker process, at most; 0 where the work is done here.
    in_file : bool
        Whether features go to a file.
    """

    at_once: int
    here: int
    each_worker: int
    in_file: bool

    def line(self) -> str:
        """Return one line for people."""
        text = f"memory: at most {size_text(self.here)} here"
        if self.each_worker:
            text += f", {size_text(self.each_worker)} in each worker"
        plural = "s" if self.at_once > 1 else ""
        in_file = ", features in a file" if self.in_file else ""
        return f"{text} ({self.at_once} piece{plural} at once{in_file})"


def plan_evaluation(size: EvaluationSize, resources: Resources) -> EvaluationMemory:
    """Return what an evaluation takes, with as many pieces at once as fit.

    Raises
    ------
    ConfigError
        One piece at a time takes more than it may.
    """
    for n in range(resources.workers.slots_per_process, 0, -1):
        found = _cut(size, resources, n)
        most = max(found.here, found.each_worker)
        if most <= resources.memory:
            return found
    raise ConfigError(
        f"evaluate: {size.n_trials} trials, {size.n_stimuli} stimuli, {size.n_channels} channels and "
        f"{size.n_latents} latents take {size_text(most)}, --memory is {size_text(resources.memory)}. Give more"
        f"{', or leave out --report' if size.reported else ''}."
    )


def bounded(size: EvaluationSize, resources: Resources | None, stage: Stage) -> Resources | None:
    """Say what an evaluation takes, and return resources that keep to it; None where there is no bound.

    Raises as ``plan_evaluation``.
    """
    if resources is None:
        return None
    plan = plan_evaluation(size, resources)
    stage(plan.line(), 0)(0)
    return replace(resources, workers=FewerAtOnce(resources.workers, plan.at_once))


def _cut(size: EvaluationSize, resources: Resources, n: int) -> EvaluationMemory:
    """Return what an evaluation takes with ``n`` pieces at once in a process."""
    workers = resources.workers
    held, in_file = 0, False
    writing = 4 * 4 * TRIALS_PER_CHUNK * size.n_channels * max(size.n_windows, size.n_slid)
    for n_windows in (size.n_windows, size.n_slid):
        n_bytes = 4 * size.n_trials * n_windows * size.n_channels
        if n_bytes > resources.held_features and not size.n_rows:
            in_file = True
        else:
            # Those of new stimuli are chosen for a report.
            held += 2 * n_bytes if size.reported else n_bytes
    held += 8 * size.n_rows * size.n_channels
    latents = 4 * size.n_trials * (size.n_windows + size.n_slid) * size.n_latents
    piece = max(_decoding(size), _statistic(size) if size.reported else 0)
    at_once = n if workers.here or n < workers.slots_per_process else workers.n_slots
    pieces = at_once * (piece if workers.here else 2 * _item(size))
    cutting = 40 * BLOCK_SAMPLES * size.n_channels + (writing if in_file else 0)
    here = held + 2 * latents + max(cutting, 16 * size.n_samples, pieces + _scoring(size))
    each = 0 if workers.here else _shared(size) + n * (piece + _item(size))
    return EvaluationMemory(at_once, here, each, in_file)


def _item(size: EvaluationSize) -> int:
    """Return what a piece is sent and gives back."""
    n_windows = max(size.n_windows, size.n_slid)
    block = 4 * TRIALS_PER_CHUNK * (n_windows * (size.n_channels + size.n_latents))
    return max(block, 8 * 20 * size.n_trials) if size.reported else block


def _decoding(size: EvaluationSize) -> int:
    """Return what one block of trials takes while it is decoded."""
    n_windows = max(size.n_windows, size.n_slid)
    per_trial = n_windows * (2 * size.n_channels + 2 * size.n_latents) + 3 * size.n_state
    cells = 8 * 6 * size.n_latents + 16 * n_windows**2 if size.reported else 0
    return TRIALS_PER_CHUNK * (4 * (per_trial + 2 * size.n_channels + size.n_latents) + cells)


def _statistic(size: EvaluationSize) -> int:
    """Return what one resampled or permuted statistic of all dimensions takes."""
    return 8 * size.n_trials * (7 * size.n_latents + 20)


def _shared(size: EvaluationSize) -> int:
    """Return what every piece of a statistic needs, as it arrives."""
    return 2 * 3 * 8 * size.n_trials * size.n_latents if size.reported else 0


def _scoring(size: EvaluationSize) -> int:
    """Return what the scores of one window take at once, beside all latents."""
    t, y, p = size.n_trials, size.n_latents, size.n_stimuli
    latents = 64 * t * y + 24 * p * y + 24 * _N_RESAMPLES * p
    if not size.reported:
        return latents + 24 * min(t * p, max(TABLE_SIZE, p))
    averaged = p * (size.n_windows * (size.n_channels * 12 + size.n_latents * 4))
    shown = 3 * 4 * t * size.n_channels + 8 * p**2
    return latents + 40 * t * p + averaged + shown
