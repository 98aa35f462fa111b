"""Seeded random weights in a file of the published form; torchvision's own feature extractor is the reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d

from b2g_rt.errors import FeatureError
from offline.features.opening import open_network
from offline.features.preprocessing import imagenet
from offline.features.random_weights import fill_randomly
from offline.features.torchvision_operators import import_torchvision
from offline.whole_files import file_sha256

FILE = "vgg16-397923af.pth"
LAYERS = ("VGG1", "VGG2", "VGG3", "VGG4", "VGG5")


@pytest.fixture(scope="module")
def published():
    """torchvision's convolutional part with weights that differ from layer to layer, biases too."""
    models = import_torchvision().models
    with torch.device("meta"):
        part = models.vgg16(weights=None).features
    fill_randomly(part, 11)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in part.named_parameters():
            if name.endswith("bias"):
                tensor.normal_(0, 0.1, generator=generator)
    return part.eval()


def save(part, path, form="before torch 1.6"):
    """The published file is of the form before torch 1.6, and has fully connected layers, which are not read."""
    state = {f"features.{name}": tensor for name, tensor in part.state_dict().items()}
    state["classifier.0.weight"] = torch.zeros(2)
    torch.save(state, path, _use_new_zipfile_serialization=form != "before torch 1.6")
    return path


def pooling_outputs(part, pictures):
    """The five pooling outputs as torchvision extracts them, of pictures as its transforms make them."""
    import_torchvision()
    from torchvision.models import vgg16
    from torchvision.models.feature_extraction import create_feature_extractor
    from torchvision.transforms import Compose, Normalize, Resize, ToTensor

    with torch.device("meta"):
        whole = vgg16(weights=None)
    whole.features, whole.classifier = part, torch.nn.Identity()
    nodes = {f"features.{at}": name for at, name in zip((4, 9, 16, 23, 30), LAYERS, strict=True)}
    extractor = create_feature_extractor(whole.eval(), nodes)
    seen = Compose(
        [
            Resize(224),
            ToTensor(),
            Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]),
        ]
    )
    from PIL.Image import fromarray

    with torch.inference_mode():
        found = extractor(torch.stack([seen(fromarray(p)) for p in pictures]))
    return {name: value.numpy() for name, value in found.items()}


def test_the_five_layers_are_the_pooling_outputs_the_first_two_halved(
    published, photographs, caches
):
    save(published, caches[0] / FILE)
    pictures = photographs[:1]
    network = open_network("vgg16", device="cpu")
    assert network.layers == LAYERS
    found = network.features(pictures)
    wanted = pooling_outputs(published, pictures)
    shapes = [(64, 56, 56), (128, 28, 28), (256, 28, 28), (512, 14, 14), (512, 7, 7)]
    assert [network.shape(layer) for layer in LAYERS] == shapes
    kernel = np.full((2, 2), np.exp(-1.0))
    for layer in ("VGG1", "VGG2"):
        maps = wanted[layer][0]
        halves = [convolve2d(m, kernel, mode="same")[::2, ::2] for m in maps]
        wanted[layer] = np.array(halves)[None]
    for layer, shape in zip(LAYERS, shapes, strict=True):
        assert found[layer].dtype == np.float32
        assert found[layer].shape == (1, np.prod(shape))
        sd = wanted[layer].std()
        np.testing.assert_allclose(found[layer], wanted[layer].reshape(1, -1), atol=1e-4 * sd)


@pytest.mark.parametrize("form", ["before torch 1.6", "archive"])
def test_a_file_by_its_path_gives_the_very_features_of_the_named_weights(
    published, photographs, caches, tmp_path, form
):
    save(published, caches[0] / FILE)
    by_name = open_network("vgg16", device="cpu", side=32)
    mine = save(published, tmp_path / "mine.pth", form)
    by_path = open_network("vgg16", weights=mine, device="cpu", side=32)
    named, given = by_name.features(photographs), by_path.features(photographs)
    for layer in LAYERS:
        np.testing.assert_array_equal(named[layer], given[layer])
    told = by_name.provenance["weights"], by_path.provenance["weights"]
    assert told[0] == {"file": FILE, "sha256": file_sha256(caches[0] / FILE)}
    assert told[1] == {"file": "mine.pth", "sha256": file_sha256(mine)}
    # They are of these weights: the very numbers, run by hand.
    with torch.inference_mode():
        wanted = published(imagenet(32).batch(photographs))
    np.testing.assert_allclose(named["VGG5"], wanted.flatten(1), rtol=1e-4, atol=1e-5)


def test_random_weights_need_no_file_are_said_and_the_same_for_the_same_seed(photographs, caches):
    one, again, other = (
        open_network("vgg16", device="cpu", side=32, random_seed=seed) for seed in (1, 1, 2)
    )
    found = one.features(photographs)
    for layer, values in again.features(photographs).items():
        np.testing.assert_array_equal(values, found[layer])
    assert not np.array_equal(other.features(photographs)["VGG1"], found["VGG1"])
    assert one.provenance["weights"]["random_seed"] == 1
    assert "file" not in one.provenance["weights"]
    # Neither vanishing nor growing, and no two pictures the same.
    for values in found.values():
        assert 0.1 < values.std() < 10
        assert not np.array_equal(values[0], values[1])


def test_only_the_layers_asked_for_are_read_and_they_are_the_same(published, photographs, caches):
    save(published, caches[0] / FILE)
    wanted = open_network("vgg16", device="cpu", side=32).features(photographs)
    network = open_network("vgg16", device="cpu", side=32, layers=["VGG4", "VGG1"])
    assert network.layers == ("VGG1", "VGG4")
    found = network.features(photographs)
    assert list(found) == ["VGG1", "VGG4"]
    for layer, values in found.items():
        np.testing.assert_array_equal(values, wanted[layer])


def test_missing_weights_are_one_line(caches):
    with pytest.raises(FeatureError) as error:
        open_network("vgg16", device="cpu")
    line = str(error.value)
    assert line.startswith(f"network 'vgg16': no file {caches[0] / FILE}, expected torchvision's")
    assert f"run curl -fL --create-dirs -o {caches[0] / FILE} https://" in line
    assert "\n" not in line


def test_the_weights_of_vgg11_are_refused(caches, tmp_path):
    with torch.device("meta"):
        part = import_torchvision().models.vgg11(weights=None).features
    fill_randomly(part, 0)
    with pytest.raises(FeatureError, match="vgg16': .*tensors are missing"):
        open_network("vgg16", weights=save(part, tmp_path / "w.pth"), device="cpu")


def test_a_picture_too_small_for_five_poolings_is_one_line(caches):
    with pytest.raises(FeatureError, match="it does not run on pictures of its input's size") as e:
        open_network("vgg16", random_seed=0, device="cpu", side=16)
    assert "\n" not in str(e.value)
