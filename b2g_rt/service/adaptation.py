"""The online ridge in the service: what is added to the bundle's latents, learnt from, frozen and rolled back.

The decode thread asks ``correct`` for every window and calls ``learn_next`` while nothing is due; commands come from
other threads and take effect between two windows. Each trial is predicted before it is learnt (trial_learner.py).
Targets are the bundle's latents by stimulus id. Nothing is learnt from a stimulus marked test, from one that the
bundle does not know, or from a window that lost samples or had bad electrodes. The bundle's own latent is handed on
beside the adapted one, so that figures before and after stay apart.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from b2g_rt.adaptation.state_file import SavedCorrection
from b2g_rt.adaptation.trial_learner import LearnerSettings, TrialLearner
from b2g_rt.config import AdaptationConfig
from b2g_rt.contracts.bundle import ModelBundle
from b2g_rt.contracts.windows import DueWindow, WindowFeatures
from b2g_rt.errors import CommandError, ConfigError
from b2g_rt.service.adaptable import prior_of, stimuli_marked_test, why_not_adaptable
from b2g_rt.service.progress import Progress

LOG = logging.getLogger(__name__)

EVENT = "adaptation"
"""Kind of the events that tell what became of the online ridge."""

Float32 = NDArray[np.float32]
T = TypeVar("T")
Tell = Callable[[str, Literal["info", "warning", "error"], str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Corrected:
    """A window's latent as it leaves, and the bundle's own; float32, axes (latent,).

    ``unadapted`` is None while the online ridge is off, when there is nothing to compare.
    """

    latent: Float32 = field(repr=False)
    unadapted: Float32 | None = field(repr=False)
    adapted: bool


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """What ``n_trials`` taught."""

    n_trials: int
    saved: SavedCorrection


class Adaptation:
    """The online ridge of one service.

    Parameters
    ----------
    bundle : ModelBundle
    config : AdaptationConfig
    progress : Progress
    tell : callable
        (kind, level, text): what became of it; from any thread, must not ask this object anything.

    Raises
    ------
    ConfigError
        It is switched on, and the bundle is none whose decoder can be refined; or a pattern is none.
    """

    def __init__(
        self, bundle: ModelBundle, config: AdaptationConfig, progress: Progress, tell: Tell
    ) -> None:
        self._bundle = bundle
        self._config = config
        self._progress = progress
        self._tell = tell
        self._test = stimuli_marked_test(bundle, config)
        self._target = dict(zip(bundle.stimuli.ids, bundle.stimuli.latent, strict=True))
        self._last_idx = bundle.windows.n_windows - 1
        self._learner: TrialLearner | None = None
        self._learns = False
        # What keeps a command from meeting a window half way.
        self._lock = threading.Lock()
        why = why_not_adaptable(bundle)
        if config.online_ridge and why:
            raise ConfigError(
                f"adaptation.online_ridge: {why}. Switch it off, or take another bundle."
            )

    @property
    def starts_by_itself(self) -> bool:
        """Whether the configuration switches it on."""
        return self._config.online_ridge

    # ------------------------------------------------------------- the decode thread

    def correct(self, latent: Float32, window: DueWindow, features: WindowFeatures) -> Corrected:
        """Add what was learnt to the bundle's latent of one window, and keep the window to learn from it.

        Parameters
        ----------
        latent : float32, axes (latent,)
        window : DueWindow
        features : WindowFeatures
            With values.
        """
        with self._lock:
            learner, values = self._learner, features.values
            if learner is None or values is None:
                return Corrected(latent, None, adapted=False)
            correction = self._guarded(learner, lambda: learner.predict(values, window.window_idx))
            trial = window.trial
            if trial and self._may_learn(trial.stimulus, features):
                residual = self._target[trial.stimulus] - latent
                if np.isfinite(residual).all():
                    learner.hold(trial.trial, window.window_idx, values, residual)
            self._end_with(window)
        if correction is None:
            return Corrected(latent, latent, adapted=False)
        return Corrected(latent + correction, latent, adapted=True)

    def missed(self, window: DueWindow) -> None:
        """Take note of a window that has no latent: its trial may be over with it."""
        with self._lock:
            self._end_with(window)

    def _may_learn(self, stimulus: str, features: WindowFeatures) -> bool:
        whole = features.n_lost == 0 and features.n_bad_channels == 0
        known = stimulus in self._target and stimulus not in self._test
        return self._learns and whole and known

    def _end_with(self, window: DueWindow) -> None:
        learner = self._learner
        if learner is None or window.trial is None or window.window_idx != self._last_idx:
            return
        if learner.end_trial(window.trial.trial):
            self._progress.n_trials_learnt = learner.n_trials
            if learner.n_trials % self._config.checkpoint_trials == 0:
                self._tell(EVENT, "info", f"online ridge: {learner.n_trials} trials learnt")

    def learn_next(self) -> bool:
        """Learn one window of a trial that is over; return whether there was one."""
        with self._lock:
            learner = self._learner
            return bool(learner and self._guarded(learner, learner.learn_next))

    def _guarded(self, learner: TrialLearner, step: Callable[[], T]) -> T | None:
        try:
            return step()
        except (FloatingPointError, ValueError) as error:
            # The bundle's decoder is always there to go back to; what cannot be trusted is not added.
            learner.roll_back()
            self._set(learner, learns=False)
            LOG.exception("online ridge")
            self._tell(
                EVENT,
                "error",
                f"online ridge: {error}; back to the bundle's decoder, and frozen.",
            )
            return None

    # ------------------------------------------------------------- commands, from any thread

    def start(self, reason: str) -> str:
        """Learn from now on; see ``CommandMessage``.

        Returns
        -------
        str
            What was done, one line.

        Raises
        ------
        CommandError
            The bundle's decoder cannot be refined, or it is on already.
        """
        why = why_not_adaptable(self._bundle)
        if why:
            raise CommandError(f"start: {why}. Serve another bundle.")
        config = self._config
        learner = TrialLearner(
            self._last_idx + 1,
            self._bundle.channels.n_channels,
            self._bundle.manifest.n_latents,
            LearnerSettings(
                prior_of(self._bundle, config.prior_trials),
                config.forgetting,
                config.checkpoint_trials,
                config.checkpoints,
            ),
        )
        with self._lock:
            if self._learner is not None:
                raise CommandError("start: the online ridge is on already. See adapt status.")
            self._learner = learner
            self._set(learner, learns=True)
        return self._said(
            f"started ({reason}): prior {config.prior_trials:g} trials, forgetting {config.forgetting:g}, "
            f"{len(self._target.keys() - self._test)} stimuli to learn from, {len(self._test)} marked test"
        )

    def freeze(self, reason: str) -> str:
        """Learn nothing more; what has been learnt goes on being added. Raises CommandError when it is off."""
        with self._lock:
            learner = self._on("freeze")
            while self._guarded(learner, learner.learn_next):
                pass
            learner.drop_open()
            self._set(learner, learns=False)
        return self._said(f"frozen ({reason}) at {learner.n_trials} trials learnt")

    def resume(self, reason: str) -> str:
        """Go on learning. Raises CommandError when it is off."""
        with self._lock:
            learner = self._on("resume")
            self._set(learner, learns=True)
        return self._said(f"learning again ({reason}), from {learner.n_trials} trials learnt")

    def roll_back(self, n_trials: int | None, reason: str) -> str:
        """Go back by so many trials at least (None: to the bundle's decoder), and freeze.

        Raises
        ------
        CommandError
            It is off, or has not learnt so many trials.
        """
        with self._lock:
            learner = self._on("rollback")
            before = learner.n_trials
            if n_trials is not None and not 0 <= n_trials <= before:
                raise CommandError(
                    f"rollback: {n_trials} trials, expected at most the {before} that were learnt."
                )
            after = learner.roll_back(n_trials)
            self._set(learner, learns=False)
        to = f"{after} trials learnt" if after else "the bundle's decoder"
        return self._said(f"rolled back ({reason}) from {before} trials learnt to {to}, and frozen")

    def status(self) -> str:
        """Return how it stands, one line."""
        with self._lock:
            learner = self._learner
            if learner is None:
                return "online ridge: off"
            stands = ", ".join(f"{n}" for n in learner.stands)
            state = "learning" if self._learns else "frozen"
            said = f"online ridge: {state}, {learner.n_trials} trials learnt; can be rolled back to {stands}"
            compared = self._progress.comparison.line()
            return f"{said}; {compared}" if compared else said

    def learnt(self) -> Learnt | None:
        """Return what was learnt, to be kept; None when it is off."""
        with self._lock:
            learner = self._learner
            if learner is None:
                return None
            correction, n_learnt = learner.corrections()
            provenance = {
                "bundle": self._bundle.hash,
                "bundle_name": self._bundle.manifest.name,
                "n_trials": learner.n_trials,
                "settings": self._config.model_dump(mode="json"),
                "test_stimuli": sorted(self._test),
            }
            return Learnt(learner.n_trials, SavedCorrection(correction, n_learnt, provenance))

    def _on(self, command: str) -> TrialLearner:
        if self._learner is None:
            raise CommandError(f"{command}: the online ridge is off. Run adapt start first.")
        return self._learner

    def _set(self, learner: TrialLearner, *, learns: bool) -> None:
        self._learns = learns
        self._progress.adaptation = "learning" if learns else "frozen"
        self._progress.n_trials_learnt = learner.n_trials

    def _said(self, text: str) -> str:
        self._tell(EVENT, "info", f"online ridge: {text}")
        return f"online ridge: {text}"
