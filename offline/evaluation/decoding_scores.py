"""All figures of decoded latents at one window, each with its baseline, chance, interval and test.

Whoever decoded them: single trials, or one averaged response per stimulus. Training trials are refused. The lighter
``scores.py`` gives the curve over windows; this is what a report says of one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import SessionError
from offline.evaluation.identification import (
    IdentificationScore,
    identification,
    similarities,
    two_way_table,
)
from offline.evaluation.latent_dimensions import DimensionScores, score_dimensions
from offline.evaluation.metrics import Interval, bootstrap_mean, cosines
from offline.evaluation.scores import KnownTrials
from offline.evaluation.trained_stimuli import TrainedStimuli
from offline.resampling import (
    N_PERMUTATIONS,
    PermutationTest,
    flip_signs,
    permute_stimuli,
)
from offline.scheduling.workers import Workers


@dataclass(frozen=True, slots=True, eq=False)
class DecodingScores:
    """What a decoder achieved on held-out trials.

    Attributes
    ----------
    n_trials, n_not_decoded, n_stimuli : int
        Trials scored; trials of which too much was missing; distinct stimuli among those scored.
    cosine : Interval
        Decoded against true latent.
    mean_latent_cosine : Interval
        The training mean against the same true latents: what is there without looking at the brain.
    gain : Interval
        ``cosine`` minus ``mean_latent_cosine``, trial by trial.
    gain_test : PermutationTest
        Whether the gain is more than 0: signs flipped stimulus by stimulus.
    centred_cosine : Interval
        Both minus the training mean; chance 0, and 0 for the mean latent.
    centred_test : PermutationTest
        Stimuli permuted.
    identification : tuple of IdentificationScore
        By Pearson over latents minus the training mean; each with pool and chance.
    two_way_test : PermutationTest
        Of two-way identification, stimuli permuted.
    dimensions : DimensionScores
        Pearson and R2 of each latent dimension.
    """

    n_trials: int
    n_not_decoded: int
    n_stimuli: int
    cosine: Interval
    mean_latent_cosine: Interval
    gain: Interval
    gain_test: PermutationTest
    centred_cosine: Interval
    centred_test: PermutationTest
    identification: tuple[IdentificationScore, ...]
    two_way_test: PermutationTest
    dimensions: DimensionScores

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        plain = {
            name: getattr(self, name)
            for name in self.__slots__
            if name not in ("dimensions", "identification")
        }
        return {
            **{name: v if isinstance(v, int) else asdict(v) for name, v in plain.items()},
            "chance_centred_cosine": 0.0,
            "identification": [asdict(score) for score in self.identification],
            "dimensions": self.dimensions.to_dict(),
        }


def score_decoding(
    decoded: NDArray[np.floating],
    known: KnownTrials,
    stimuli: Sequence[str],
    trained: TrainedStimuli,
    *,
    n_choices: Sequence[int] = (2, 10, 50),
    top: Sequence[int] = (1, 5),
    n_permutations: int = N_PERMUTATIONS,
    seed: int = 0,
    workers: Workers | None = None,
) -> DecodingScores:
    """Score held-out trials at one window.

    Parameters
    ----------
    decoded : float, axes (trial, latent)
        NaN throughout where a trial could not be decoded.
    known : KnownTrials
        The truth; its pool is what identification chooses from.
    stimuli : sequence of str, axes (trial,)
    trained : TrainedStimuli
        What the decoder was fitted on, or chosen by; trials that show it are refused.
    n_choices, top : sequence of int
        N of N-way, k of top-k identification.
    n_permutations, seed : int
    workers : Workers, optional
        They do the bootstrap over dimensions; figures are the same without.

    Raises
    ------
    SessionError
        Training trials among these, another number of trials than stimuli, or none that was decoded.
    """
    if not len(decoded) == len(stimuli) == len(known.true_idx):
        raise SessionError(
            f"scores: {len(decoded)} decoded trials, {len(stimuli)} stimuli, {len(known.true_idx)} true latents, "
            "expected as many of each."
        )
    trained.refuse(stimuli, known.latents)
    whole = np.isfinite(decoded).all(axis=1)
    if not whole.any():
        raise SessionError(
            f"scores: none of {len(decoded)} trials was decoded, expected at least one. Too many samples are missing."
        )
    x = np.asarray(decoded, np.float64)[whole]
    true, shown = known.latents[whole].astype(np.float64), known.true_idx[whole]
    mean = known.mean.astype(np.float64)
    raw, guess = cosines(x, true), cosines(np.broadcast_to(mean, true.shape), true)
    centred = similarities(x, known.pool, mean, "cosine")
    pearson = similarities(x, known.pool, mean)
    return DecodingScores(
        n_trials=len(x),
        n_not_decoded=int(len(whole) - len(x)),
        n_stimuli=len(np.unique(shown)),
        cosine=bootstrap_mean(raw, shown, seed),
        mean_latent_cosine=bootstrap_mean(guess, shown, seed),
        gain=bootstrap_mean(raw - guess, shown, seed),
        gain_test=flip_signs(raw - guess, shown, n_permutations, seed),
        centred_cosine=bootstrap_mean(centred[np.arange(len(x)), shown], shown, seed),
        centred_test=permute_stimuli(centred, shown, n_permutations, seed),
        identification=identification(pearson, shown, n_choices, top, seed),
        two_way_test=permute_stimuli(two_way_table(pearson), shown, n_permutations, seed),
        dimensions=score_dimensions(x, true, mean, shown, seed=seed, workers=workers),
    )
