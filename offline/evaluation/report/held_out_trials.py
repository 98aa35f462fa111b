"""What a report is made of: decoded trials with their features and truth, and the decoder they came from.

Arrays only: whoever opened the recording and ran the decoder, live rules and training stimuli are dealt with before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.channels import ChannelMap
from b2g_rt.contracts.windows import WindowSpec
from offline.decoding.stepping import Decodes, decode_trials
from offline.evaluation.scores import KnownTrials
from offline.evaluation.trained_stimuli import TrainedStimuli
from offline.recordings.reliability import averaged_repetitions


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
    """

    decoder: Decodes
    fixed: bool
    channels: ChannelMap
    windows: WindowSpec
    trained: TrainedStimuli

    def decode(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Decode whole trials as live; float32, axes (trial, window, latent)."""
        return decode_trials(self.decoder, features, fixed=self.fixed)

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
    features : float32, axes (trial, window, channel), z units
        NaN where too much of a window was missing.
    decoded : float32, axes (trial, window, latent)
        NaN where the features are.
    known : KnownTrials
        The truth; its pool is what identification chooses from.
    """

    stimuli: tuple[str, ...]
    features: NDArray[np.float32]
    decoded: NDArray[np.float32]
    known: KnownTrials

    @property
    def whole(self) -> NDArray[np.bool_]:
        """Which trials have all windows, axes (trial,)."""
        return np.asarray(np.isfinite(self.features).all(axis=(1, 2)))

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
        means, names = averaged_repetitions(self.features, self.stimuli)
        features = means.astype(np.float32)
        position = {s: int(i) for s, i in zip(self.stimuli, self.known.true_idx, strict=True)}
        rows = np.array([position[s] for s in names], np.int64)
        known = KnownTrials(self.known.pool, rows, self.known.mean)
        return HeldOutTrials(names, features, decode(features), known)

    def chosen(self, trials: NDArray[np.intp]) -> HeldOutTrials:
        """Return some trials, int, axes (trial,), identified among their own stimuli."""
        stimuli = tuple(self.stimuli[int(i)] for i in trials)
        return HeldOutTrials(
            stimuli, self.features[trials], self.decoded[trials], self.known.chosen(trials)
        )
