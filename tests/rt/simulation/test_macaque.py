"""The macaque's electrodes are tuned as its truth says, and one seed gives all."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from b2g_rt.contracts.channels import ArraySlot, ChannelMap, brain2gan_channels
from b2g_rt.simulation.latent_space import LatentSpace, face_latents
from b2g_rt.simulation.macaque import Macaque, parameter_reading
from b2g_rt.simulation.presets import faces_spec


@pytest.fixture(scope="module")
def latents() -> LatentSpace:
    return face_latents()


@pytest.fixture(scope="module")
def macaque(latents: LatentSpace) -> Macaque:
    return Macaque(faces_spec(), brain2gan_channels(), latents)


def test_each_roi_is_tuned_to_its_own_random_components(macaque: Macaque) -> None:
    components = macaque.truth().components
    assert {roi: len(c) for roi, c in components.items()} == {"V1": 28, "V4": 28, "IT": 45}
    together = np.concatenate(list(components.values()))
    assert len(set(together.tolist())) == 101
    # Not the largest ones: those would be far too easy.
    assert together.mean() == pytest.approx(256, abs=60)
    tuned = macaque.truth().tuning != 0
    for roi, own in components.items():
        rows = macaque.channels.channels_of(roi)
        assert tuned[np.ix_(rows, own)].all()
        assert tuned[rows].sum() == len(rows) * len(own)


def test_electrodes_have_the_numbers_of_the_facts(macaque: Macaque) -> None:
    truth = macaque.truth()
    for roi, q, latency, latency_sd in (
        ("V1", 0.40, 35, 4),
        ("V4", 0.35, 45, 8),
        ("IT", 0.35, 60, 12),
    ):
        rows = macaque.channels.channels_of(roi)
        assert truth.q[rows].mean() == pytest.approx(q, abs=0.03)
        assert truth.q[rows].std() == pytest.approx(0.15, abs=0.03)
        assert truth.f[rows].mean() == pytest.approx(0.40, abs=0.03)
        assert truth.latency_ms[rows].mean() == pytest.approx(latency, abs=2)
        assert truth.latency_ms[rows].std() == pytest.approx(latency_sd, rel=0.15)
    assert (truth.q > 0).all()
    assert (truth.q < 1).all()


def test_explained_variance_is_q_and_its_linear_share_is_f(
    macaque: Macaque, latents: LatentSpace, rng: np.random.Generator
) -> None:
    truth = macaque.truth()
    w = latents.draw(rng, 4000)
    response = macaque.response(w)
    assert response.mean(axis=0) == pytest.approx(truth.evoked, abs=0.06)
    assert (response.var(axis=0) / truth.q).mean() == pytest.approx(1.0, abs=0.02)
    linear = latents.whiten(w) @ truth.tuning.T
    share = [np.corrcoef(linear[:, c], response[:, c])[0, 1] ** 2 for c in range(0, 960, 7)]
    assert np.array(share) == pytest.approx(truth.f[::7], abs=0.09)


def test_nonlinear_part_cannot_be_read_linearly_from_the_latent(
    macaque: Macaque, latents: LatentSpace, rng: np.random.Generator
) -> None:
    w = latents.draw(rng, 4500)
    z = latents.whiten(w)
    truth = macaque.truth()
    rest = macaque.response(w) - truth.evoked - np.sqrt(truth.q * truth.f) * (z @ truth.tuning.T)
    train, test = slice(0, 4000), slice(4000, None)
    rest = rest[:, ::10]
    weights = np.linalg.solve(z[train].T @ z[train], z[train].T @ rest[train])
    explained = 1 - np.square(rest[test] - z[test] @ weights).mean() / np.square(rest[test]).mean()
    assert explained < 0.01  # fitting noise makes it negative


def test_response_to_a_stimulus_does_not_depend_on_the_stimuli_beside_it(
    macaque: Macaque, latents: LatentSpace, rng: np.random.Generator
) -> None:
    w = latents.draw(rng, 5)
    alone = np.concatenate([macaque.response(w[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(macaque.response(w), alone, rtol=1e-9, atol=1e-12)


def test_one_seed_gives_everything_and_another_seed_another_animal(
    macaque: Macaque, latents: LatentSpace
) -> None:
    again = Macaque(faces_spec(), brain2gan_channels(1024), latents).truth()
    other = Macaque(faces_spec(seed=2), brain2gan_channels(), latents).truth()
    np.testing.assert_array_equal(again.tuning, macaque.truth().tuning)
    np.testing.assert_array_equal(again.scale_uv, macaque.truth().scale_uv)
    assert set(other.components["IT"]) != set(again.components["IT"])
    assert abs(np.corrcoef(other.q, again.q)[0, 1]) < 0.2


def test_specification_travels_as_json() -> None:
    data = json.loads(json.dumps(faces_spec(seed=9).to_dict()))
    assert data["seed"] == 9
    assert data["rois"][2]["n_components"] == 45
    assert data["noise"]["global_share"] == 0.10


def test_parameters_read_from_latents_are_standard_normal_and_independent(
    macaque: Macaque, latents: LatentSpace, rng: np.random.Generator
) -> None:
    parameters = [(f"p{i}", roi) for i, roi in enumerate(["IT"] * 7 + ["V1"] * 5 + ["V4"] * 28)]
    reading = parameter_reading(macaque, parameters)
    assert reading.shape == (40, 512)
    assert reading.dtype == np.float32
    values = (latents.draw(rng, 5000) - latents.mean) @ reading.T
    covariance = np.cov(values.T)
    assert covariance == pytest.approx(np.eye(40), abs=0.1)
    assert np.abs(values.mean(axis=0)).max() < 0.08


def test_every_tuned_component_of_a_roi_is_read_by_exactly_one_of_its_parameters(
    macaque: Macaque, latents: LatentSpace
) -> None:
    reading = parameter_reading(macaque, [("a", "V4"), ("b", "V4"), ("c", "V4")])
    weight = reading @ (latents.basis * latents.sd[:, None]).T
    used = np.abs(weight) > 1e-4
    assert (used.sum(axis=0)[macaque.truth().components["V4"]] == 1).all()
    assert used.sum() == 28
    assert sorted(used.sum(axis=1)) == [9, 9, 10]


def test_more_parameters_than_tuned_components_are_refused(macaque: Macaque) -> None:
    with pytest.raises(ValueError, match="V1: 29 parameters, but only 28"):
        parameter_reading(macaque, [(str(i), "V1") for i in range(29)])


def test_a_roi_without_tuning_and_too_many_components_are_refused(latents: LatentSpace) -> None:
    spec = faces_spec()
    only_v1 = dataclasses.replace(spec, rois=spec.rois[:1])
    with pytest.raises(ValueError, match="IT: electrodes without a tuning"):
        Macaque(only_v1, ChannelMap(64, (ArraySlot(0, "IT", 0),)), latents)
    with pytest.raises(ValueError, match="101 tuned components"):
        Macaque(spec, brain2gan_channels(), face_latents(n_latents=64))
