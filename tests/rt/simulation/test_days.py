from __future__ import annotations

import numpy as np
import pytest

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.simulation.days import DaySpec, MacaqueOnDay
from b2g_rt.simulation.latent_space import face_latents
from b2g_rt.simulation.macaque import Macaque
from b2g_rt.simulation.presets import faces_spec
from b2g_rt.simulation.protocol import Protocol
from b2g_rt.simulation.stream import SimulatedStream

CHANNELS = ChannelMap(192, (ArraySlot(0, "V1", 0), ArraySlot(1, "V4", 64), ArraySlot(2, "IT", 128)))
LATENTS = face_latents()
MACAQUE = Macaque(faces_spec(), CHANNELS, LATENTS)
W = LATENTS.draw(np.random.default_rng(0), 4)
STILL = DaySpec(gain_sd=0, offset_sd=0)


def samples(macaque: Macaque) -> np.ndarray:
    stream = SimulatedStream(macaque, W, Protocol(), seed=11)
    return next(stream.blocks(stream.n_samples))[1]


def test_a_day_without_changes_is_the_calibrated_one_bit_for_bit():
    np.testing.assert_array_equal(samples(MacaqueOnDay(MACAQUE, STILL, 3)), samples(MACAQUE))


def test_gains_multiply_the_response_and_offsets_move_the_baseline():
    day = MacaqueOnDay(MACAQUE, DaySpec(gain_sd=0.3, offset_sd=0.3), 1)
    truth = MACAQUE.truth()
    assert np.log(day.day.gain).std() == pytest.approx(0.3, abs=0.05)
    assert day.day.offset.std() == pytest.approx(0.3, abs=0.05)
    np.testing.assert_allclose(day.response(W), day.day.gain * MACAQUE.response(W))
    np.testing.assert_allclose(
        day.truth().baseline_uv, truth.baseline_uv + day.day.offset * truth.scale_uv
    )
    np.testing.assert_array_equal(day.truth().scale_uv, truth.scale_uv)


def test_a_changed_electrode_is_an_affine_map_of_the_whole_signal():
    day = MacaqueOnDay(MACAQUE, DaySpec(gain_sd=0.3, offset_sd=0.3, gain_of="electrode"), 1)
    offset_uv = day.day.offset * MACAQUE.truth().scale_uv
    np.testing.assert_allclose(
        samples(day), day.day.gain * (samples(MACAQUE) + offset_uv), rtol=1e-4
    )


def test_days_differ_and_come_again():
    spec = DaySpec()
    days = [MacaqueOnDay(MACAQUE, spec, d).day.gain for d in (1, 2, 1)]
    np.testing.assert_array_equal(days[0], days[2])
    assert abs(np.corrcoef(days[0], days[1])[0, 1]) < 0.3


def test_tuning_turns_within_the_roi_by_what_was_asked_for():
    day = MacaqueOnDay(MACAQUE, DaySpec(0, 0, rotation=0.05), 1)
    old, new = MACAQUE.truth().tuning, day.truth().tuning
    np.testing.assert_allclose((new * new).sum(axis=1), 1)
    np.testing.assert_allclose((new * old).sum(axis=1), np.sqrt(1 - 0.05**2))
    np.testing.assert_array_equal(new != 0, old != 0)
    assert not np.array_equal(day.response(W), MACAQUE.response(W))


def test_dead_arrays_and_electrodes_answer_nothing():
    day = MacaqueOnDay(MACAQUE, DaySpec(dead_arrays=(1,), dead_share=0.05), 1)
    dead = day.day.dead
    assert dead[64:128].all()
    assert 1 <= dead[:64].sum() + dead[128:].sum() <= 20
    assert (day.response(W)[:, dead] == 0).all()
    assert (day.response(W)[:, ~dead] != 0).all()
    data = samples(day)
    assert data[:, dead].mean() == pytest.approx(1.0, abs=0.05)
    assert (data[:, dead].std(axis=0) > 0).all()


@pytest.mark.parametrize("wrong", [{"gain_sd": -1}, {"rotation": 2}, {"gain_of": "all"}], ids=str)
def test_what_makes_no_day_is_refused(wrong):
    with pytest.raises(ValueError, match=r"day|shares"):
        DaySpec(**wrong)
