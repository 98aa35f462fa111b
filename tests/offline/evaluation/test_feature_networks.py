"""Seeded random weights in files of the published names and forms."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from b2g_rt.errors import SetupError
from offline.evaluation.feature_networks import (
    missing_networks,
    open_distance,
    open_network,
)
from offline.evaluation.image_metrics import resized
from offline.evaluation.published_networks import NETWORKS
from offline.features.random_weights import fill_randomly
from offline.features.torchvision_operators import import_torchvision

VGG16 = "vgg16-397923af.pth"
NETWORK_NAMES = [name for name, spec in NETWORKS.items() if spec.layers]
DISTANCE_NAMES = [name for name, spec in NETWORKS.items() if not spec.layers]


def random_network(spec):
    """The library's network with seeded random weights."""
    models = import_torchvision().models
    torch.manual_seed(7)
    if spec.name == "clip":
        import open_clip

        return open_clip.create_model(spec.model, pretrained=None)
    if spec.name == "inception":
        return models.inception_v3(weights=None, init_weights=False)
    with torch.device("meta"):
        model = getattr(models, {"lpips": "alexnet"}.get(spec.name, spec.model))(weights=None)
    fill_randomly(model.features, 7)
    return model


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """Return a function that writes a network's random weights and gives folder and network."""

    def write(name):
        # A smaller network of the same form: 43 million weights instead of 428.
        monkeypatch.setitem(NETWORKS, "clip", replace(NETWORKS["clip"], model="ViT-S-32-alt"))
        spec = NETWORKS[name]
        file = tmp_path / spec.weights
        model = random_network(spec).eval()
        if name == "clip":
            save_file(model.state_dict(), file)
            return tmp_path, model
        # The published files have fully connected layers too, most of their size; here they are one number, repeated.
        state = {
            key: torch.zeros(1).expand(tensor.shape) if key.startswith("classifier.") else tensor
            for key, tensor in model.state_dict().items()
        }
        # The published VGG16 is of the form before torch 1.6.
        torch.save(state, file, _use_new_zipfile_serialization=spec.weights != VGG16)
        return tmp_path, model

    return write


@pytest.fixture
def pictures(rng):
    return rng.integers(0, 256, (2, 48, 48, 3)).astype(np.uint8)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", NETWORK_NAMES)
def test_layers_are_those_of_the_librarys_network(weights, pictures, name):
    folder, model = weights(name)
    spec = NETWORKS[name]
    network = open_network(name, folder)
    x = (resized(pictures, spec.side) - np.array(spec.mean, np.float32)) / np.array(
        spec.sd, np.float32
    )
    batch = torch.from_numpy(x.transpose(0, 3, 1, 2).copy())
    for layer in spec.layers:
        found = network.features(pictures, layer)
        assert found.dtype == np.float32
        assert len(found) == 2
        with torch.inference_mode():
            wanted = through(name, model, batch, spec.layers[layer])
        np.testing.assert_allclose(found, wanted.flatten(1).numpy(), rtol=1e-4, atol=1e-5)
        assert len(np.unique(found[0])) > 1


def through(name, model, batch, at):
    """Run the network by hand up to a layer."""
    if name == "clip":
        return model.encode_image(batch)
    if name == "inception":
        model.transform_input = True
        model.fc = torch.nn.Identity()
        return model(batch)
    for step in model.features[: int(at) + 1]:
        batch = step(batch)
    return batch


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", DISTANCE_NAMES)
def test_a_distance_is_0_for_equal_pictures_and_grows_with_noise(weights, pictures, rng, name):
    folder, _ = weights(name)
    hub = torch.hub.get_dir()
    distance = open_distance(name, folder)
    assert torch.hub.get_dir() == hub
    little, much = (
        np.clip(pictures + rng.normal(0, sd, pictures.shape), 0, 255).astype(np.uint8)
        for sd in (5, 80)
    )
    np.testing.assert_allclose(distance.distances(pictures, pictures), 0.0, atol=1e-5)
    near, far = distance.distances(little, pictures), distance.distances(much, pictures)
    assert near.shape == (2,)
    assert (0 < near).all()
    assert (near < far).all()
    # One by one they are what they are together.
    alone = distance.distances(little[1:2], pictures[1:2])
    np.testing.assert_allclose(alone, near[1:2], rtol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_missing_file_is_one_line_that_says_what_belongs_where(tmp_path, name):
    line = missing_networks(tmp_path)[name]
    assert "\n" not in line
    assert line.startswith(f"feature metric '{name}': no file {tmp_path / NETWORKS[name].weights}")
    opener = open_network if NETWORKS[name].layers else open_distance
    with pytest.raises(SetupError) as error:
        opener(name, tmp_path)
    assert str(error.value) == line


@pytest.mark.parametrize("name", NETWORKS)
def test_a_library_that_is_not_there_is_named(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, NETWORKS[name].modules[0], None)
    line = missing_networks(tmp_path)[name]
    assert f"{NETWORKS[name].modules[0]} is not installed" in line
    assert f"pip install {NETWORKS[name].packages}." in line


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    "content", [b"", b"<html>404</html>", b"PK\x03\x04"], ids=["empty", "html", "cut"]
)
def test_a_file_that_is_none_is_one_line(tmp_path, name, content):
    (tmp_path / NETWORKS[name].weights).write_bytes(content)
    opener = open_network if NETWORKS[name].layers else open_distance
    with pytest.raises(SetupError, match="expected") as error:
        opener(name, tmp_path)
    assert "\n" not in str(error.value)
    assert NETWORKS[name].weights in str(error.value)


def test_weights_of_another_network_are_refused(tmp_path):
    state = import_torchvision().models.squeezenet1_1(weights=None).state_dict()
    torch.save(state, tmp_path / NETWORKS["alexnet"].weights)
    with pytest.raises(SetupError, match="cannot be loaded"):
        open_network("alexnet", tmp_path)


def test_a_distance_is_no_network_and_an_unknown_name_lists_the_known(tmp_path):
    with pytest.raises(SetupError, match="'lpips': unknown, expected one of vgg16, alexnet"):
        open_network("lpips", tmp_path)
    with pytest.raises(SetupError, match="'vgg': unknown, expected one of lpips, dists"):
        open_distance("vgg", tmp_path)


def test_the_preprocessing_is_stated():
    for spec in NETWORKS.values():
        assert f"{spec.side} px" in spec.preprocessing


def test_the_clip_of_metrics_has_the_activation_that_openais_weights_need():
    import_torchvision()
    import open_clip

    assert open_clip.get_model_config(NETWORKS["clip"].model)["quick_gelu"]


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("name", ["vgg16", "alexnet", "inception", "lpips", "dists"])
def test_nothing_in_a_file_is_executed(tmp_path, name):
    bomb = Bomb(str(tmp_path / "exploded"))
    torch.save({"features.0.weight": bomb}, tmp_path / NETWORKS[name].weights)
    opener = open_network if NETWORKS[name].layers else open_distance
    with pytest.raises(SetupError, match="cannot be loaded"):
        opener(name, tmp_path)
    assert not (tmp_path / "exploded").exists()
