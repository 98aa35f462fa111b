from __future__ import annotations

import torch

from offline.stimuli.distilled.pictures import held_out_parameters, parameters_of_step
from offline.stimuli.distilled.plan import Plan
from offline.stimuli.faces.face_parameters import PARAMETERS


def test_a_steps_parameters_depend_on_seed_step_and_phase_alone():
    plan = Plan()
    first = parameters_of_step(plan, 7, 0, 0.5)
    parameters_of_step(plan, 8, 0, 0.5)
    assert torch.equal(parameters_of_step(plan, 7, 0, 0.5), first)
    assert not torch.equal(parameters_of_step(plan, 8, 0, 0.5), first)
    assert first.shape == (plan.phases[0].batch, len(PARAMETERS))


def test_faces_of_a_phase_go_from_its_first_spread_to_its_last():
    plan, phase_idx = Plan(), 2
    phase = plan.phases[phase_idx]
    for share, (low, high) in ((0.0, phase.spread), (1.0, phase.final_spread)):
        drawn = torch.cat([parameters_of_step(plan, step, phase_idx, share) for step in range(50)])
        sd = drawn.std(dim=1)
        assert low * 0.6 < float(sd.min()) < (low + high) / 2
        assert (low + high) / 2 < float(sd.max()) < high * 1.4


def test_the_last_phase_sees_faces_of_every_spread_from_decoded_to_vivid():
    low, high = Plan().phases[-1].final_spread
    assert low <= 0.4
    assert high >= 0.85


def test_held_out_faces_are_none_of_the_training():
    held = held_out_parameters(4, 1.0)
    for step in range(20):
        for row in parameters_of_step(Plan(), step, 0, 1.0):
            assert float((held - row).norm(dim=1).min()) > 1.0
