"""Which trial is learnt when: after it was predicted, whatever the machine's speed; and the ways back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2g_rt.adaptation.online_ridge import OnlineRidge, added
from b2g_rt.adaptation.trial_learner import LearnerSettings, TrialLearner

N_WINDOWS, N_CHANNELS, N_LATENTS = 3, 6, 4
SETTINGS = LearnerSettings(prior=2.0, forgetting=0.99, checkpoint_trials=4, n_checkpoints=2)


def made_trials(n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((n, N_WINDOWS, N_CHANNELS)).astype(np.float32)
    return features, rng.standard_normal((n, N_WINDOWS, N_LATENTS)).astype(np.float32)


def learner(**changes: int) -> TrialLearner:
    fields = {name: getattr(SETTINGS, name) for name in SETTINGS.__slots__}
    return TrialLearner(N_WINDOWS, N_CHANNELS, N_LATENTS, LearnerSettings(**{**fields, **changes}))


def through(one: TrialLearner, features, residual, *, first: int = 0, eager=lambda: True) -> bytes:
    """Show trials; return every prediction. ``eager`` says whether there is time to learn after a window."""
    predicted = []
    for i in range(len(features)):
        for k in range(N_WINDOWS):
            added = one.predict(features[i, k], k)
            predicted.append(np.zeros(N_LATENTS, np.float32) if added is None else added)
            one.hold(first + i, k, features[i, k], residual[i, k])
            while eager() and one.learn_next():
                pass
        one.end_trial(first + i)
    return np.array(predicted).tobytes()


def test_each_window_has_its_own_ridge_and_predicts_a_trial_before_learning_it():
    features, residual = made_trials(9)
    predicted = np.frombuffer(through(learner(), features, residual), np.float32)
    predicted = predicted.reshape(9, N_WINDOWS, N_LATENTS)
    for k in range(N_WINDOWS):
        ridge = OnlineRidge(N_CHANNELS, N_LATENTS, prior=2.0, forgetting=0.99)
        for i in range(9):
            assert predicted[i, k].tobytes() == ridge.predict(features[i, k]).tobytes()
            ridge.learn(features[i, k], residual[i, k])


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_when_there_is_time_to_learn_changes_no_prediction(data):
    features, residual = made_trials(7)
    plain = through(learner(), features, residual)
    assert through(learner(), features, residual, eager=lambda: data.draw(st.booleans())) == plain


def test_a_trial_is_learnt_when_its_last_window_is_over_not_before():
    features, residual = made_trials(2)
    one = learner()
    one.hold(0, 0, features[0, 0], residual[0, 0])
    assert not one.learn_next()
    assert one.corrections()[1].tolist() == [0, 0, 0]
    assert one.end_trial(0)
    # Its other windows were not held: they lost samples, say.
    assert one.learn_next()
    assert not one.learn_next()
    assert one.corrections()[1].tolist() == [1, 0, 0]


def test_a_trial_of_which_nothing_was_held_is_not_counted():
    one = learner()
    assert not one.end_trial(5)
    assert one.n_trials == 0


def test_rolled_back_to_the_bundle_nothing_is_added():
    features, residual = made_trials(9)
    one = learner()
    first = through(one, features, residual)
    assert one.roll_back() == 0
    assert all(one.predict(features[0, k], k) is None for k in range(N_WINDOWS))
    assert (one.n_trials, one.stands) == (0, (0,))
    assert not one.learn_next()
    assert through(one, features, residual) == first


@pytest.mark.parametrize(
    ("n_trials", "stands_at"), [(0, 8), (1, 8), (2, 8), (3, 4), (6, 4), (7, 0), (10, 0)]
)
def test_rolled_back_it_stands_at_the_newest_checkpoint_that_is_old_enough(n_trials, stands_at):
    features, residual = made_trials(10)
    one, then = learner(), learner()
    through(one, features, residual)
    assert one.stands == (0, 4, 8)
    assert one.roll_back(n_trials) == stands_at == one.n_trials
    through(then, features[:stands_at], residual[:stands_at])
    more, more_residual = made_trials(6, seed=2)
    assert through(one, more, more_residual) == through(then, more, more_residual)


def test_the_oldest_checkpoints_go():
    features, residual = made_trials(17)
    one = learner()
    through(one, features, residual)
    assert one.stands == (0, 12, 16)


def test_more_than_was_learnt_cannot_be_rolled_back():
    one = learner()
    with pytest.raises(ValueError, match="1 of 0"):
        one.roll_back(1)


def test_corrections_hold_everything_that_is_due():
    features, residual = made_trials(5)
    one = learner()
    through(one, features, residual, eager=lambda: False)
    correction, n_learnt = one.corrections()
    assert correction.shape == (N_WINDOWS, N_CHANNELS + 1, N_LATENTS)
    assert n_learnt.tolist() == [5, 5, 5]
    expected = one.predict(features[0, 1], 1)
    assert expected is not None
    assert added(features[0, 1], correction[1]).tobytes() == expected.tobytes()


@settings(max_examples=30, deadline=None)
@given(now=st.integers(0, 8), window=st.integers(0, N_WINDOWS - 1), seed=st.integers(0, 2**31))
def test_no_window_of_a_trial_depends_on_that_trial_s_target_or_on_anything_later(
    now, window, seed
):
    features, residual = made_trials(9, seed)
    other_features, other = features.copy(), residual.copy()
    other[now:] += 3
    other_features[now + 1 :] *= -2
    # Of this trial's own windows, too, a later one changes none before it.
    other_features[now, window + 1 :] += 1
    a = np.frombuffer(through(learner(), features, residual), np.float32)
    b = np.frombuffer(through(learner(), other_features, other), np.float32)
    n = (now * N_WINDOWS + window + 1) * N_LATENTS
    assert a[:n].tobytes() == b[:n].tobytes()
