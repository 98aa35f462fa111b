from __future__ import annotations

import os
import signal
import time
from dataclasses import replace

import pytest
import torch

from b2g_rt.errors import CheckpointError, GeneratorError
from offline.stimuli.distilled import checkpoint
from offline.stimuli.distilled.losses import distance
from offline.stimuli.distilled.pictures import held_out_parameters
from offline.stimuli.distilled.training import Budget, Training

STEPS = 24


def _weights(training):
    state = training.network.state_dict()
    return [*state.values(), *training.average.values()]


def _loss(training, blobs, plan):
    parameters = held_out_parameters(16, 0.8)
    with torch.no_grad():
        found = training.averaged()(parameters, 32)
    return float(distance(found, blobs.pictures(parameters), plan.losses))


def test_training_lowers_the_loss_on_faces_it_has_not_seen(tiny, blobs, tmp_path):
    training = Training(tiny, blobs, tmp_path, Budget(steps=100))
    before = _loss(training, blobs, tiny)
    assert training.run()
    assert _loss(training, blobs, tiny) < 0.6 * before
    assert training.images == 40 * 4 + 60 * 2


def test_an_interrupted_training_goes_on_as_if_it_had_not_stopped(tiny, blobs, tmp_path):
    straight = Training(tiny, blobs, tmp_path / "straight", Budget(steps=STEPS))
    assert straight.run()
    # Once within a phase, once at the first step of the next.
    for stop in (5, 10, STEPS - 1):
        resumed = Training(tiny, blobs, tmp_path / "resumed", Budget(steps=STEPS))

        def interrupt(progress, resumed=resumed, stop=stop):
            if resumed.step == stop:
                os.kill(os.getpid(), signal.SIGINT)

        assert not resumed.run(interrupt)
        assert resumed.step == stop
    resumed = Training(tiny, blobs, tmp_path / "resumed", Budget(steps=STEPS))
    assert resumed.run()
    for found, expected in zip(_weights(resumed), _weights(straight), strict=True):
        assert torch.equal(found, expected)
    assert resumed.history == straight.history
    assert resumed.images == straight.images


def test_a_finished_training_has_nothing_left_to_do(tiny, blobs, tmp_path):
    Training(tiny, blobs, tmp_path, Budget(steps=3)).run()
    again = Training(tiny, blobs, tmp_path, Budget(steps=3))
    assert again.progress == 1.0
    assert again.run()
    assert again.step == 3


def test_a_checkpoint_stays_small_and_leaves_no_partial_file(tiny, blobs, tmp_path):
    Training(tiny, blobs, tmp_path, Budget(steps=2)).run()
    assert [file.name for file in tmp_path.iterdir()] == [checkpoint.FILE]
    assert (tmp_path / checkpoint.FILE).stat().st_size < 1e6


def test_the_checkpoint_of_another_plan_is_refused(tiny, blobs, tmp_path):
    Training(tiny, blobs, tmp_path, Budget(steps=1)).run()
    with pytest.raises(CheckpointError, match="another plan"):
        Training(replace(tiny, seed=5), blobs, tmp_path, Budget(steps=1))


def test_a_torn_checkpoint_is_refused_in_one_line(tiny, blobs, tmp_path):
    Training(tiny, blobs, tmp_path, Budget(steps=1)).run()
    path = tmp_path / checkpoint.FILE
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"training\.pt: .*Remove it") as caught:
        Training(tiny, blobs, tmp_path, Budget(steps=1))
    assert "\n" not in str(caught.value)


def test_a_loss_that_is_no_number_ends_the_training(tiny, blobs, tmp_path):
    class Broken:
        def pictures(self, parameters):
            return blobs.pictures(parameters) * float("nan")

    with pytest.raises(GeneratorError, match="loss nan at step 1"):
        Training(tiny, Broken(), tmp_path, Budget(steps=2)).run()


def test_minutes_are_used_up_by_active_time(tiny, blobs, tmp_path):
    training = Training(tiny, blobs, tmp_path, Budget(minutes=0.01))
    progress: list[float] = []
    began = time.monotonic()
    assert training.run(progress.append)
    assert 0.6 <= training.seconds <= time.monotonic() - began
    assert len(progress) == training.step
    assert progress == sorted(progress)
    # It ends with the step that uses the budget up, however long a step takes.
    assert [p >= 1.0 for p in progress] == [False] * (training.step - 1) + [True]


def test_the_plan_goes_through_its_phases_in_order(tiny):
    found = [tiny.phase_at(progress) for progress in (0.0, 0.2, 0.4, 0.7, 1.0)]
    assert [phase for phase, _ in found] == [0, 0, 1, 1, 1]
    assert [share for _, share in found] == pytest.approx([0, 0.5, 0, 0.5, 1])
