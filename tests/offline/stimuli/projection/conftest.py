"""Generators small enough to be inverted in a second: linear ones, whose answer is known, and small networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from offline.stimuli.generators import LinearMapping, PictureGenerator, open_generator
from offline.stimuli.projection.adam import Descent
from offline.stimuli.projection.batches import Projection
from offline.stimuli.projection.optimise import ProjectionSettings
from offline.stimuli.projection.targets import find_photographs
from offline.stimuli.stylegan.directory import save_generator
from offline.stimuli.stylegan.generator import Generator
from offline.stimuli.stylegan.schedule import Widths, stylegan3

SIZE = 16
N_LATENTS = 12
RANK = 5


class LinearSynthesis(nn.Module):
    """Pictures that depend on a few directions of w, linearly, and never leave -1..1."""

    def __init__(self, strength: float = 0.02) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(1)
        self.register_buffer("reading", torch.randn((N_LATENTS, RANK), generator=rng))
        self.register_buffer("drawing", strength * torch.randn((RANK, 3 * SIZE**2), generator=rng))

    def forward(self, w):
        return (w.mean(dim=1) @ self.reading @ self.drawing).reshape(-1, 3, SIZE, SIZE)


class _Latents:
    n_components = N_LATENTS

    def __init__(self) -> None:
        rng = torch.Generator().manual_seed(2)
        self.mean = torch.randn(N_LATENTS, generator=rng).numpy()
        self.sd = torch.linspace(2, 0.5, N_LATENTS).numpy()
        self.basis = torch.linalg.qr(torch.randn((N_LATENTS, N_LATENTS), generator=rng))[0].numpy()


@pytest.fixture(autouse=True)
def one_thread():
    """Networks as small as these are faster so, and tests run side by side."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture
def linear() -> PictureGenerator:
    mapping = LinearMapping(_Latents())  # type: ignore[arg-type]
    return PictureGenerator(
        name="linear",
        mapping=mapping,
        synthesis=LinearSynthesis(),
        z_dim=N_LATENTS,
        w_dim=N_LATENTS,
        num_ws=3,
        n_classes=0,
        resolution=SIZE,
        w_avg=mapping.w_avg,
        spec=None,
        digest="linear",
    )


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory):
    """A StyleGAN3 of 16 pixels with random weights, its w_avg measured."""
    torch.manual_seed(3)
    spec = stylegan3("small", Widths(16, 512, 16, n_layers=4), z_dim=12, w_dim=16)
    network = Generator(spec).eval().requires_grad_(False)
    network.mapping.w_avg.copy_(network.mapping.untruncated(torch.randn(4000, 12)).mean(dim=0))
    folder = tmp_path_factory.mktemp("generator") / "small"
    save_generator(network, folder, {})
    return folder


@pytest.fixture
def small(small_folder) -> PictureGenerator:
    return open_generator(small_folder)


@pytest.fixture(scope="session")
def with_classes_folder(tmp_path_factory):
    """Three classes, and one w_avg for all, as StyleGAN3 has it."""
    torch.manual_seed(4)
    spec = stylegan3(
        "three-classes", Widths(16, 256, 8, n_layers=4), z_dim=8, w_dim=12, n_classes=3
    )
    folder = tmp_path_factory.mktemp("generator") / "three-classes"
    save_generator(Generator(spec).eval(), folder, {})
    return folder


@pytest.fixture
def with_classes(with_classes_folder) -> PictureGenerator:
    return open_generator(with_classes_folder)


@pytest.fixture
def draw():
    """(w (n, latent), pictures (n, 3, row, col)) of a generator at psi 0.7, the latter as from a file of 8 bits."""

    def drawn(generator, n, seed=5):
        z = torch.randn((n, generator.z_dim), generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            w = generator.mapping(z, None, 0.7)[:, 0]
            levels = (generator.synthesis(w[:, None]) * 127.5 + 128).clamp(0, 255).floor()
        return w, (levels + 0.5 - 128) / 127.5

    return drawn


QUICK = ProjectionSettings(
    descent=Descent(n_steps=20), n_starts=1, n_candidates=0, n_polish=1, n_inner=4
)


def _photographs(folder, n, size=24):
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(1)
    for i in range(n):
        smooth = rng.integers(60, 196, (2, 2, 3)).astype(np.uint8)
        picture = Image.fromarray(smooth).resize((size, size), Image.Resampling.BICUBIC)
        picture.save(folder / f"{i:04d}.png")
    return find_photographs([folder])


@pytest.fixture
def quick() -> ProjectionSettings:
    return QUICK


@pytest.fixture
def photographs_in():
    """``photographs_in(folder, n)``: smooth pictures of 24 pixels, 0000.png and so on."""
    return _photographs


@pytest.fixture
def projection(linear, tmp_path) -> Projection:
    """Five pictures for the linear generator, two at a time."""
    return Projection(linear, _photographs(tmp_path / "pictures", 5), {}, QUICK, batch=2)
