from __future__ import annotations

import numpy as np
import pytest

from offline.stimuli.synthesis.classes import PAPER_LIST, imagenet, read_class_list
from offline.stimuli.synthesis.plans import NO_CLASS, NO_SEED, faces_plan, images_plan


@pytest.fixture(scope="module")
def faces():
    return faces_plan(512)


@pytest.fixture(scope="module")
def images():
    return images_plan(64, read_class_list(PAPER_LIST))


def test_faces_are_100_for_the_test_and_4000_for_training(faces):
    assert (faces.files[0], faces.files[99]) == ("test/0001.png", "test/0100.png")
    assert (faces.files[100], faces.files[-1]) == ("training/0001.png", "training/4000.png")
    assert len(faces) == len(set(faces.ids)) == 4100
    assert faces.psi == 0.7
    assert (faces.class_id == NO_CLASS).all()


@pytest.mark.parametrize(("start", "n", "seed"), [(0, 100, 7), (100, 4000, 6)])
def test_faces_z_are_those_that_the_papers_seeds_give_one_after_the_other(faces, start, n, seed):
    one_by_one = np.random.RandomState(seed)  # noqa: NPY002
    z = np.concatenate([one_by_one.randn(1, 512) for _ in range(n)]).astype(np.float32)
    assert np.array_equal(faces.z[start : start + n], z)
    assert set(faces.seed[start : start + n].tolist()) == {seed}
    assert faces.seed_row[start : start + n].tolist() == list(range(n))


def test_images_are_class_means_for_the_test_and_20_of_each_class_for_training(images):
    assert (images.files[0], images.files[199]) == ("test/0001.png", "test/0200.png")
    assert (images.files[200], images.files[-1]) == ("training/0201.png", "training/4200.png")
    assert len(images) == len(set(images.ids)) == 4200
    assert images.is_class_mean.tolist() == [True] * 200 + [False] * 4000
    assert (images.seed[:200] == NO_SEED).all()
    wnids = read_class_list(PAPER_LIST)
    assert images.wnid[:200] == wnids
    assert images.wnid[200:] == tuple(wnid for wnid in wnids for _ in range(20))


def test_the_seed_of_an_images_class_is_its_index(images):
    egyptian_cat = imagenet().by_id("n02124075")
    assert egyptian_cat == 285
    z = np.random.RandomState(285).randn(20, 64).astype(np.float32)  # noqa: NPY002
    assert np.array_equal(images.z[200:220], z)
    assert set(images.class_id[200:220].tolist()) == {285}
    assert set(images.seed[200:220].tolist()) == {285}


def test_with_the_papers_lookup_both_the_listed_and_the_drawn_class_are_told():
    plan = images_plan(4, ("n02206856",), "paper")  # bee
    assert set(plan.wnid) == {"n02206856"}
    assert {imagenet().label(imagenet().by_id(wnid)) for wnid in plan.drawn_wnid} == {"bee eater"}
    assert set(plan.seed[1:].tolist()) == set(plan.class_id.tolist())


def test_a_limit_leaves_the_first_of_each_split_as_they_are(faces):
    few = faces.limited(2)
    assert few.ids == ("test/0001", "test/0002", "training/0001", "training/0002")
    assert np.array_equal(few.z, faces.z[[0, 1, 100, 101]])
    assert len(faces.limited(None)) == len(faces)
