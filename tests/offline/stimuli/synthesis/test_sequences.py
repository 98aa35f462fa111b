from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from b2g_rt.errors import GeneratorError, StimulusError
from offline.stimuli.synthesis import sequences
from offline.stimuli.synthesis.plans import images_plan
from offline.stimuli.synthesis.render import latents_of
from offline.stimuli.synthesis.stimulus_file import read_stimuli, write_stimuli

WNIDS = ("n02124075", "n01443537")


@pytest.fixture(scope="module")
def stimuli(with_classes, tmp_path_factory):
    """Two classes: two means, 20 pictures each (none drawn)."""
    folder = tmp_path_factory.mktemp("set")
    plan = images_plan(with_classes.z_dim, WNIDS)
    made_with = {"name": with_classes.name, "sha256": with_classes.digest}
    provenance = {"psi": 0.7, "generator": made_with, "generator_given": "x"}
    w = latents_of(plan, with_classes)
    write_stimuli(folder, plan, w, dict.fromkeys(plan.files, ""), provenance)
    return read_stimuli(folder)


def test_a_way_in_w_leads_from_stimulus_to_stimulus(stimuli, with_classes):
    stops = sequences.stops_of_set(stimuli, ("test/0001", "test/0002"))
    plan, w, position = sequences.interpolation(with_classes, stops, 3, "w", "linear")
    assert np.array_equal(w[[0, 2]], stimuli.w[:2])
    assert np.allclose(w[1], stimuli.w[:2].mean(axis=0), atol=1e-6)
    assert position.tolist() == [0, 0.5, 1]
    assert plan.files == ("frames/0001.png", "frames/0002.png", "frames/0003.png")
    assert np.isnan(plan.z).all()


def test_a_way_in_z_passes_the_stimuli_themselves(stimuli, with_classes):
    stops = sequences.stops_of_set(stimuli, ("training/0003", "training/0004"))
    plan, w, _ = sequences.interpolation(with_classes, stops, 4, "z", "spherical")
    assert np.array_equal(w[[0, 3]], stimuli.w[2:4])
    assert np.array_equal(plan.z[[0, 3]], stimuli.z[2:4])
    assert set(plan.class_id.tolist()) == {285}
    length = np.linalg.norm(plan.z, axis=1)
    assert length.min() > 0.99 * min(length[0], length[-1])


@pytest.mark.parametrize(
    ("ids", "told"),
    [
        (("test/0001", "training/0003"), "test/0001: has no z"),
        (("training/0003", "training/0023"), "of different classes"),
    ],
)
def test_a_way_in_z_that_does_not_exist_is_refused(stimuli, with_classes, ids, told):
    stops = sequences.stops_of_set(stimuli, ids)
    with pytest.raises(StimulusError, match=told):
        sequences.interpolation(with_classes, stops, 3, "z", "spherical")


def test_seeds_are_stops_too_with_a_class_where_the_generator_has_classes(
    stimuli, with_classes, small
):
    stops = sequences.stops_of_seeds(with_classes, ("285:n02124075", "1:n01443537"), 0.7)
    assert np.array_equal(stops.w, stimuli.w[[2, 22]])
    plain = sequences.stops_of_seeds(small, ("7", "6"), 0.7)
    assert plain.class_id.tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("seed", "has_classes", "told"),
    [
        ("test/0001", False, "expected a whole number"),
        ("-1", False, "expected a whole number"),
        ("4294967296", False, "below 2\\^32"),
        ("7:n02124075", False, "names a class, expected none"),
        ("7", True, "expected SEED:WNID, for example 7:n01440764"),
        ("7:n00000000", True, "no class that imagenet-small knows"),
    ],
)
def test_a_seed_that_is_none_is_refused(with_classes, small, seed, has_classes, told):
    with pytest.raises(StimulusError, match=told):
        sequences.stops_of_seeds(with_classes if has_classes else small, (seed,), 0.7)


def test_arithmetic_with_a_class_uses_the_mean_of_its_training_pictures(stimuli):
    plan, w = sequences.arithmetic(stimuli, "test/0001", ("n01443537",), ("test/0001",), (0.0, 1.0))
    assert len(plan) == 2
    assert np.array_equal(w[0], stimuli.w[0])
    assert np.allclose(w[1], stimuli.w[22:].mean(axis=0), atol=1e-5)


@pytest.mark.parametrize(
    ("start", "add", "told"),
    [
        ("test/0001", (), "nothing to add or subtract"),
        ("test/*", ("test/0001",), "'test/\\*' means 2 stimuli, expected one"),
        ("test/0001", ("bee",), "no stimulus 'bee'"),
    ],
)
def test_a_sum_without_its_terms_is_refused(stimuli, start, add, told):
    with pytest.raises(StimulusError, match=told):
        sequences.arithmetic(stimuli, start, add, (), (1.0,))


def test_another_generator_than_the_sets_is_refused(stimuli, with_classes):
    sequences.check_same_generator(stimuli, with_classes)
    with pytest.raises(GeneratorError, match="not the one of"):
        sequences.check_same_generator(stimuli, replace(with_classes, digest="0" * 64))
