"""The two macaques: their numbers, the same animal again from a record, and how hard the images are."""

from __future__ import annotations

import json

import numpy as np
import pytest

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.errors import BundleError
from b2g_rt.simulation.from_record import (
    faces_macaque,
    images_macaque,
    macaque_record,
    preset_macaque,
    recorded_macaque,
)
from b2g_rt.simulation.presets import PRESETS, faces_spec, images_spec

SMALL = ChannelMap(192, (ArraySlot(0, "V1", 0), ArraySlot(1, "V4", 64), ArraySlot(2, "IT", 128)))


def test_v1_of_the_images_shares_sixty_percent_of_its_components():
    components = images_macaque(channels=SMALL).truth().components
    assert {roi: len(own) for roi, own in components.items()} == {"V1": 80, "V4": 180, "IT": 180}
    others = np.union1d(components["V4"], components["IT"])
    assert len(np.intersect1d(components["V1"], others)) >= 48
    # 32, 180 and 120 of their own.
    assert len(np.unique(np.concatenate(list(components.values())))) == 332
    assert all((np.diff(own) > 0).all() for own in components.values())


def test_faces_share_none():
    components = faces_macaque(channels=SMALL).truth().components
    assert len(np.unique(np.concatenate(list(components.values())))) == 28 + 28 + 45


@pytest.mark.parametrize(("name", "energy"), [("faces", 0.228), ("images", 0.52)])
def test_the_mean_latent_holds_its_share_of_the_energy(name, energy):
    latents = preset_macaque(name, channels=SMALL).latents
    assert np.sum(latents.mean**2) / 512 == pytest.approx(energy)
    w = latents.draw(np.random.default_rng(1), 4000).astype(np.float64)
    assert np.mean(np.sum(w**2, axis=1)) == pytest.approx(512, rel=0.01)
    cosine = w @ latents.mean / np.linalg.norm(w, axis=1) / np.linalg.norm(latents.mean)
    assert np.mean(cosine) == pytest.approx({"faces": 0.478, "images": 0.72}[name], abs=0.005)


def test_the_two_spaces_are_different():
    faces, images = (PRESETS[n].latents(PRESETS[n].latent_seed) for n in ("faces", "images"))
    assert abs(np.corrcoef(faces.mean, images.mean)[0, 1]) < 0.2


@pytest.mark.parametrize("name", PRESETS)
def test_the_same_animal_comes_back_from_its_record(name):
    made = preset_macaque(name, 7, 99, SMALL)
    record = json.loads(json.dumps(macaque_record(made)))
    again = recorded_macaque(record, SMALL, "here")
    assert again.spec == made.spec
    np.testing.assert_array_equal(again.truth().tuning, made.truth().tuning)
    np.testing.assert_array_equal(again.latents.mean, made.latents.mean)


def test_a_record_from_before_there_were_presets_is_one_of_faces():
    record = json.loads(json.dumps(macaque_record(faces_macaque(3, channels=SMALL))))
    del record["macaque"]["preset"]
    for roi in record["macaque"]["rois"]:
        del roi["shared"]
    assert recorded_macaque(record, SMALL, "here").spec == faces_spec(3)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(q_sd=0.5),
        lambda m: m.update(preset="objects"),
        lambda m: m.update(unheard=1),
        lambda m: m["rois"][0].update(n_components=29),
        lambda m: m.pop("rois"),
    ],
    ids=["number", "preset", "key", "roi", "missing"],
)
def test_another_animal_than_the_presets_is_refused_in_one_line(change):
    record = json.loads(json.dumps(macaque_record(faces_macaque(channels=SMALL))))
    change(record["macaque"])
    with pytest.raises(BundleError, match="here: made with another simulated macaque") as found:
        recorded_macaque(record, SMALL, "here")
    assert "\n" not in str(found.value)


def test_a_record_without_an_animal_is_refused():
    with pytest.raises(BundleError, match="says nothing of a simulated macaque"):
        recorded_macaque({}, SMALL, "here")


# ------------------------------------------------------------ how hard


def _noise(macaque, rng, n):
    """Return the noise of ``n`` response windows' means, as the stream has it: shared modes and private noise."""
    modes = macaque.noise_modes
    private = np.sqrt(1.0 - np.square(modes).sum(axis=0))
    mixed = rng.standard_normal((n, len(modes))) @ modes
    mixed += rng.standard_normal((n, modes.shape[1])) * private
    return mixed * np.sqrt(1.0 - macaque.truth().q)


def _predicted(x, w, new, ridge):
    centred = x - x.mean(axis=0)
    gram = centred.T @ centred
    gram[np.diag_indices_from(gram)] += ridge * np.trace(gram) / len(gram)
    return (new - x.mean(axis=0)) @ np.linalg.solve(
        gram, centred.T @ (w - w.mean(axis=0))
    ) + w.mean(axis=0)


def _cosine(a, b):
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(np.mean((a * b).sum(axis=1) / norms))


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_images_are_as_hard_as_in_the_paper():
    """Window means straight from the animal; the whole chain is `b2g-offline reproduce`."""
    macaque, rng = images_macaque(), np.random.default_rng(3)
    w_train = macaque.latents.draw(rng, 4000).astype(np.float64)
    w_test = macaque.latents.draw(rng, 200).astype(np.float64)
    x = macaque.response(w_train) + _noise(macaque, rng, 4000)
    single = np.repeat(macaque.response(w_test), 20, axis=0) + _noise(macaque, rng, 4000)
    averaged = single.reshape(200, 20, -1).mean(axis=1)
    floor = _cosine(np.broadcast_to(w_train.mean(axis=0), w_test.shape), w_test)
    assert floor == pytest.approx(0.72, abs=0.005)
    assert _cosine(_predicted(x, w_train, averaged, 1e-9), w_test) == pytest.approx(0.80, abs=0.02)
    for roi, paper in (("V1", 0.735), ("V4", 0.76), ("IT", 0.77)):
        own = macaque.channels.channels_of(roi)
        found = _cosine(_predicted(x[:, own], w_train, averaged[:, own], 1e-9), w_test)
        assert found == pytest.approx(paper, abs=0.02), roi
    truth = np.repeat(w_test, 20, axis=0)
    ols = _cosine(_predicted(x, w_train, single, 1e-9), truth)
    ridge = _cosine(_predicted(x, w_train, single, 0.5), truth)
    assert ridge >= ols + 0.01
    assert ridge >= floor + 0.03


def test_specs_say_whose_they_are():
    assert (faces_spec().preset, images_spec().preset) == ("faces", "images")
