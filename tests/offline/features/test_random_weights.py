from __future__ import annotations

import numpy as np
import pytest
import torch

from offline.features.random_weights import fill_randomly, seeded_construction


def network(n_blocks=2):
    blocks = [
        torch.nn.Sequential(
            torch.nn.Conv2d(8, 8, 3, padding=1), torch.nn.BatchNorm2d(8), torch.nn.ReLU()
        )
        for _ in range(n_blocks)
    ]
    return torch.nn.Sequential(*blocks)


def filled(seed, n_blocks=2):
    model = network(n_blocks)
    fill_randomly(model, seed)
    return model.state_dict()


def test_the_same_seed_gives_the_same_bits_and_another_others():
    torch.manual_seed(1)
    first = filled(3)
    torch.manual_seed(2)
    again, other = filled(3), filled(4)
    for name, tensor in first.items():
        assert torch.equal(tensor, again[name])
    assert not torch.equal(first["0.0.weight"], other["0.0.weight"])
    assert not torch.equal(first["0.0.weight"], first["1.0.weight"])


def test_the_bits_are_pinned():
    # Whoever changes how they are drawn changes all features of random networks.
    found = filled(0)["0.0.weight"].flatten()[:4].numpy()
    np.testing.assert_allclose(found, PINNED, rtol=1e-6)


PINNED = np.array(
    [-0.2613997459411621, -0.27537769079208374, 0.1672075241804123, 0.22485022246837616], np.float32
)


def test_a_layers_weights_do_not_depend_on_what_else_there_is():
    shallow, deep = filled(3, 1), filled(3, 5)
    for name, tensor in shallow.items():
        assert torch.equal(tensor, deep[name])


def test_activations_keep_their_scale_through_many_layers(rng):
    # Circular, so that no margin of zeros takes its share.
    model = torch.nn.Sequential(
        *(
            step
            for _ in range(20)
            for step in (
                torch.nn.Conv2d(64, 64, 3, padding=1, padding_mode="circular"),
                torch.nn.ReLU(),
            )
        )
    )
    fill_randomly(model, 0)
    x = torch.from_numpy(rng.standard_normal((2, 64, 8, 8)).astype(np.float32))
    with torch.inference_mode():
        power = model(x).square().mean().item()
    assert 0.3 < power < 3


def test_biases_are_0_and_normalisations_leave_their_input():
    model = network(1)
    with torch.no_grad():
        model[0][0].bias.fill_(5.0)
    fill_randomly(model, 0)
    conv, norm, _ = model[0]
    assert torch.equal(conv.bias, torch.zeros(8))
    assert torch.equal(norm.weight, torch.ones(8))


def test_what_is_on_meta_gets_memory():
    with torch.device("meta"):
        model = torch.nn.Conv2d(2, 3, 3)
    fill_randomly(model, 0)
    assert model.weight.device.type == "cpu"
    assert model.weight.std() > 0


@pytest.mark.parametrize("seed", [0, 9])
def test_building_from_a_seed_leaves_torchs_own_draws_alone(seed):
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    with seeded_construction(seed):
        drawn = torch.rand(3)
    assert torch.equal(torch.rand(3), wanted)
    with seeded_construction(seed):
        assert torch.equal(torch.rand(3), drawn)
