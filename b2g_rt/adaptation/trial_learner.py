"""Which trial is learnt when, in every window of a trial: predicted before it is learnt, and ways back.

One ``OnlineRidge`` per window position. A trial's windows are held until its last one has been decoded; then they are
due. What is due for a window is learnt when there is time (``learn_next``), at the latest before that window of a
later trial is predicted: so predictions depend on the order of windows alone, never on how fast the machine is, and the
same windows in the same order give the same numbers live and offline, bit for bit.
Every so many trials all ridges are copied; ``roll_back`` returns to such a stand, or to the bundle.
For the service, and for learning from a recording. Knows nothing of stimuli, files or threads.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from b2g_rt.adaptation.online_ridge import OnlineRidge, RidgeState

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LearnerSettings:
    """How is learnt.

    Attributes
    ----------
    prior : float
        See ``OnlineRidge``.
    forgetting : float
        What a trial counts one trial later, 1 for no forgetting.
    checkpoint_trials : int
        A stand to return to is kept every so many trials.
    n_checkpoints : int
        How many are kept; the oldest go.
    """

    prior: float
    forgetting: float = 1.0
    checkpoint_trials: int = 50
    n_checkpoints: int = 3


@dataclass(frozen=True, slots=True, eq=False)
class _Sample:
    """One window of one trial: what was seen, and what the fixed decoder missed."""

    features: Float32
    residual: Float32


@dataclass(frozen=True, slots=True, eq=False)
class _Checkpoint:
    """How everything stood after ``n_trials``; a window's state is there once that window has learnt them."""

    n_trials: int
    states: dict[int, RidgeState] = field(default_factory=dict)


class TrialLearner:
    """The corrections of all windows.

    Parameters
    ----------
    n_windows, n_channels, n_latents : int
    settings : LearnerSettings

    Attributes
    ----------
    n_trials : int
        Trials learnt, those included whose windows are due.
    """

    def __init__(
        self, n_windows: int, n_channels: int, n_latents: int, settings: LearnerSettings
    ) -> None:
        self._settings = settings
        self._ridges = [
            OnlineRidge(n_channels, n_latents, prior=settings.prior, forgetting=settings.forgetting)
            for _ in range(n_windows)
        ]
        self._open: dict[int, dict[int, _Sample]] = {}
        self._due: list[deque[_Sample | _Checkpoint]] = [deque() for _ in range(n_windows)]
        self._checkpoints: deque[_Checkpoint] = deque(maxlen=max(1, settings.n_checkpoints))
        self.n_trials = 0

    @property
    def n_windows(self) -> int:
        """Windows per trial."""
        return len(self._ridges)

    @property
    def stands(self) -> tuple[int, ...]:
        """How many trials each stand that can be returned to has learnt, the bundle (0) first."""
        return (0, *(c.n_trials for c in self._checkpoints))

    def predict(self, features: Float32, window_idx: int) -> Float32 | None:
        """Return what is to be added to the fixed decoder's latent.

        Parameters
        ----------
        features : float32, axes (channel,)
        window_idx : int

        Returns
        -------
        float32, axes (latent,), or None while nothing that was learnt is trusted.
        """
        while self._due[window_idx]:
            self._learn(window_idx)
        ridge = self._ridges[window_idx]
        return ridge.predict(features) if ridge.trust > 0 else None

    def hold(self, trial: int, window_idx: int, features: Float32, residual: Float32) -> None:
        """Keep one window of a trial that is to be learnt when it is over.

        Parameters
        ----------
        trial : int
        window_idx : int
        features : float32, axes (channel,)
            Not copied.
        residual : float32, axes (latent,)
            The true latent minus that of the fixed decoder.
        """
        self._open.setdefault(trial, {})[window_idx] = _Sample(features, residual)

    def end_trial(self, trial: int) -> bool:
        """Let what was held of a trial become due; return whether there was anything."""
        samples = self._open.pop(trial, None)
        if not samples:
            return False
        for window_idx, sample in samples.items():
            self._due[window_idx].append(sample)
        self.n_trials += 1
        if self.n_trials % self._settings.checkpoint_trials == 0:
            checkpoint = _Checkpoint(self.n_trials)
            self._checkpoints.append(checkpoint)
            for due in self._due:
                due.append(checkpoint)
        return True

    def drop_open(self) -> None:
        """Forget what was held of trials that are not over."""
        self._open.clear()

    def learn_next(self) -> bool:
        """Learn one window of what is due, the earliest window first; return whether there was one."""
        for window_idx, due in enumerate(self._due):
            if due:
                self._learn(window_idx)
                return True
        return False

    def _learn(self, window_idx: int) -> None:
        item = self._due[window_idx].popleft()
        ridge = self._ridges[window_idx]
        if isinstance(item, _Checkpoint):
            item.states[window_idx] = ridge.state()
        else:
            ridge.learn(item.features, item.residual)

    def roll_back(self, n_trials: int | None = None) -> int:
        """Return to the newest stand that is at least so many trials old; newer ones are gone.

        Parameters
        ----------
        n_trials : int, optional
            None: all of them, back to the bundle.

        Returns
        -------
        int
            Trials learnt at that stand.

        Raises
        ------
        ValueError
            More trials than were learnt.
        """
        wanted = 0 if n_trials is None else self.n_trials - n_trials
        if wanted < 0:
            raise ValueError(f"{n_trials} of {self.n_trials} trials")
        while self._checkpoints and self._checkpoints[-1].n_trials > wanted:
            self._checkpoints.pop()
        self._open.clear()
        if not self._checkpoints:
            self._back_to_the_bundle()
            return 0
        # What is due may complete the stand; nothing of it is left afterwards.
        while self.learn_next():
            pass
        stand = self._checkpoints[-1]
        for window_idx, state in stand.states.items():
            self._ridges[window_idx].restore(state)
        self.n_trials = stand.n_trials
        return stand.n_trials

    def _back_to_the_bundle(self) -> None:
        for due, ridge in zip(self._due, self._ridges, strict=True):
            due.clear()
            ridge.forget_all()
        self.n_trials = 0

    def corrections(self) -> tuple[Float32, NDArray[np.int64]]:
        """Return what is added now, with everything learnt that is due.

        Returns
        -------
        correction : float32, axes (window, channel + 1, latent)
            The trusted share; the last row belongs to the constant.
        n_learnt : int64, axes (window,)
        """
        while self.learn_next():
            pass
        return (
            np.stack([ridge.weights() for ridge in self._ridges]),
            np.array([ridge.n_learnt for ridge in self._ridges], np.int64),
        )
