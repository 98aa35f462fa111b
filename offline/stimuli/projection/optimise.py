"""One batch of pictures into w: several starts, a coarse race between them, a fine descent, a last polish.

Must not know files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from offline.stimuli.generators import PictureGenerator
from offline.stimuli.peak_signal_to_noise import psnr_db
from offline.stimuli.projection import gauss_newton
from offline.stimuli.projection.adam import Descent, adam_state, descend
from offline.stimuli.projection.problem import Problem
from offline.stimuli.projection.recomputed_layers import recomputing
from offline.stimuli.projection.start import LatentDistribution, candidates, small

SETTLED = 0.01
"""The polish of a picture ends when a step lowers its loss by less than this share."""

REFUSED = 2
"""It also ends after so many steps in a row that were not taken; one alone only shortens the next."""


@dataclass(frozen=True, slots=True)
class ProjectionSettings:
    """What a projection depends on beside generator and pictures.

    Attributes
    ----------
    descent : Descent
    per_layer : bool
        One w per layer instead of one for all.
    n_starts : int
        The anchor, and the best of the drawn pictures.
    n_candidates : int
        Pictures drawn to find starts.
    candidate_psi : float
        Their truncation.
    race : float
        Share of the descent after which only the best start goes on.
    n_polish, n_inner : int
        Gauss-Newton steps at the end, fewer where nothing is left to gain, and conjugate-gradient iterations within
        each.
    seed : int
    """

    descent: Descent = field(default_factory=Descent)
    per_layer: bool = False
    n_starts: int = 6
    n_candidates: int = 64
    candidate_psi: float = 0.7
    race: float = 0.25
    n_polish: int = 12
    n_inner: int = 30
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for files."""
        return asdict(self)


def projection_settings(
    *,
    per_layer: bool = False,
    n_steps: int | None = None,
    n_starts: int | None = None,
    n_polish: int | None = None,
    anchor: float | None = None,
    seed: int = 0,
) -> ProjectionSettings:
    """Return the defaults with some changed; None: as it is."""
    descent = Descent()
    if n_steps is not None:
        descent = replace(descent, n_steps=n_steps)
    if anchor is not None:
        descent = replace(
            descent, anchor_last=anchor, anchor_first=max(anchor, descent.anchor_first)
        )
    settings = ProjectionSettings(descent=descent, per_layer=per_layer, seed=seed)
    if n_starts is not None:
        settings = replace(settings, n_starts=n_starts)
    if n_polish is not None:
        settings = replace(settings, n_polish=n_polish)
    return settings


