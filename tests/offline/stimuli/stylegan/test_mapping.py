"""z to w: the originals' values, truncation toward every kind of centre, classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.offline.stimuli.golden_networks import NAMES, golden, golden_generator


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("psi", [1.0, 0.7])
def test_w_is_the_originals(name, psi):
    one = golden(name)
    with torch.no_grad():
        w = golden_generator(name).mapping(one.z, one.classes, psi)
    expected = one.arrays[f"w_psi{psi}"]
    assert w.shape == expected.shape
    np.testing.assert_allclose(w.numpy(), expected, atol=2e-5 * expected.std())


@pytest.mark.parametrize("name", NAMES)
def test_psi_0_is_the_average_itself(name):
    one = golden(name)
    mapping = golden_generator(name).mapping
    with torch.no_grad():
        w = mapping(one.z, one.classes, 0.0)
    centre = mapping.w_avg if one.classes is None else mapping.w_avg[one.classes]
    expected = centre.expand(len(one.z), -1).unsqueeze(1).expand_as(w)
    torch.testing.assert_close(w, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_psi_1_is_bit_for_bit_w_without_truncation(name):
    one = golden(name)
    mapping = golden_generator(name).mapping
    with torch.no_grad():
        w = mapping(one.z, one.classes, 1.0)
        assert torch.equal(w[:, 3], mapping.untruncated(one.z, one.classes))


def test_psi_may_be_a_tensor():
    one = golden("sg3t")
    mapping = golden_generator("sg3t").mapping
    with torch.no_grad():
        assert torch.equal(mapping(one.z, None, torch.tensor(0.5)), mapping(one.z, None, 0.5))


@pytest.mark.parametrize("cutoff", [0, 1, 8, 16, 99])
def test_only_the_rows_before_the_cutoff_are_truncated(cutoff):
    one = golden("sg3t")
    mapping = golden_generator("sg3t").mapping
    with torch.no_grad():
        w = mapping(one.z, None, 0.3, cutoff)
        near, far = mapping(one.z, None, 0.3), mapping(one.z, None, 1.0)
    assert w.shape == (4, 16, 512)
    assert torch.equal(w[:, :cutoff], near[:, :cutoff])
    assert torch.equal(w[:, cutoff:], far[:, cutoff:])


@pytest.mark.parametrize("name", NAMES)
def test_each_sample_goes_toward_its_nearest_centroid(name):
    one = golden(name)
    mapping = golden_generator(name).mapping
    with torch.no_grad():
        w = mapping(one.z, one.classes, 1.0)[:, 0]
        # Each sample's own centroid lies near it, in an order that is not theirs.
        centroids = torch.stack([w[2], w[0], w[3], w[1]]) + 0.01 * w.std()
        found = mapping(one.z, one.classes, 0.25, centroids=centroids)[:, 0]
    own = centroids[torch.tensor([1, 3, 0, 2])]
    torch.testing.assert_close(found, own + 0.25 * (w - own), atol=1e-5, rtol=0)


def test_classes_change_w_and_their_own_average():
    one = golden("sgxl")
    mapping = golden_generator("sgxl").mapping
    with torch.no_grad():
        a = mapping(one.z, torch.tensor([0, 0, 0, 0]), 0.7)
        b = mapping(one.z, torch.tensor([1, 1, 1, 1]), 0.7)
    assert (a - b).abs().max() > 0.01


def test_a_network_with_classes_asks_for_them():
    with pytest.raises(ValueError, match="no class_id"):
        golden_generator("sgxl").mapping(golden("sgxl").z)


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_does_not_depend_on_the_rest_of_its_batch(name):
    one = golden(name)
    mapping = golden_generator(name).mapping
    with torch.no_grad():
        whole = mapping(one.z, one.classes, 0.7)
        for i in range(len(one.z)):
            classes = None if one.classes is None else one.classes[i : i + 1]
            alone = mapping(one.z[i : i + 1], classes, 0.7)
            torch.testing.assert_close(alone[0], whole[i], atol=1e-5, rtol=1e-5)


def test_a_linear_class_embedding_is_concatenated_after_z():
    # StyleGAN3 with classes: no golden file, so the formula is written out once more.
    from offline.stimuli.stylegan.generator import Generator
    from offline.stimuli.stylegan.schedule import Widths, stylegan3

    torch.manual_seed(0)
    mapping = Generator(stylegan3("c", Widths(16, 64, 4), z_dim=8, n_classes=5, w_dim=6)).mapping
    z, classes = torch.randn(3, 8), torch.tensor([4, 0, 2])

    def normalised(x):
        return x / (x.pow(2).mean(1, keepdim=True) + 1e-8).sqrt()

    own = mapping.state_dict()
    embedded = own["embed.weight"].t()[classes] / 5**0.5 + own["embed.bias"]
    x = torch.cat([normalised(z), normalised(embedded)], 1)
    for i in (0, 1):
        weight = own[f"fc{i}.weight"].t() * 0.01 / x.shape[1] ** 0.5
        x = x @ weight + own[f"fc{i}.bias"] * 0.01
        x = torch.where(x > 0, x, 0.2 * x) * 2**0.5
    torch.testing.assert_close(mapping(z, classes)[:, 2], x, atol=1e-5, rtol=1e-4)
