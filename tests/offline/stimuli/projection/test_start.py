from __future__ import annotations

import pytest
import torch

from b2g_rt.errors import GeneratorError
from offline.stimuli.projection.start import anchors, latent_distribution


def test_whitened_latents_of_a_generator_have_unit_variance_in_every_direction(linear):
    distribution = latent_distribution(linear, shrinkage=0.0)
    w = linear.mapping(torch.randn(20_000, linear.z_dim))[:, 0]
    u = (w - linear.w_avg) @ distribution.whitening
    torch.testing.assert_close(u.T @ u / len(u), torch.eye(linear.w_dim), atol=0.06, rtol=0)
    torch.testing.assert_close(linear.w_avg + u @ distribution.scale, w, atol=1e-4, rtol=1e-4)


def test_shrinkage_leaves_no_direction_without_room(small):
    without = latent_distribution(small, n_draws=2000, shrinkage=0.0)
    shrunk = latent_distribution(small, n_draws=2000, shrinkage=0.2)
    mean_variance = without.scale.square().sum() / small.w_dim
    least = shrunk.scale.square().sum(dim=1).min()
    assert least >= 0.199 * mean_variance
    torch.testing.assert_close(shrunk.scale.square().sum(), without.scale.square().sum())


def test_a_network_with_one_w_avg_has_its_class_means_measured(with_classes):
    found = anchors(with_classes, [2, None, 0])
    z = torch.randn(4000, with_classes.z_dim)
    for row, class_id in ((0, 2), (2, 0)):
        labels = torch.full((4000,), class_id)
        expected = with_classes.mapping(z, labels)[:, 0].mean(dim=0)
        torch.testing.assert_close(found[row], expected, atol=0.15, rtol=0)
    torch.testing.assert_close(found[1], with_classes.w_avg)


def test_the_spread_within_classes_leaves_the_classes_own_means_out(with_classes):
    within = latent_distribution(with_classes, [0, 1, 2], n_draws=3000)
    overall = latent_distribution(with_classes, n_draws=3000)
    assert within.scale.square().sum() < 0.95 * overall.scale.square().sum()


@pytest.mark.parametrize(("name", "class_id"), [("with_classes", 3), ("small", 0)])
def test_a_class_that_the_network_does_not_have_is_refused(request, name, class_id):
    with pytest.raises(GeneratorError, match=f"class {class_id}: generator"):
        anchors(request.getfixturevalue(name), [class_id])


def test_a_mapping_that_ignores_z_is_refused(small):
    for parameter in small.mapping.parameters():
        torch.nn.init.zeros_(parameter)
    with pytest.raises(GeneratorError, match="does not vary with z"):
        latent_distribution(small, n_draws=100)
