"""Folds of cross-validation: which trials are learnt from and which are held out.

By stimulus: no stimulus is in two folds. By day: one day is held out, and stimuli that it shows are not learnt
from on other days either. Everything that a decoder chooses is chosen on held-out trials of the training set;
test trials never come here. Knows nothing of features, latents or files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from b2g_rt.errors import SessionError

N_FOLDS = 5


@dataclass(frozen=True, slots=True)
class Fold:
    """One split; int positions of trials, ascending.

    Attributes
    ----------
    train, held_out : int, axes (trial,)
        Share neither a trial nor a stimulus. Trials that are in neither are left out.
    """

    train: NDArray[np.intp]
    held_out: NDArray[np.intp]


def folds_by_stimulus(stimuli: Sequence[str], n_folds: int = N_FOLDS, seed: int = 0) -> list[Fold]:
    """Split trials into folds such that no stimulus is in two of them.

    Parameters
    ----------
    stimuli : sequence of str, axes (trial,)

    Returns
    -------
    list of Fold
        Each trial is held out once.

    Raises
    ------
    SessionError
        Fewer distinct stimuli than folds.
    """
    distinct, of_trial = np.unique(np.asarray(stimuli), return_inverse=True)
    if len(distinct) < n_folds:
        raise SessionError(
            f"training: {len(distinct)} distinct stimuli, expected at least {n_folds} "
            "(one per fold of cross-validation). Record more stimuli."
        )
    fold = np.empty(len(distinct), np.intp)
    fold[np.random.default_rng(seed).permutation(len(distinct))] = (
        np.arange(len(distinct)) % n_folds
    )
    of_fold = fold[of_trial]
    return [
        Fold(np.flatnonzero(of_fold != f), np.flatnonzero(of_fold == f)) for f in range(n_folds)
    ]


def folds_by_day(stimuli: Sequence[str], days: Sequence[int] | NDArray[np.integer]) -> list[Fold]:
    """Hold out one day after the other, to see whether a decoder carries over to a new day.

    Parameters
    ----------
    stimuli : sequence of str, axes (trial,)
    days : sequence of int, axes (trial,)

    Returns
    -------
    list of Fold
        One per day, in the order of the days.

    Raises
    ------
    SessionError
        Fewer than two days, or a day whose stimuli leave nothing to learn from.
    """
    day, shown = np.asarray(days), np.asarray(stimuli)
    distinct = np.unique(day)
    if len(distinct) < 2:
        raise SessionError(
            f"training: trials of {len(distinct)} day, expected at least 2 to hold one out. "
            "Split by stimulus instead, or record on another day."
        )
    folds = []
    for one in distinct:
        held_out = day == one
        train = ~held_out & ~np.isin(shown, shown[held_out])
        if not train.any():
            raise SessionError(
                f"training: day {one} shows every stimulus of the other days, expected some that it does not show. "
                "Split by stimulus instead."
            )
        folds.append(Fold(np.flatnonzero(train), np.flatnonzero(held_out)))
    return folds
