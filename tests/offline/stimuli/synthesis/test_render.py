from __future__ import annotations

import resource
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from b2g_rt.errors import ProviderError, StimulusError
from offline.stimuli.stylegan.directory import load_generator
from offline.stimuli.stylegan.generator import to_uint8
from offline.stimuli.synthesis.picture_folder import PictureFolder
from offline.stimuli.synthesis.plans import faces_plan, images_plan
from offline.stimuli.synthesis.render import Drawing, chosen_drawing, draw_missing, latents_of

WNIDS = ("n02124075", "n01443537")


@pytest.fixture(scope="module")
def plan(small):
    return faces_plan(small.z_dim).limited(8)


@pytest.fixture(scope="module")
def w(plan, small):
    return latents_of(plan, small)


def _draw(path, plan, w, generator, drawing, drawn=lambda n: None):
    with PictureFolder(path, {}) as folder:
        finished = folder.finished(plan.files, 2)
        return draw_missing(folder, plan.files, w, generator, drawing, finished, drawn)


def _bytes(path, plan):
    return [(path / file).read_bytes() for file in plan.files]


def test_a_faces_picture_is_what_the_network_itself_draws_from_the_seed(
    tmp_path, plan, w, small, small_folder, one_by_one
):
    _draw(tmp_path, plan, w, small, one_by_one)
    network = load_generator(small_folder)
    with torch.inference_mode():
        drawn = to_uint8(network(torch.from_numpy(plan.z[9:10]), None, 0.7))[0].numpy()
    with Image.open(tmp_path / plan.files[9]) as stored:
        # 1 level: the row of w is broadcast here and repeated there.
        assert np.abs(np.asarray(stored, int) - drawn).max() <= 1
        assert np.asarray(stored).std() > 5


def test_images_are_truncated_toward_the_mean_of_their_own_class(with_classes):
    plan = images_plan(with_classes.z_dim, WNIDS).limited(21)
    w = latents_of(plan, with_classes)
    means = with_classes.w_avg.numpy()
    assert np.array_equal(w[:2], means[[285, 1]])
    class_id = torch.from_numpy(plan.class_id[2:])
    with torch.inference_mode():
        full = with_classes.mapping(torch.from_numpy(plan.z[2:]), class_id)[:, 0].numpy()
    by_hand = means[class_id] + 0.7 * (full - means[class_id])
    assert np.abs(w[2:] - by_hand).max() < 1e-5
    assert set(plan.class_id[2:].tolist()) == {285, 1}


def test_latents_do_not_depend_on_how_many_pictures_the_set_has(small, w):
    assert np.array_equal(latents_of(faces_plan(small.z_dim).limited(2), small)[:2], w[:2])


@pytest.mark.parametrize("batch", [1, 3])
def test_an_interrupted_run_goes_on_to_the_very_same_bytes(tmp_path, plan, w, small, batch):
    drawing = Drawing("cpu", batch, 2)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    digests = _draw(whole, plan, w, small, drawing)
    n_drawn = 0

    def interrupt_once(n):
        nonlocal n_drawn
        n_drawn += n
        if n_drawn == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _draw(broken, plan, w, small, drawing, interrupt_once)
    kept = {file: (broken / file).stat().st_mtime_ns for file in plan.files[:2]}
    assert not all((broken / file).exists() for file in plan.files)
    again: list[int] = []
    assert _draw(broken, plan, w, small, drawing, again.append) == digests
    assert sum(again) == len(plan) - n_drawn
    assert _bytes(broken, plan) == _bytes(whole, plan)
    assert {file: (broken / file).stat().st_mtime_ns for file in kept} == kept


def test_a_missing_picture_in_the_middle_of_a_batch_comes_back_the_same(tmp_path, plan, w, small):
    drawing = Drawing("cpu", 3, 2)
    _draw(tmp_path, plan, w, small, drawing)
    before = _bytes(tmp_path, plan)
    (tmp_path / plan.files[4]).unlink()
    again: list[int] = []
    _draw(tmp_path, plan, w, small, drawing, again.append)
    assert again == [1]
    assert _bytes(tmp_path, plan) == before


def test_a_longer_set_has_the_same_pictures_in_batches_too(tmp_path, plan, w, small):
    drawing = Drawing("cpu", 3, 2)
    short = replace(plan, ids=plan.ids[:4], split=plan.split[:4])
    _draw(tmp_path / "short", short, w[:4], small, drawing)
    _draw(tmp_path / "long", plan, w, small, drawing)
    assert _bytes(tmp_path / "short", short) == _bytes(tmp_path / "long", plan)[:4]


def test_a_picture_of_nan_is_refused_and_not_written(tmp_path, plan, w, small, one_by_one):
    class Broken(nn.Module):
        def forward(self, w):
            return torch.full((len(w), 3, 8, 8), torch.nan)

    with pytest.raises(StimulusError, match="test/0001.png: the generator drew values"):
        _draw(tmp_path, plan, w, replace(small, synthesis=Broken()), one_by_one)
    assert list(tmp_path.glob("*/*.png")) == []


def test_a_full_disk_ends_in_one_line_that_says_how_to_go_on(tmp_path, plan, w, small, one_by_one):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))
    try:
        with pytest.raises(StimulusError) as refused:
            _draw(tmp_path, plan, w, small, one_by_one)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "cannot be written (File too large)" in str(refused.value)
    assert "the same command goes on" in str(refused.value)
    assert list(tmp_path.glob("*/*")) == []
    assert len(_draw(tmp_path, plan, w, small, one_by_one)) == len(plan)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_that_is_not_there_is_refused_and_auto_takes_the_cpu():
    with pytest.raises(ProviderError, match="torch finds no CUDA device"):
        chosen_drawing("cuda", None, None)
    assert chosen_drawing("auto", None, 3) == Drawing("cpu", 1, 3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_draws_the_cpus_pictures_to_a_level(tmp_path, plan, w, small, one_by_one):
    _draw(tmp_path / "cpu", plan, w, small, one_by_one)
    _draw(tmp_path / "cuda", plan, w, small, Drawing("cuda", 3, 2))
    for file in plan.files:
        a, b = (np.asarray(Image.open(tmp_path / d / file), int) for d in ("cpu", "cuda"))
        assert np.abs(a - b).max() <= 1
