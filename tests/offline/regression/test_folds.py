from __future__ import annotations

import numpy as np
import pytest

from b2g_rt.errors import SessionError
from offline.regression.folds import folds_by_day, folds_by_stimulus


def test_no_stimulus_is_in_two_folds():
    stimuli = [f"face-{i % 13}" for i in range(100)]
    folds = folds_by_stimulus(stimuli)
    assert sorted(np.concatenate([fold.held_out for fold in folds])) == list(range(100))
    owners = [{stimuli[i] for i in fold.held_out} for fold in folds]
    assert sum(len(o) for o in owners) == 13
    for fold in folds:
        assert sorted([*fold.train, *fold.held_out]) == list(range(100))


def test_fewer_stimuli_than_folds_are_refused():
    with pytest.raises(SessionError, match="3 distinct stimuli, expected at least 5"):
        folds_by_stimulus(["a", "b", "c"] * 10)


def test_a_held_out_day_shares_neither_trial_nor_stimulus_with_what_is_learnt(rng):
    days = np.repeat([3, 5, 9], 40)
    stimuli = [f"face-{i}" for i in rng.integers(0, 60, 120)]
    folds = folds_by_day(stimuli, days)
    assert [set(days[fold.held_out]) for fold in folds] == [{3}, {5}, {9}]
    for fold in folds:
        assert len(fold.held_out) == 40
        learnt = {stimuli[i] for i in fold.train}
        assert learnt
        assert not learnt & {stimuli[i] for i in fold.held_out}


def test_one_day_alone_cannot_be_held_out():
    with pytest.raises(SessionError, match="trials of 1 day, expected at least 2"):
        folds_by_day(["a", "b"], [1, 1])


def test_a_day_that_shows_everything_leaves_nothing_to_learn_from():
    with pytest.raises(SessionError, match="day 1 shows every stimulus"):
        folds_by_day(["a", "b", "a"], [1, 1, 2])
