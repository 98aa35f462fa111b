"""Encoding of shuffled stimuli: how often something is called significant where nothing can be.

Responses are given to other stimuli, those of the training and those of the test, all electrodes of a stimulus
together; models are fitted anew and scored. Counted per feature space, before any best one is chosen.
Were the test left as it is, nothing would be wrong and yet much significant: a model of shuffled training responses
still predicts by the strongest components of its space, which the true test responses hold as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offline.encoding.encode import Rule, encode_space
from offline.encoding.every_space import Fitting
from offline.encoding.responses import EncodingResponses
from offline.encoding.scores import plain
from offline.encoding.statistics import bonferroni, n_scored, pearson, t_test_p
from offline.features.feature_space import FeatureSpace
from offline.stages import Stage

ALPHA = 0.05
RULE: Rule = "degrees_of_freedom"
"""The paper's, whose choice needs no folds: twenty shuffles are twenty times as many electrodes."""
SHUFFLES_AT_ONCE = 10
_SHUFFLE = 74


@dataclass(frozen=True, slots=True, eq=False)
class ShuffledScores:
    """What was significant.

    Attributes
    ----------
    spaces : tuple of str, axes (space,)
    uncorrected : float64, axes (space, shuffle)
        Share of electrodes with p < .05, two-sided.
    bonferroni : int64, axes (space, shuffle)
        Electrodes with p < .05 after Bonferroni's correction over electrodes, two-sided.
    """

    spaces: tuple[str, ...]
    uncorrected: NDArray[np.float64] = field(repr=False)
    bonferroni: NDArray[np.int64] = field(repr=False)

    def mean_uncorrected(self, space: str) -> float:
        """Return the mean share over shuffles."""
        return float(self.uncorrected[self.spaces.index(space)].mean())

    def n_with_several(self, space: str) -> int:
        """Return in how many shuffles more than one electrode is significant after Bonferroni's correction."""
        return int((self.bonferroni[self.spaces.index(space)] > 1).sum())

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "alpha": ALPHA,
            "rule": RULE,
            "spaces": list(self.spaces),
            "uncorrected": plain(self.uncorrected),
            "bonferroni": plain(self.bonferroni),
        }


def shuffled_scores(
    spaces: Sequence[FeatureSpace],
    responses: EncodingResponses,
    n_shuffles: int,
    seed: int,
    fitting: Fitting,
    stage: Stage,
    rule: Rule = RULE,
) -> ShuffledScores:
    """Fit shuffled training responses and score shuffled test responses.

    Parameters
    ----------
    spaces : sequence of FeatureSpace
    responses : EncodingResponses
    n_shuffles, seed : int
    fitting : Fitting
        Its rule is not used.
    stage : Stage
        Progress.
    rule : {'degrees_of_freedom', 'cross_validation'}
    """
    n, n_channels = responses.train.shape
    rng = np.random.default_rng([_SHUFFLE, seed])
    orders = [rng.permutation(n) for _ in range(n_shuffles)]
    test_orders = [rng.permutation(len(responses.test)) for _ in range(n_shuffles)]
    done = stage(f"{n_shuffles} shuffles of {len(spaces)} spaces", n_shuffles * len(spaces))
    uncorrected = np.empty((len(spaces), n_shuffles))
    corrected = np.empty((len(spaces), n_shuffles), np.int64)
    for s, space in enumerate(spaces):
        for first in range(0, n_shuffles, SHUFFLES_AT_ONCE):
            some = orders[first : first + SHUFFLES_AT_ONCE]
            found = encode_space(
                space,
                responses.train_ids,
                responses.test_ids,
                np.concatenate([responses.train[order] for order in some], axis=1),
                rule=rule,
                dtype=fitting.dtype,
                device=fitting.device,
                workers=fitting.workers,
                memory=fitting.memory,
            )
            for k in range(len(some)):
                predicted = found.predicted[:, k * n_channels : (k + 1) * n_channels]
                observed = responses.test[test_orders[first + k]]
                p = t_test_p(pearson(predicted, observed), n_scored(predicted, observed))
                uncorrected[s, first + k] = float((p < ALPHA).mean())
                corrected[s, first + k] = int((bonferroni(p) < ALPHA).sum())
            done(len(some))
    return ShuffledScores(tuple(space.name for space in spaces), uncorrected, corrected)
