from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from b2g_rt.errors import ConfigError
from offline.export.default_bundle import TrainingPlan, demo_stimuli
from offline.reproduction.plan import ReproductionPlan


def test_every_test_stimulus_is_shown_as_often_as_the_plan_says_in_another_order(plan):
    shown = plan.shown("test")
    assert np.bincount(shown).tolist() == [plan.n_repeats] * plan.n_test
    other = replace(plan, seed=plan.seed + 1).shown("test")
    assert sorted(shown) == sorted(other)
    assert shown.tolist() != other.tolist()
    followers = {(int(a), int(b)) for a, b in zip(shown, shown[1:], strict=False)}
    assert len(followers) > 2 * plan.n_test


def test_sessions_hold_every_trial_once_and_no_noise_twice(plan):
    sessions = plan.sessions()
    for part in ("training", "test"):
        own = [s for s in sessions if s.part == part]
        assert [s.first for s in own] == [0, *(s.stop for s in own[:-1])]
        assert own[-1].stop == plan.n_trials(part)
    seeds = [s.noise_seed for s in sessions]
    seeds += [s.noise_seed for s in replace(plan, seed=plan.seed + 1).sessions()]
    assert len(set(seeds)) == len(seeds)


def test_no_stimulus_is_in_training_and_test_nor_in_the_shipped_bundle(macaque, plan):
    training, test = (plan.latents(macaque, part) for part in ("training", "test"))
    other = replace(plan, seed=plan.seed + 1).latents(macaque, "training")
    demo = demo_stimuli(macaque, TrainingPlan())[1]
    first = {round(float(v), 5) for v in training[:, 0]}
    for others in (test, other, demo):
        assert first.isdisjoint({round(float(v), 5) for v in others[:, 0]})


@pytest.mark.parametrize(("stimuli", "n_test"), [("faces", 100), ("images", 200)])
def test_only_the_papers_sizes_are_judged(stimuli, n_test):
    paper = ReproductionPlan.of(stimuli, 4000, 1)
    assert (paper.n_test, paper.n_repeats) == (n_test, 20)
    assert paper.is_the_papers
    assert not ReproductionPlan.of(stimuli, 3000, 1).is_the_papers
    assert not replace(paper, n_repeats=10).is_the_papers


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"stimuli": "sounds"}, "'sounds', expected faces or images"),
        ({"n_training": 10}, "10 training trials, expected at least 50"),
        ({"n_repeats": 0}, "shown 0 times"),
    ],
    ids=["stimuli", "training", "repeats"],
)
def test_a_plan_that_makes_no_experiment_is_refused_in_one_line(plan, change, said):
    with pytest.raises(ConfigError, match=said) as caught:
        replace(plan, **change)
    assert "\n" not in str(caught.value)
