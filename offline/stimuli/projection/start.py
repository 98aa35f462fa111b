"""Where an optimisation starts and what holds it: the distribution of w, and the best of some drawn pictures.

Latents are whitened: ``w = anchor + u @ scale``, with u of unit variance in every direction over the generator's own
w. The anchor term of the projection is the length of u, that is the Mahalanobis distance of w from its anchor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from b2g_rt.errors import GeneratorError
from offline.stimuli.generators import PictureGenerator

N_DRAWS = 10_000
SHRINKAGE = 0.05
"""Share of the mean variance that is put in place of each direction's own, so that directions in which the mapping
hardly varies stay open to photographs."""

_DRAWS_PER_RUN = 1024
_COMPARED_AT = 16


@dataclass(frozen=True, slots=True, eq=False)
class LatentDistribution:
    """The spread of a generator's w, float32.

    Attributes
    ----------
    scale : Tensor, (direction, latent)
        ``w = anchor + u @ scale``; rows are orthogonal, the widest first.
    whitening : Tensor, (latent, direction)
        ``u = (w - anchor) @ whitening``.
    """

    scale: Tensor
    whitening: Tensor


def latent_distribution(
    generator: PictureGenerator,
    class_ids: Sequence[int] = (),
    *,
    seed: int = 0,
    n_draws: int = N_DRAWS,
    shrinkage: float = SHRINKAGE,
) -> LatentDistribution:
    """Measure the covariance of w over many z, shrunk toward a sphere.

    Parameters
    ----------
    generator : PictureGenerator
    class_ids : sequence of int
        Draw these classes in turn and measure the spread about each one's own mean; empty: all classes, about the
        mean of all.
    seed : int
    n_draws : int
    shrinkage : float
        ``(1 - shrinkage) * covariance + shrinkage * mean variance * identity``.
    """
    by_class = generator.n_classes > 0 and len(class_ids) > 0
    w, drawn = _draw(generator, class_ids, n_draws, seed)
    w = w.double()
    if by_class:
        for class_id in set(class_ids):
            own = drawn == class_id
            w[own] -= w[own].mean(dim=0)
    else:
        w -= w.mean(dim=0)
    covariance = w.T @ w / len(w)
    mean_variance = covariance.diagonal().mean()
    if not torch.isfinite(mean_variance) or mean_variance <= 0:
        raise GeneratorError(
            f"generator {generator.name}: w does not vary with z, expected a spread. Check its mapping's weights."
        )
    variance, rows = torch.linalg.eigh(covariance)
    variance, rows = variance.flip(0).clamp_min(0), rows.flip(1).T
    sd = ((1 - shrinkage) * variance + shrinkage * mean_variance).sqrt()
    device = generator.w_avg.device
    scale, whitening = sd[:, None] * rows, rows.T / sd
    return LatentDistribution(scale.float().to(device), whitening.float().to(device))


def anchors(
    generator: PictureGenerator, class_ids: Sequence[int | None], *, seed: int = 0
) -> Tensor:
    """Return what each picture's w is held to, (picture, latent).

    w_avg; of a class where the picture has one, else the mean of all classes'. A network with classes and one w_avg
    (StyleGAN3) has no class means: they are measured over z.

    Raises
    ------
    GeneratorError
        A class that the network does not have, or a class for a network without.
    """
    for class_id in set(class_ids):
        if class_id is not None and not 0 <= class_id < generator.n_classes:
            has = f"0 to {generator.n_classes - 1}" if generator.n_classes else "none: no classes"
            raise GeneratorError(
                f"class {class_id}: generator {generator.name} has {has}. Correct --class-id or the table."
            )
    if generator.w_avg.ndim == 2:
        overall = generator.w_avg.mean(dim=0)
        rows = [overall if c is None else generator.w_avg[c] for c in class_ids]
        return torch.stack(rows)
    means = {
        c: _draw(generator, [c], 1000, seed)[0].mean(dim=0) for c in set(class_ids) if c is not None
    }
    return torch.stack([generator.w_avg if c is None else means[c] for c in class_ids])


def candidates(
    generator: PictureGenerator,
    class_ids: Sequence[int],
    n: int,
    psi: float,
    seed: int,
) -> Tensor:
    """Draw w to start from, (n, latent)."""
    w, drawn = _draw(generator, class_ids, n, seed + 1)
    centre = generator.w_avg if generator.w_avg.ndim == 1 else generator.w_avg[drawn]
    return centre + psi * (w - centre)


def small(pictures: Tensor) -> Tensor:
    """Return pictures as they are compared for a start: (N, 3, 16, 16) of (N, 3, row, col)."""
    size = min(_COMPARED_AT, pictures.shape[-1])
    return torch.nn.functional.adaptive_avg_pool2d(pictures.clamp(-1, 1), size)


def _draw(
    generator: PictureGenerator, class_ids: Sequence[int], n: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Draw w (n, latent) without truncation, and the class of each (n,)."""
    rng = torch.Generator().manual_seed(seed)
    z = torch.randn((n, generator.z_dim), generator=rng)
    choice = torch.tensor(list(class_ids) or list(range(max(1, generator.n_classes))))
    drawn = choice[torch.arange(n) % len(choice)]
    if not class_ids:
        drawn = choice[torch.randint(len(choice), (n,), generator=rng)]
    device = generator.w_avg.device
    drawn = drawn.to(device)
    w = [generator.w_avg.new_zeros((0, generator.w_dim))]
    with torch.no_grad():
        for first in range(0, n, _DRAWS_PER_RUN):
            part = slice(first, first + _DRAWS_PER_RUN)
            labels = drawn[part] if generator.n_classes else None
            w.append(generator.mapping(z[part].to(device), labels)[:, 0])
    return torch.cat(w), drawn