@dataclass(frozen=True, slots=True, eq=False)
class StartPictures:
    """Latents to start from and what they look like: w (n, latent), pictures (n, number), see ``small``."""

    w: Tensor
    pictures: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What was found for a batch.

    Attributes
    ----------
    w : Tensor, (N, layer, latent)
    pictures : Tensor, (N, 3, row, col)
    psnr_db : Tensor, (N,)
    losses : Tensor, (N, step)
        Of the start that won; its weights change from step to step, so it need not fall throughout.
    start_idx : Tensor, int64, (N,)
        0: the anchor.
    distance : Tensor, (N,)
        RMS of u, that is the Mahalanobis distance from the anchor per direction: about psi for the generator's own.
    """

    w: Tensor
    pictures: Tensor
    psnr_db: Tensor
    losses: Tensor
    start_idx: Tensor
    distance: Tensor


def start_pictures(
    generator: PictureGenerator,
    class_ids: list[int],
    settings: ProjectionSettings,
    at_once: int = 8,
) -> StartPictures:
    """Draw the pictures among which starts are looked for, so many at once."""
    n = settings.n_candidates if settings.n_starts > 1 else 0
    w = candidates(generator, class_ids, n, settings.candidate_psi, settings.seed)
    if not n:
        return StartPictures(w, w.new_zeros((0, 0)))
    with torch.no_grad():
        drawn = [small(generator.synthesis(part[:, None])) for part in w.split(at_once)]
    return StartPictures(w, torch.cat(drawn).flatten(1))


def project_batch(
    generator: PictureGenerator,
    distribution: LatentDistribution,
    target: Tensor,
    anchor: Tensor,
    starts: StartPictures,
    settings: ProjectionSettings,
    done: Callable[[int], None] = lambda n: None,
    at_once: int | None = None,
) -> Found:
    """Find the latents of a batch of pictures.

    Parameters
    ----------
    generator : PictureGenerator
    distribution : LatentDistribution
    target : Tensor, float32, (N, 3, row, col)
        rgb within -1..1, of the generator's size.
    anchor : Tensor, float32, (N, latent)
    starts : StartPictures
    settings : ProjectionSettings
    done : callable
        Told of every step, of ``n_steps(settings)`` in all.
    at_once : int, optional
        Pictures, each start one, that are drawn together: what memory grows with. Default: as many as the batch has.

    Returns
    -------
    Found
        Detached, on the generator's device. The same for the same batch, settings and device; for another batch, or
        alone, within rounding.
    """
    at_once = at_once or len(target)
    problem = Problem(recomputing(generator.synthesis), target, anchor, distribution.scale)
    descent = settings.descent
    first = _first_latents(problem, distribution, starts, settings)  # (N, start, direction)
    n, n_starts = first.shape[:2]
    of_picture = torch.arange(n, device=target.device).repeat_interleave(n_starts)
    n_layers = generator.num_ws if settings.per_layer else 1
    state = adam_state(first.flatten(0, 1)[:, None, :].repeat(1, n_layers, 1))
    raced = round(settings.race * descent.n_steps) if n_starts > 1 else 0
    losses = [descend(problem.part(of_picture), descent, state, 0, raced, done, at_once)]
    with torch.no_grad():
        reached = _psnr(problem.part(of_picture), state.u, at_once).view(n, n_starts)
    best = reached.nan_to_num(-1.0).argmax(dim=1)
    kept = best + torch.arange(n, device=best.device) * n_starts
    state = state.part(kept)
    losses[0] = losses[0][:, kept]
    losses.append(descend(problem, descent, state, raced, descent.n_steps, done, at_once))
    u, polished = _polished(problem, settings, state.u, done, at_once)
    losses.append(polished)
    with torch.no_grad():
        w = problem.w_of(u)
        pictures = generator.synthesis(w)
    return Found(
        w=w,
        pictures=pictures,
        psnr_db=psnr_db(pictures, target),
        losses=torch.cat(losses).T,
        start_idx=best,
        distance=u.mean(dim=1).square().mean(dim=1).sqrt(),
    )


def n_steps(settings: ProjectionSettings) -> int:
    """Return how often ``project_batch`` reports."""
    return settings.descent.n_steps + settings.n_polish


def _first_latents(
    problem: Problem,
    distribution: LatentDistribution,
    starts: StartPictures,
    settings: ProjectionSettings,
) -> Tensor:
    """Return whitened starts (N, start, direction): the anchor, then the drawn latents that look most alike."""
    n, n_directions = len(problem.target), len(distribution.scale)
    at_anchor = problem.target.new_zeros((n, 1, n_directions))
    n_drawn = min(settings.n_starts - 1, len(starts.w))
    if n_drawn < 1:
        return at_anchor
    apart = torch.cdist(small(problem.target).flatten(1), starts.pictures)
    nearest = apart.topk(n_drawn, largest=False).indices  # (N, start)
    u = (starts.w[nearest] - problem.anchor[:, None]) @ distribution.whitening
    return torch.cat([at_anchor, u], dim=1)


def _polished(
    problem: Problem,
    settings: ProjectionSettings,
    u: Tensor,
    done: Callable[[int], None],
    at_once: int,
) -> tuple[Tensor, Tensor]:
    """Gauss-Newton steps under the last objective: u, and the loss after each (step, N).

    A picture that has settled stays as it is, and its loss with it; the others go on.
    """
    objective = settings.descent.objective(settings.descent.n_steps, problem.target.shape[-1])
    state = gauss_newton.first_state(u)
    losses = u.new_zeros((settings.n_polish, len(u)))
    going = torch.arange(len(u), device=u.device)
    n_refused = torch.zeros_like(going)
    n_done = 0
    while n_done < settings.n_polish and len(going):
        for idx in going.split(at_once):
            part = state.part(idx)
            losses[n_done:, idx] = gauss_newton.step(
                problem.part(idx), objective, part, settings.n_inner
            )
            taken = (part.u != state.u[idx]).flatten(1).any(dim=1)
            n_refused[idx] = torch.where(taken, 0, n_refused[idx] + 1)
            state.put(idx, part)
        n_done += 1
        done(1)
        if n_done > 1:
            before, after = losses[n_done - 2 : n_done, going]
            refused = n_refused[going]
            settled = (after > (1 - SETTLED) * before) & ((refused == 0) | (refused >= REFUSED))
            going = going[~settled]
    done(settings.n_polish - n_done)
    return state.u, losses


def _psnr(problem: Problem, u: Tensor, at_once: int) -> Tensor:
    drawn = [
        psnr_db(problem.part(idx).draw(u[idx]), problem.target[idx])
        for idx in torch.arange(len(u), device=u.device).split(at_once)
    ]
    return torch.cat(drawn)
