from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from b2g_rt.errors import GeneratorError
from offline.stimuli.projection.batches import project_all
from offline.stimuli.projection.memory import default_batch, is_out_of_memory
from offline.stimuli.projection.result_file import read_projection


class Hungry(nn.Module):
    """Asks for more memory than any machine has where it draws more pictures than fit."""

    def __init__(self, synthesis: nn.Module, fit: int) -> None:
        super().__init__()
        self.synthesis, self.fit = synthesis, fit
        self.most = 0

    def forward(self, w):
        self.most = max(self.most, len(w))
        if len(w) > self.fit:
            torch.empty(1 << 60, dtype=torch.uint8)
        return self.synthesis(w)


def _hungry(projection, fit, **changed):
    synthesis = Hungry(projection.generator.synthesis, fit)
    generator = replace(projection.generator, synthesis=synthesis)
    return synthesis, replace(projection, generator=generator, **changed)


def test_too_large_a_batch_is_one_line_that_says_which_to_give(projection, tmp_path):
    _, hungry = _hungry(projection, 3, batch=5)
    with pytest.raises(GeneratorError, match=r"5 pictures of 16 px at once.* --batch 2;") as failed:
        project_all(hungry, tmp_path / "out")
    assert "\n" not in str(failed.value)
    assert len(project_all(replace(hungry, batch=2), tmp_path / "out")) == 5


def test_one_picture_that_does_not_fit_asks_for_another_device(projection, tmp_path):
    _, hungry = _hungry(projection, 0, batch=1)
    with pytest.raises(GeneratorError, match="1 picture of 16 px at once, expected room for one"):
        project_all(hungry, tmp_path / "out")


def test_batches_that_were_finished_before_memory_ran_out_are_kept(projection, tmp_path):
    synthesis, hungry = _hungry(projection, 2)

    def begun(n, n_there, n_steps):
        def done(steps):
            if (tmp_path / "out" / "parts" / "000000.npz").exists():
                synthesis.fit = 0

        return done

    with pytest.raises(GeneratorError, match="--batch 1"):
        project_all(hungry, tmp_path / "out", begun)
    assert read_projection(tmp_path / "out" / "projection.h5").id.tolist() == ["0000", "0001"]


def test_starts_and_candidates_are_drawn_no_more_than_a_batch_at_once(projection, tmp_path):
    settings = replace(projection.settings, n_starts=4, n_candidates=9)
    synthesis, hungry = _hungry(projection, 100, settings=settings, batch=2)
    project_all(hungry, tmp_path / "out")
    assert synthesis.most == 2


def test_memory_of_the_gpu_and_of_arrays_counts_other_mistakes_do_not():
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shape '[3]' is invalid for input of size 4"))


def test_larger_pictures_come_in_smaller_batches():
    for device in map(torch.device, ("cpu", "cuda")):
        batches = [default_batch(size, device) for size in (16, 128, 256, 512, 1024)]
        assert batches == sorted(batches, reverse=True)
        assert batches[-1] == 1
