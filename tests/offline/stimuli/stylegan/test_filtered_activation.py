from __future__ import annotations

import pytest
import torch

from offline.stimuli.stylegan.filtered_activation import (
    FilteredActivation,
    fusable,
    use_fused_activations,
)
from offline.stimuli.stylegan.generator import Generator
from offline.stimuli.stylegan.schedule import Widths, stylegan3
from offline.stimuli.stylegan.synthesis import SynthesisLayer

pytest.importorskip("numba")

T = stylegan3("t", Widths(32, 512, 20, n_layers=8, margin=4))
T1 = stylegan3("t1", Widths(32, 512, 20, n_layers=8, margin=7, conv_kernel=1))
LAYERS = [layer for spec in (T, T1) for layer in spec.layers[:-1]]


def _both(spec, batch=2, scale=1.0, seed=0):
    """Pictures and gradients, plain and fused."""
    torch.manual_seed(seed)
    layer = SynthesisLayer(spec, 4)
    size = spec.in_size + spec.conv_kernel - 1
    found = []
    x = torch.randn(batch, spec.out_channels, size, size) * scale
    for fused in (False, True):
        activation = FilteredActivation(spec)
        activation.fused = fused
        leaf = x.clone().requires_grad_()
        y = activation(leaf, layer.up_filter, layer.down_filter)
        torch.manual_seed(1)
        y.backward(torch.randn(y.shape))
        found.append((y.detach(), leaf.grad))
    return found


def _error(a, b):
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("spec", LAYERS, ids=lambda spec: f"{spec.name}k{spec.conv_kernel}")
def test_one_pass_gives_the_plain_pictures_and_gradients(spec):
    assert fusable(spec)
    (plain, plain_grad), (fused, fused_grad) = _both(spec)
    assert fused.shape == plain.shape
    assert float((fused - plain).abs().max() / plain.std()) < 1e-5
    # A sample within rounding of the kink may fall on its other side: the norm, not the largest error.
    assert _error(fused_grad, plain_grad) < 1e-3


def test_layers_that_go_up_by_2_and_by_4_are_both_among_them():
    assert {layer.up_factor for layer in LAYERS} == {2, 4}
    assert any(layer.out_channels % 16 for layer in LAYERS)


def test_the_clamp_holds_in_one_pass_and_stops_the_gradient():
    (plain, plain_grad), (fused, fused_grad) = _both(LAYERS[4], scale=400.0)
    unclamped = _both(LAYERS[4], scale=1.0)[0][0] * 400.0
    assert _error(unclamped, plain) > 0.1
    assert _error(fused, plain) < 1e-5
    assert _error(fused_grad, plain_grad) < 1e-2


def test_the_gradient_is_the_derivative_of_the_pass():
    spec = LAYERS[3]
    torch.manual_seed(0)
    layer = SynthesisLayer(spec, 4)
    layer.activate.fused = True
    x = torch.randn(1, spec.out_channels, spec.in_size + 2, spec.in_size + 2, requires_grad=True)
    direction = torch.randn_like(x)
    weight = torch.randn(1, spec.out_channels, spec.out_size, spec.out_size)

    def value(at):
        return (layer.activate(at, layer.up_filter, layer.down_filter) * weight).sum()

    value(x).backward()
    assert x.grad is not None
    slope = float((x.grad * direction).sum())
    step = 1e-3
    with torch.no_grad():
        measured = float(value(x + step * direction) - value(x - step * direction)) / (2 * step)
    assert measured == pytest.approx(slope, rel=2e-2, abs=0.5)


def test_a_radial_filter_and_the_last_layer_stay_plain():
    radial = stylegan3("r", Widths(32, 512, 16, n_layers=8, conv_kernel=1, radial=True))
    assert [fusable(layer) for layer in radial.layers] == [False] * 6 + [True, True, False]


def test_a_whole_network_draws_and_learns_the_same_with_fused_activations():
    torch.manual_seed(0)
    generator = Generator(T)
    w = torch.randn(2, 1, 512)
    grads, pictures = [], []
    for fused in (False, True):
        assert use_fused_activations(generator, fused=fused)
        generator.zero_grad()
        picture = generator.synthesis(w)
        picture.square().mean().backward()
        pictures.append(picture.detach())
        grads.append(torch.cat([p.grad.flatten() for p in generator.synthesis.parameters()]))
    assert _error(pictures[1], pictures[0]) < 1e-5
    assert _error(grads[1], grads[0]) < 1e-3
