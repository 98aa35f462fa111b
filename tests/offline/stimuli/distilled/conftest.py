from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from offline.stimuli.distilled.plan import Phase, Plan
from offline.stimuli.stylegan.schedule import Widths

TINY = replace(
    Plan(),
    widths=Widths(32, channel_base=256, channel_max=8, n_layers=6, conv_kernel=3, margin=2),
    phases=(
        Phase(16, 0.4, 4, (1e-2, 1e-2), (0.1, 0.5), (0.3, 1.0)),
        Phase(32, 0.6, 2, (1e-2, 1e-4), (0.3, 1.0), (0.3, 1.0)),
    ),
    warm_up_steps=4,
    average_decay=0.9,
)


class Blobs:
    """A renderer that takes no time: two bumps whose place and colour follow the first parameters."""

    def pictures(self, parameters):
        place = (torch.arange(32) + 0.5) / 16 - 1
        total = torch.zeros(len(parameters), 3, 32, 32)
        for i in range(2):
            x, y = (0.4 * torch.tanh(parameters[:, 5 * i + j])[:, None] for j in (0, 1))
            across, along = torch.exp(-8 * (place - x) ** 2), torch.exp(-8 * (place - y) ** 2)
            colour = torch.tanh(parameters[:, 5 * i + 2 : 5 * i + 5])[:, :, None, None]
            total = total + colour * (along[:, None, :, None] * across[:, None, None, :])
        return total.clamp(-1, 1)


@pytest.fixture
def tiny():
    return TINY


@pytest.fixture
def blobs():
    return Blobs()


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny matrices: on a busy machine torch's threads would wait for each other longer than they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
