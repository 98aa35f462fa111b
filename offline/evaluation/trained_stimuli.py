"""The stimuli a decoder has seen, and the refusal to score them.

A decoder scores well on what it was trained on, on another day too, so a figure of such trials says nothing of new
pictures. Whoever scores must say what was trained; there is no default.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from b2g_rt.contracts.bundle import ModelBundle
from b2g_rt.errors import SessionError
from offline.evaluation.training_record import among_latents, trained_ids, trained_latents


@dataclass(frozen=True, slots=True, eq=False)
class TrainedStimuli:
    """What a decoder was fitted on, or chosen by.

    Attributes
    ----------
    ids : frozenset of str
    latents : float32, axes (stimulus, latent)
        Stimuli are recognised by these too, under whatever id.
    mean : float32, axes (latent,)
        Training mean of the latents.
    """

    ids: frozenset[str]
    latents: NDArray[np.float32]
    mean: NDArray[np.float32]

    @classmethod
    def of_trials(cls, stimuli: Sequence[str], latents: NDArray[np.floating]) -> TrainedStimuli:
        """Return those of training trials; ``latents``: float, axes (trial, latent)."""
        _, first = np.unique(np.asarray(stimuli), return_index=True)
        own = np.asarray(latents, np.float32)[first]
        return cls(frozenset(stimuli), own, np.asarray(latents.mean(axis=0), np.float32))

    @classmethod
    def of_bundle(cls, bundle: ModelBundle) -> TrainedStimuli:
        """Return those a bundle's manifest tells of; none where it tells nothing."""
        return cls(trained_ids(bundle), trained_latents(bundle), bundle.latent_mean)

    def seen(self, stimuli: Sequence[str], latents: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Return which trials show a trained stimulus, by its id or by its latent.

        Parameters
        ----------
        stimuli : sequence of str, axes (trial,)
        latents : float, axes (trial, latent)
        """
        by_id = np.array([s in self.ids for s in stimuli], np.bool_)
        return by_id | among_latents(np.asarray(latents, np.float32), self.latents, self.mean)

    def refuse(self, stimuli: Sequence[str], latents: NDArray[np.floating]) -> None:
        """Refuse to score training trials.

        Raises
        ------
        SessionError
            At least one trial shows a trained stimulus; the line says how many, and which.
        """
        seen = np.flatnonzero(self.seen(stimuli, latents))
        if len(seen):
            named = list(dict.fromkeys(stimuli[int(i)] for i in seen))
            more = ", ..." if len(named) > 3 else ""
            raise SessionError(
                f"scores: {len(seen)} of {len(stimuli)} trials show stimuli of the training "
                f"({', '.join(named[:3])}{more}), expected new ones only. Leave these trials out."
            )
