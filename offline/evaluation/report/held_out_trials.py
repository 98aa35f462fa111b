"""What a report is made of: decoded trials with their features and truth, and the decoder they came from.

Arrays only: whoever opened the recording and ran the decoder, live rules and training stimuli are dealt with before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.contracts.windows import WindowSpec
from offline.decoding.stepping import Decodes
from offline.evaluation.decoded_blocks import Silence, decode_blocks
from offline.evaluation.scores import KnownTrials
from offline.evaluation.trained_stimuli import TrainedStimuli
from offline.recordings.features_file import Features, finite_trials, trials_of, window_of
from offline.recordings.reliability import averaged_repetitions
from offline.scheduling.local_workers import LocalWorkers
from offline.scheduling.workers import Workers


@dataclass(frozen=True, slots=True, eq=False)
class ReportedDecoder:
    """The decoder that is reported on.

    Attributes
    ----------
    decoder : Decodes
        The very file that runs live.
    fixed : bool
        One map for all windows.
    channels : ChannelMap
    windows : WindowSpec
    trained : TrainedStimuli
        What it was fitted on; no report scores these.
    workers : Workers
        They decode, resample and permute; one thread here by default.
    """

    decoder: Decodes
    fixed: bool
    channels: ChannelMap
    windows: WindowSpec
    trained: TrainedStimuli
    workers: Workers = field(default_factory=lambda: LocalWorkers(1))

    def decode(
        self, features: Features, silence: Silence | None = None, *, last_window: bool = False
    ) -> NDArray[np.float32]:
        """Decode whole trials as live, see ``decode_blocks``; float32, axes (trial, window, latent)."""
        return decode_blocks(
            self.decoder,
            features,
            self.workers,
            fixed=self.fixed,
            silence=silence,
            last_window=last_window,
        )

    @property
    def has_memory(self) -> bool:
        """Whether it remembers something from window to window."""
        return self.decoder.n_state > 0

    @property
    def starts_anew(self) -> str:
        """What to say where trials are decoded one by one by a decoder that runs freely; '' for any other."""
        if not (self.fixed and self.has_memory):
            return ""
        return " Each trial is decoded with an empty memory, not with what the stream before it left there."


@dataclass(frozen=True, slots=True, eq=False)
class SlidTrials:
    """The same trials at successive windows, decoded by a fixed decoder's one map; ``windows``: where they are."""

    trials: HeldOutTrials
    windows: WindowSpec


@dataclass(frozen=True, slots=True, eq=False)
class HeldOutTrials:
    """Trials of stimuli that the decoder was not fitted on.

    Attributes
    ----------
    stimuli : tuple of str, axes (trial,)
    features : float32, axes (trial, window, channel), z units; or a file of them
        NaN where too much of a window was missing.
    decoded : float32, axes (trial, window, latent)
        NaN where the features are.
    known : KnownTrials
        The truth; its pool is what identification chooses from.
    """

    stimuli: tuple[str, ...]
    features: Features
    decoded: NDArray[np.float32]
    known: KnownTrials

    @property
    def whole(self) -> NDArray[np.bool_]:
        """Which trials have all windows, axes (trial,)."""
        return finite_trials(self.features)

    def mean_response(self) -> NDArray[np.float64]:
        """Return the mean over trials, float64, axes (window, channel)."""
        return np.stack(
            [
                window_of(self.features, k).mean(axis=0, dtype=np.float64)
                for k in range(self.features.shape[1])
            ]
        )

    def repeated(self) -> HeldOutTrials | None:
        """Return the trials of stimuli shown at least twice, identified among these; None where there is none."""
        _, of_trial, counts = np.unique(
            np.asarray(self.stimuli), return_inverse=True, return_counts=True
        )
        chosen = np.flatnonzero(counts[of_trial] > 1)
        return self.chosen(chosen) if len(chosen) else None

    def averaged(
        self, decode: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    ) -> HeldOutTrials:
        """Return one trial per stimulus: its responses averaged, then decoded, as the paper's test set was."""
        windows = []
        for k in range(self.features.shape[1]):
            means, names = averaged_repetitions(window_of(self.features, k), self.stimuli)
            windows.append(means.astype(np.float32))
        features = np.stack(windows, axis=1)
        position = {s: int(i) for s, i in zip(self.stimuli, self.known.true_idx, strict=True)}
        rows = np.array([position[s] for s in names], np.int64)
        known = KnownTrials(self.known.pool, rows, self.known.mean)
        return HeldOutTrials(names, features, decode(features), known)

    def chosen(self, trials: NDArray[np.intp]) -> HeldOutTrials:
        """Return some trials, int, axes (trial,), identified among their own stimuli."""
        stimuli = tuple(self.stimuli[int(i)] for i in trials)
        return HeldOutTrials(
            stimuli,
            trials_of(self.features, trials),
            self.decoded[trials],
            self.known.chosen(trials),
        )
