from __future__ import annotations

import numpy as np
import pytest

from b2g_rt.errors import SessionError
from offline.evaluation.trained_stimuli import TrainedStimuli


@pytest.fixture
def latents(rng):
    return (2.0 + rng.standard_normal((12, 30))).astype(np.float32)


def test_a_trained_stimulus_is_known_by_its_id_and_by_its_latent(latents):
    trained = TrainedStimuli.of_trials(["a", "b", "a", "c"], latents[[0, 1, 0, 2]])
    assert trained.latents.shape == (3, 30)
    seen = trained.seen(
        ["a", "new", "other", "x"],
        np.stack([latents[5], latents[1] + 1e-6, latents[6], latents[7]]),
    )
    np.testing.assert_array_equal(seen, [True, True, False, False])


def test_training_trials_are_refused_with_their_number_and_names(latents):
    trained = TrainedStimuli.of_trials([f"s{i}" for i in range(6)], latents[:6])
    trained.refuse(["n1", "n2"], latents[8:10])
    with pytest.raises(SessionError, match=r"5 of 6 trials .*\(s0, s1, s2, \.\.\.\)") as error:
        trained.refuse(["s0", "s1", "s1", "s2", "s4", "n1"], latents[[0, 1, 1, 2, 4, 8]])
    assert "\n" not in str(error.value)


def test_nothing_trained_refuses_nothing(latents):
    TrainedStimuli(frozenset(), latents[:0], latents.mean(0)).refuse(["a"] * 12, latents)
