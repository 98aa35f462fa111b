from __future__ import annotations

import resource
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from b2g_rt.errors import GeneratorError, ProviderError, StimulusError
from offline.stimuli.devices import device_named
from offline.stimuli.projection.batches import Projection, project_all
from offline.stimuli.projection.result_file import NO_CLASS, read_runs
from offline.stimuli.projection.targets import find_photographs


def test_an_interrupted_run_goes_on_to_the_same_result(projection, tmp_path):
    whole = project_all(projection, tmp_path / "whole")

    def stop_in_the_second_batch(n, n_there, n_steps):
        left = 70  # steps of all pictures: batches of two take 42

        def done(steps):
            nonlocal left
            left -= steps
            if left < 0:
                raise KeyboardInterrupt

        return done

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        project_all(projection, out, stop_in_the_second_batch)
    with np.load(out / "latents.npz") as kept:
        assert kept["id"].tolist() == ["0000", "0001"]
    told = []

    def begun(*numbers):
        told.append(numbers)
        return lambda done: None

    found = project_all(projection, out, begun)
    assert told == [(3, 2, 3 * 21)]
    assert found.id.tolist() == whole.id.tolist()
    np.testing.assert_array_equal(found.w, whole.w)
    assert len(list((out / "pictures").glob("*.png"))) == 5


def test_more_pictures_join_a_finished_folder(projection, tmp_path):
    few = replace(projection, photographs=projection.photographs[:2])
    before = project_all(few, tmp_path / "out", provenance={"device": "cpu"})
    found = project_all(projection, tmp_path / "out", provenance={"device": "cuda"})
    assert len(found) == 5
    runs = read_runs(tmp_path / "out" / "projection.h5")
    assert [(r["provenance"]["device"], r["n_pictures"]) for r in runs] == [("cpu", 2), ("cuda", 3)]
    np.testing.assert_array_equal(found.w[:2], before.w)


def test_a_folder_of_another_picture_of_the_same_id_is_refused(projection, tmp_path):
    few = replace(projection, photographs=projection.photographs[:1])
    project_all(few, tmp_path / "out")
    path = few.photographs[0].path
    Image.new("RGB", (24, 24)).save(path)
    changed = replace(few, photographs=find_photographs([path.parent])[:1])
    with pytest.raises(StimulusError, match="holds another picture of the id 0000"):
        project_all(changed, tmp_path / "out")


def test_a_folder_of_another_generator_is_refused(projection, tmp_path):
    few = replace(projection, photographs=projection.photographs[:1])
    project_all(few, tmp_path / "out")
    other = replace(few, generator=replace(few.generator, digest="another"))
    with pytest.raises(StimulusError, match="made with generator_sha256 linear, expected another"):
        project_all(other, tmp_path / "out")


def test_what_is_no_picture_is_found_before_the_work(projection, tmp_path):
    projection.photographs[4].path.write_bytes(b"no picture")
    with pytest.raises(StimulusError, match=r"0004\.png: cannot be read"):
        project_all(projection, tmp_path / "out", lambda *n: pytest.fail("work began"))


def test_each_picture_is_held_to_its_class(with_classes, photographs_in, quick, tmp_path):
    photographs = photographs_in(tmp_path / "pictures", 3)
    projection = Projection(with_classes, photographs, {"0000": 2, "0002": 1}, quick, batch=3)
    found = project_all(projection, tmp_path / "out")
    assert found.class_id.tolist() == [2, NO_CLASS, 1]
    assert len({tuple(row) for row in found.anchor.tolist()}) == 3


def test_a_picture_of_a_class_does_not_depend_on_the_classes_beside_it(
    with_classes, photographs_in, quick, tmp_path
):
    photographs = photographs_in(tmp_path / "pictures", 4)
    settings = replace(quick, n_starts=3, n_candidates=6)
    classes = {"0000": 2, "0001": 1, "0002": 2}
    together = Projection(with_classes, photographs, classes, settings, batch=4)
    found = project_all(together, tmp_path / "together")
    assert found.id.tolist() == ["0000", "0001", "0002", "0003"]
    assert found.class_id.tolist() == [2, 1, 2, NO_CLASS]
    for i in (1, 3):
        alone = project_all(
            replace(together, photographs=photographs[i : i + 1]), tmp_path / f"alone-{i}"
        )
        np.testing.assert_array_equal(alone.w[0], found.w[i])
    pair = replace(together, photographs=[photographs[0], photographs[2]])
    np.testing.assert_array_equal(project_all(pair, tmp_path / "pair").w, found.w[[0, 2]])


def test_a_finished_picture_of_another_class_is_not_taken_for_it(
    with_classes, photographs_in, quick, tmp_path
):
    photographs = photographs_in(tmp_path / "pictures", 1)
    projection = Projection(with_classes, photographs, {"0000": 2}, quick, batch=1)
    project_all(projection, tmp_path / "out")
    for asked in ({"0000": 1}, {}):
        with pytest.raises(StimulusError, match="0000 was held to class 2"):
            project_all(replace(projection, class_ids=asked), tmp_path / "out")


def test_a_full_disk_is_one_line_and_keeps_what_was_there(projection, tmp_path):
    few = replace(projection, photographs=projection.photographs[:1])
    project_all(few, tmp_path / "out")
    kept = (tmp_path / "out" / "projection.h5").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(StimulusError, match="cannot be written"):
            project_all(projection, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "out" / "projection.h5").read_bytes() == kept


def test_a_generator_that_draws_no_numbers_is_refused(projection, quick, tmp_path):
    projection.generator.synthesis.drawing.fill_(torch.nan)
    settings = replace(quick, n_starts=2, n_candidates=4)
    with pytest.raises(GeneratorError, match="draws values that are no numbers"):
        project_all(replace(projection, settings=settings), tmp_path / "out")


@pytest.mark.parametrize("name", ["gpu", "meta", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(name):
    with pytest.raises(ProviderError, match=f"--device {name}"):
        device_named(name)


def test_auto_is_cuda_where_torch_finds_it():
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert device_named("auto").type == expected
