"""Real pictures, caches of weights that are empty, no way out to the network; a small run of an extraction."""

from __future__ import annotations

import socket

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from offline.features.extraction import NetworkOpener, extract
from offline.features.pictures import find_pictures
from offline.scheduling.local_workers import LocalWorkers
from tests.offline.features.tiny_network import TinyNetwork

N_TEST, N_TRAINING = 5, 75


@pytest.fixture(scope="session")
def photographs():
    """Three photographs of three sizes, two of them no squares; they lie in scikit-image's package."""
    return [data.astronaut(), data.chelsea(), data.coffee()]


@pytest.fixture
def caches(tmp_path, monkeypatch):
    """Return the folders where torch and Hugging Face look for weights; empty, and nothing can be downloaded."""
    from huggingface_hub import constants

    torch_hub, hugging_face = tmp_path / "torch" / "hub", tmp_path / "hugging_face"
    # Once `torch.hub.set_dir` was called, TORCH_HOME is read no more.
    monkeypatch.setattr(torch.hub, "_hub_dir", str(torch_hub))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hugging_face))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    def refused(*_args, **_options):
        raise AssertionError("something was about to be downloaded")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    (torch_hub / "checkpoints").mkdir(parents=True)
    return torch_hub / "checkpoints", hugging_face


@pytest.fixture(scope="session")
def picture_folder(tmp_path_factory):
    """80 small pictures: three pieces, the last one of 16."""
    chance = np.random.default_rng(6)
    folder = tmp_path_factory.mktemp("stimuli")
    for split, n in (("test", N_TEST), ("training", N_TRAINING)):
        (folder / split).mkdir()
        for i in range(n):
            picture = chance.integers(0, 256, (18, 24, 3), dtype=np.uint8)
            Image.fromarray(picture).save(folder / split / f"{i + 1:04d}.png")
    return folder


@pytest.fixture
def compute(picture_folder, no_stage):
    """Return what computes the tiny network's features of the pictures into a file."""

    def call(out, network=TinyNetwork, n_threads=2, pictures=None, **options):
        settings = {
            "batch": 4,
            "workers": LocalWorkers(n_threads),
            "command": "pytest",
            "stage": no_stage,
        }
        found = find_pictures([picture_folder]) if pictures is None else pictures
        return extract(found, NetworkOpener(network), out, **{**settings, **options})

    return call
