from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from b2g_rt.errors import StimulusError
from offline.stimuli.synthesis.plans import faces_plan
from offline.stimuli.synthesis.render import ABREAST_UP_TO_PX, latents_of
from offline.stimuli.synthesis.stimulus_file import read_stimuli
from offline.stimuli.synthesis.stimulus_set import make_set


class Watched(nn.Module):
    """A synthesis that notes how many threads its operations have."""

    def __init__(self, synthesis):
        super().__init__()
        self.synthesis, self.n_threads = synthesis, set()

    def forward(self, w):
        self.n_threads.add(torch.get_num_threads())
        return self.synthesis(w)


@pytest.fixture
def plan(small):
    return faces_plan(small.z_dim).limited(2)


@pytest.fixture
def threads():
    """Set torch's number of threads for a test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def _make(plan, generator, out, drawing):
    return make_set(
        plan, latents_of(plan, generator), generator, out, drawing,
        settings={}, provenance={"generator_given": "small"}, begun=lambda n_to_draw, n_there: lambda n: None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("resolution", "n_threads"), [(ABREAST_UP_TO_PX, 1), (2 * ABREAST_UP_TO_PX, 3)]
)
def test_the_set_states_the_threads_that_its_pictures_were_drawn_with(
    tmp_path, plan, small, one_by_one, threads, resolution, n_threads
):
    threads(3)
    watched = Watched(small.synthesis)
    _make(plan, replace(small, synthesis=watched, resolution=resolution), tmp_path, one_by_one)
    assert watched.n_threads == {n_threads}
    assert read_stimuli(tmp_path).provenance["n_threads"] == n_threads
    assert json.loads((tmp_path / "settings.json").read_text())["n_threads"] == n_threads


def test_small_pictures_go_on_with_any_number_of_threads(
    tmp_path, plan, small, one_by_one, threads
):
    threads(3)
    _make(plan, small, tmp_path, one_by_one)
    threads(2)
    assert _make(plan, small, tmp_path, one_by_one).n_drawn == 0


def test_large_pictures_go_on_with_their_own_number_of_threads_only(
    tmp_path, plan, small, one_by_one, threads
):
    large = replace(small, resolution=2 * ABREAST_UP_TO_PX)
    threads(3)
    _make(plan, large, tmp_path, one_by_one)
    threads(2)
    with pytest.raises(StimulusError, match="made with n_threads 3, asked for 2") as refused:
        _make(plan, large, tmp_path, one_by_one)
    assert "OMP_NUM_THREADS" in str(refused.value)
    threads(3)
    assert _make(plan, large, tmp_path, one_by_one).n_there == len(plan)
