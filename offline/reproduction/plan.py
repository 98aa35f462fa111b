"""How much is simulated, and from which seeds, so that a figure can be made again to the last digit.

Training shows each stimulus once, the test each of its stimuli many times, in an order drawn at random. No seed is
one of the default bundle's. The plateau of the images' time course was chosen while looking at window means of seeds
1 to 4, so images are to be judged by another seed; nothing of the faces was. Knows no files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import ConfigError
from b2g_rt.simulation.macaque import Macaque
from b2g_rt.simulation.presets import PRESETS

Stimuli = Literal["faces", "images"]
Part = Literal["training", "test"]

MIN_TRAINING = 50

_LATENTS, _ORDER, _NOISE = 71, 72, 73


@dataclass(frozen=True, slots=True)
class Session:
    """Consecutive trials.

    Attributes
    ----------
    part : Part
    first, stop : int
        Trials [first, stop) of the part.
    noise_seed : int
    """

    part: Part
    first: int
    stop: int
    noise_seed: int


@dataclass(frozen=True, slots=True)
class ReproductionPlan:
    """The size of the experiment and its seed.

    Attributes
    ----------
    stimuli : Stimuli
        Which of the paper's two experiments.
    n_training : int
        Stimuli of the training, each shown once.
    n_test, n_repeats : int
        Stimuli of the test, and how often each is shown.
    seed : int
        Of stimuli, order of the test, noise and folds; the animal has its own.
    trials_per_session : int

    Raises
    ------
    ConfigError
        Too few trials to fit a decoder, or nothing to test it with.
    """

    stimuli: Stimuli
    n_training: int
    n_test: int
    n_repeats: int
    seed: int = 1
    trials_per_session: int = 500

    def __post_init__(self) -> None:
        if self.stimuli not in get_args(Stimuli):
            raise ConfigError(f"reproduce: '{self.stimuli}', expected faces or images.")
        if self.n_training < MIN_TRAINING:
            raise ConfigError(
                f"reproduce: {self.n_training} training trials, expected at least {MIN_TRAINING}. "
                f"The paper has {PRESETS[self.stimuli].n_train}."
            )
        if min(self.n_test, self.trials_per_session) < 2 or self.n_repeats < 1 or self.seed < 0:
            raise ConfigError(
                f"reproduce: {self.n_test} test stimuli shown {self.n_repeats} times, seed {self.seed}, expected at "
                "least 2, 1 and 0."
            )

    @classmethod
    def of(cls, stimuli: Stimuli, n_training: int, seed: int) -> ReproductionPlan:
        """Return the paper's experiment."""
        preset = PRESETS[stimuli]
        return cls(stimuli, n_training, preset.n_test, preset.n_repeats, seed)

    @property
    def is_the_papers(self) -> bool:
        """Whether it has the paper's sizes, for which the claims are made."""
        paper = PRESETS[self.stimuli]
        wanted = (paper.n_train, paper.n_test, paper.n_repeats)
        return (self.n_training, self.n_test, self.n_repeats) == wanted

    def n_trials(self, part: Part) -> int:
        """Return the number of presentations."""
        return self.n_training if part == "training" else self.n_test * self.n_repeats

    def latents(self, macaque: Macaque, part: Part) -> NDArray[np.float32]:
        """Return the latents of the distinct stimuli, float32, axes (stimulus, latent)."""
        n = self.n_training if part == "training" else self.n_test
        key = [macaque.latents.seed, _LATENTS, self.seed, int(part == "test")]
        return macaque.latents.draw(np.random.default_rng(key), n)

    def shown(self, part: Part) -> NDArray[np.int64]:
        """Return which stimulus each trial shows, int64, axes (trial,)."""
        if part == "training":
            return np.arange(self.n_training)
        every = np.tile(np.arange(self.n_test), self.n_repeats)
        # Else each picture would always follow the same one, whose response it would be decoded with.
        return np.random.default_rng([_ORDER, self.seed]).permutation(every)

    def sessions(self) -> list[Session]:
        """Return all sessions, those of the training first."""
        parts: tuple[Part, ...] = get_args(Part)
        cut = [
            (part, first, min(first + self.trials_per_session, self.n_trials(part)))
            for part in parts
            for first in range(0, self.n_trials(part), self.trials_per_session)
        ]
        seeds = np.random.SeedSequence([_NOISE, self.seed]).generate_state(len(cut))
        return [Session(*one, int(s)) for one, s in zip(cut, seeds, strict=True)]
