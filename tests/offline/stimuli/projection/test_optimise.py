from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from offline.stimuli.projection.adam import Descent
from offline.stimuli.projection.directions import cosine_within, picture_directions
from offline.stimuli.projection.optimise import (
    ProjectionSettings,
    n_steps,
    project_batch,
    projection_settings,
    start_pictures,
)
from offline.stimuli.projection.start import anchors, latent_distribution

QUICK = ProjectionSettings(
    descent=Descent(n_steps=40, rate=0.1), n_starts=2, n_candidates=16, n_polish=3, n_inner=12
)


@pytest.fixture
def project(draw):
    def projected(generator, n, settings=QUICK, **kwargs):
        w, target = draw(generator, n)
        distribution = latent_distribution(generator, n_draws=2000)
        starts = start_pictures(generator, [], settings)
        anchor = anchors(generator, [None] * n)
        found = project_batch(generator, distribution, target, anchor, starts, settings, **kwargs)
        return w, found, distribution

    return projected


def test_a_networks_own_pictures_are_found_again_and_so_are_their_latents(small, project):
    w, found, distribution = project(small, 2)
    assert found.psnr_db.min() >= 30
    for truth, latent in zip(w, found.w[:, 0], strict=True):
        basis = picture_directions(small.synthesis, truth, distribution).basis
        raw = cosine_within(basis, latent, truth)
        assert raw >= 0.95
        assert cosine_within(basis, latent - small.w_avg, truth - small.w_avg) >= 0.95
        assert cosine_within(basis, small.w_avg, truth) < raw


def test_a_latent_per_layer_finds_what_one_latent_cannot_draw(small, draw):
    z = torch.randn((2, small.z_dim), generator=torch.Generator().manual_seed(1))
    many = small.mapping(z, None, 0.7)
    many = torch.cat([many[:1, :3], many[1:, 3:]], dim=1)
    target = small.synthesis(many).detach()
    distribution = latent_distribution(small, n_draws=2000)
    starts = start_pictures(small, [], QUICK)
    anchor = anchors(small, [None])
    one, per_layer = (
        project_batch(small, distribution, target, anchor, starts, replace(QUICK, per_layer=p))
        for p in (False, True)
    )
    assert per_layer.w.shape == (1, small.num_ws, small.w_dim)
    assert per_layer.psnr_db.item() > one.psnr_db.item() + 6


def test_layers_that_need_not_differ_stay_together(small, project):
    _, many, distribution = project(small, 1, replace(QUICK, per_layer=True))
    apart = ((many.w - many.w.mean(dim=1, keepdim=True)) @ distribution.whitening).square().mean()
    assert apart.sqrt() < 0.5 * many.distance.item()


def test_a_heavier_anchor_ends_nearer_to_it(small, project):
    light = project(small, 1, QUICK)[1].distance.item()
    heavy_descent = replace(QUICK.descent, anchor_first=1e-2, anchor_last=1e-2)
    heavy = project(small, 1, replace(QUICK, descent=heavy_descent))[1].distance.item()
    assert heavy < 0.7 * light


def test_a_start_that_is_the_answer_wins_the_race(small, draw):
    settings = replace(QUICK, n_candidates=4, n_polish=0)
    starts = start_pictures(small, [], settings)
    target = small.synthesis(starts.w[2:3, None])
    distribution = latent_distribution(small, n_draws=2000)
    found = project_batch(small, distribution, target, anchors(small, [None]), starts, settings)
    assert found.start_idx.tolist() == [1]
    assert found.psnr_db.item() > 35


def test_every_step_is_reported_and_has_its_loss(linear, project):
    told: list[int] = []
    _, found, _ = project(linear, 2, done=told.append)
    assert sum(told) == n_steps(QUICK) == found.losses.shape[1]
    assert torch.isfinite(found.losses).all()
    assert (found.losses[:, -1] < 0.1 * found.losses[:, 0]).all()


def test_a_picture_of_a_batch_is_polished_as_it_would_be_alone(small, draw):
    descent = replace(QUICK.descent, n_steps=20)
    settings = replace(QUICK, descent=descent, n_starts=1, n_polish=8)
    target = draw(small, 2)[1]
    target[0] = torch.rand(target[0].shape, generator=torch.Generator().manual_seed(1)) - 0.5
    distribution = latent_distribution(small, n_draws=2000)
    starts = start_pictures(small, [], settings)
    told: list[int] = []
    together, *alone = (
        project_batch(
            small, distribution, part, anchors(small, [None] * len(part)), starts, settings, told.append
        )
        for part in (target, target[:1], target[1:])
    )  # fmt: skip
    assert sum(told) == 3 * n_steps(settings)
    polished = together.losses[:, descent.n_steps :]
    n_polished = 1 + (polished[:, 1:] != polished[:, :-1]).sum(dim=1)
    assert n_polished[0] != n_polished[1]
    for i, one in enumerate(alone):
        torch.testing.assert_close(one.w[0], together.w[i], atol=5e-3, rtol=0)
        torch.testing.assert_close(one.losses[0], together.losses[i], atol=1e-5, rtol=1e-2)


def test_the_same_batch_gives_the_same_latents(linear, project):
    first, again = (project(linear, 2)[1].w for _ in range(2))
    torch.testing.assert_close(first, again, atol=0, rtol=0)


def test_weights_let_go_of_the_anchor_and_turn_to_the_pixels():
    descent = Descent(n_steps=100)
    first, last = descent.objective(0, 64), descent.objective(99, 64)
    assert first.anchor == pytest.approx(descent.anchor_first)
    assert last.anchor == pytest.approx(descent.anchor_last)
    assert last.spread == pytest.approx(descent.spread)
    assert len(first.pixels.factors) > 1
    assert last.pixels.factors == (1,)
    assert descent.rate_at(0) < descent.rate_at(50) == descent.rate > descent.rate_at(99)


def test_settings_left_out_are_the_defaults():
    assert projection_settings() == ProjectionSettings()
    changed = projection_settings(n_steps=30, anchor=0.01, n_starts=1, n_polish=0)
    assert (changed.descent.n_steps, changed.n_starts, changed.n_polish) == (30, 1, 0)
    assert changed.descent.anchor_last == changed.descent.anchor_first == 0.01
