"""Two small networks with random weights, and the drawing that all tests use."""

from __future__ import annotations

import pytest
import torch

from offline.stimuli.generators import open_generator
from offline.stimuli.stylegan.directory import save_generator
from offline.stimuli.stylegan.generator import Generator
from offline.stimuli.stylegan.schedule import Widths, stylegan3, superresolution
from offline.stimuli.stylegan.specification import MappingSpec
from offline.stimuli.synthesis.render import Drawing


def _random(spec, seed):
    torch.manual_seed(seed)
    network = Generator(spec).eval()
    torch.nn.init.normal_(network.mapping.w_avg)
    return network


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory):
    """A network without classes, 32 px."""
    spec = stylegan3("small", Widths(32, 512, 16, n_layers=6), z_dim=32, w_dim=48)
    folder = tmp_path_factory.mktemp("small") / "small"
    save_generator(_random(spec, 1), folder, {})
    return folder


@pytest.fixture(scope="session")
def classes_folder(tmp_path_factory):
    """A network with 1000 classes, a stem and a head like StyleGAN-XL, 32 px."""
    stem = stylegan3(
        "stem",
        Widths(16, 512, 16, n_layers=6, conv_kernel=1, radial=True),
        z_dim=16,
        w_dim=48,
        n_classes=1000,
        mapping=MappingSpec(embedding="table", embedding_size=20),
    )
    spec = superresolution(
        stem, Widths(32, 512, 16, conv_kernel=1, radial=True), 4, "imagenet-small"
    )
    folder = tmp_path_factory.mktemp("classes") / "imagenet-small"
    save_generator(_random(spec, 2), folder, {})
    return folder


@pytest.fixture(scope="session")
def small(small_folder):
    return open_generator(small_folder)


@pytest.fixture(scope="session")
def with_classes(classes_folder):
    return open_generator(classes_folder)


@pytest.fixture(scope="session")
def one_by_one() -> Drawing:
    return Drawing("cpu", 1, 2)
