from __future__ import annotations

import torch

from offline.stimuli.distilled.latent_mapping import bent
from offline.stimuli.distilled.training_network import TrainingNetwork, baked
from offline.stimuli.faces.face_parameters import PARAMETERS

N = len(PARAMETERS)


def _reading(seed=0):
    """Mean and reading of a latent space of 512 whose parameters are standard normal."""
    generator = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(512, N, generator=generator))
    return torch.randn(512, generator=generator), q.t() * 1.1


def test_the_baked_generator_draws_from_w_what_the_network_draws_from_its_parameters(tiny):
    network = TrainingNetwork(tiny)
    with torch.no_grad():
        network.synthesis.input.affine.weight.normal_()  # zero at the beginning
    mean, reading = _reading()
    parameters = torch.randn(4, N)
    # Orthonormal rows times 1.1: this w is read as the bent parameters.
    w = mean + bent(parameters) @ reading / 1.1**2
    generator = baked(network, mean, reading)
    with torch.no_grad():
        found = generator.synthesis(w.unsqueeze(1))
        expected = network(parameters, 32)
    assert float((found - expected).abs().max() / expected.std()) < 2e-4
    assert generator.spec == tiny.specification()


def test_layers_begin_with_activations_of_unit_power(tiny):
    network = TrainingNetwork(tiny)
    parameters = bent(torch.randn(16, N, generator=torch.Generator().manual_seed(3)) * 0.8)
    with torch.no_grad():
        x = network.synthesis.input(parameters)
        for layer in network.synthesis.layers:
            power = float(x.square().mean() / layer.magnitude_ema)
            assert 0.6 < power < 1.6
            x = layer(x, parameters)


def test_each_phase_draws_at_its_size_and_trains_only_what_exists(tiny):
    network = TrainingNetwork(tiny)
    for i, phase in enumerate(tiny.phases):
        network.zero_grad()
        picture = network(torch.randn(2, N), phase.rate)
        assert picture.shape == (2, 3, phase.rate, phase.rate)
        picture.square().mean().backward()
        trained = {name for name, p in network.named_parameters() if p.grad is not None}
        layers = [layer.spec for layer in network.synthesis.layers]
        whole = phase.rate == tiny.phases[-1].rate
        for layer in layers:
            exists = whole or layer.out_sampling_rate <= phase.rate and not layer.is_torgb
            assert (f"synthesis.{layer.name}.weight" in trained) == exists, (i, layer.name)
        assert any(name.startswith("heads.") for name in trained) != whole


def test_the_same_plan_begins_with_the_same_weights_whatever_was_drawn_before(tiny):
    first = TrainingNetwork(tiny).state_dict()
    torch.randn(100)
    for name, value in TrainingNetwork(tiny).state_dict().items():
        assert torch.equal(value, first[name])
