"""Simulated sets: what is shown when, days, losses; and the reader that writers are given."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.errors import ConfigError
from b2g_rt.simulation.days import DaySpec
from b2g_rt.simulation.disturbances import DisturbanceSpec
from b2g_rt.simulation.from_record import recorded_macaque
from b2g_rt.simulation.raw_voltage import VoltageSpec
from offline.recordings.simulated_sessions import SessionPlan, simulated_set
from offline.recordings.simulation_truth import truth_of, write_truth

SMALL = ChannelMap(192, (ArraySlot(0, "V1", 0), ArraySlot(1, "V4", 64), ArraySlot(2, "IT", 128)))
LOSSY = DisturbanceSpec(losses_per_min=40)
PLAN = SessionPlan(
    n_train=13, n_test=3, n_repeats=5, n_days=2, day=DaySpec(), disturbances=LOSSY, channels=SMALL
)


@pytest.fixture(scope="module")
def simulated():
    return simulated_set(PLAN)


def test_every_training_stimulus_is_shown_once_and_every_test_stimulus_on_each_day(simulated):
    shown = [s for day in simulated.days for s in day.shown.stimulus]
    ids, latents = simulated.stimuli
    assert ids[0] == "training/0001"
    assert ids[-1] == "test/0003"
    assert latents.shape == (16, 512)
    assert sorted(s for s in shown if s.startswith("training")) == ids[:13]
    for day, n in zip(simulated.days, (3, 2), strict=True):
        assert all(day.shown.stimulus.count(t) == n for t in ids[13:])
        assert day.shown.split == tuple(
            "test" if s.startswith("test") else "train" for s in day.shown.stimulus
        )


def test_one_seed_gives_all_and_another_gives_another(simulated):
    again = simulated_set(PLAN)
    other = simulated_set(SessionPlan(**{**_fields(PLAN), "seed": 2}))
    for a, b, c in zip(simulated.days, again.days, other.days, strict=True):
        rows = simulated.reader(a, _here()).columns(500, 700)
        np.testing.assert_array_equal(again.reader(b, _here()).columns(500, 700), rows)
        assert a.stream.events == b.stream.events
        assert a.shown == b.shown
        assert a.shown != c.shown
        assert not np.array_equal(rows, other.reader(c, _here()).columns(500, 700))


def test_reading_in_any_order_gives_the_stream(simulated):
    day = simulated.days[0]
    blocks = list(day.stream.blocks(777))
    whole = np.concatenate([b for _, b in blocks])
    index = np.concatenate([np.arange(s, s + len(b)) for s, b in blocks])
    reader = simulated.reader(day, _here())
    np.testing.assert_array_equal(reader.index(), index)
    assert reader.n_samples == len(whole) < day.stream.n_samples
    n = len(whole)
    for start, stop in ((0, 10), (5, 4000), (4000, 4000), (9000, n), (8999, 9001), (3, 7), (0, n)):
        np.testing.assert_array_equal(reader.columns(start, stop), whole[start:stop])
    assert reader.gaps.n_lost == sum(e.stop - e.start for e in day.stream.events)


def test_trials_say_set_and_day(simulated):
    reader = simulated.reader(simulated.days[1], _here())
    trials = reader.trials()
    assert set(trials.day.tolist()) == {2}
    assert trials.split == simulated.days[1].shown.split
    np.testing.assert_array_equal(trials.onset_idx, simulated.days[1].stream.onsets)
    assert [m.text for m in reader.markers()] == list(trials.stimulus)
    ids, latents = reader.stimuli()
    assert set(ids) == set(trials.stimulus)
    where = [simulated.stimuli[0].index(i) for i in ids]
    np.testing.assert_array_equal(latents, simulated.stimuli[1][where])


def test_the_animal_can_be_made_again_from_what_a_day_says(simulated):
    told = json.loads(json.dumps(simulated.reader(simulated.days[0], _here()).provenance()))
    again = recorded_macaque(told, SMALL, "here")
    np.testing.assert_array_equal(again.truth().tuning, simulated.macaque.truth().tuning)
    assert told["disturbances"]["losses_per_min"] == 40
    assert told["day"] == 1


def test_voltage_has_the_same_trials_at_thirty_kilohertz():
    plan = SessionPlan(n_train=2, channels=SMALL, voltage=VoltageSpec())
    simulated = simulated_set(plan)
    mua = simulated_set(SessionPlan(n_train=2, channels=SMALL))
    np.testing.assert_array_equal(simulated.days[0].stream.onsets, 30 * mua.days[0].stream.onsets)
    reader = simulated.reader(simulated.days[0], _here())
    assert reader.info.rate_hz == 30_000.0
    assert reader.columns(0, 3000).std() > 4


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"n_train": 0, "n_test": 0}, "0 trials on 2 days"),
        ({"n_repeats": 1}, "1 repeats of the test stimuli on 2 days"),
        ({"n_days": 0}, "expected trials on at least one day"),
        ({"n_train": -1}, "expected trials on at least one day"),
    ],
)
def test_what_makes_no_session_is_refused_in_one_line(change, told):
    with pytest.raises(ConfigError, match=told):
        SessionPlan(**{**_fields(PLAN), **change})


def test_the_truth_tells_electrodes_days_trials_and_losses(simulated, tmp_path):
    write_truth(simulated, tmp_path / "truth.npz")
    with np.load(tmp_path / "truth.npz", allow_pickle=False) as truth:
        assert set(truth.files) == set(truth_of(simulated))
        np.testing.assert_array_equal(truth["latent"], simulated.stimuli[1])
        assert truth["id"].tolist() == simulated.stimuli[0]
        np.testing.assert_array_equal(truth["q"], simulated.macaque.truth().q)
        assert truth["day_gain"].shape == (2, 192)
        np.testing.assert_array_equal(truth["day_gain"][1], simulated.days[1].macaque.day.gain)
        lost = truth["event_kind"] == "loss"
        for day in simulated.days:
            own = lost & (truth["event_day"] == day.number)
            n = int((truth["event_stop"] - truth["event_start"])[own].sum())
            assert n >= simulated.reader(day, _here()).gaps.n_lost > 0
        second = truth["trial_day"] == 2
        assert truth["trial_stimulus"][second].tolist() == list(simulated.days[1].shown.stimulus)
        np.testing.assert_array_equal(
            truth["trial_onset_idx"][second], simulated.days[1].stream.onsets
        )
        assert json.loads(str(truth["plan"]))["n_days"] == 2


def _fields(plan):
    return {name: getattr(plan, name) for name in plan.__slots__}


def _here():
    return Path("here")
