"""Seeded random weights in files of the published names; a network whose library is not installed is skipped."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest
import torch

from b2g_rt.errors import SetupError
from offline.evaluation.feature_networks import (
    missing_networks,
    open_distance,
    open_network,
)
from offline.evaluation.image_metrics import resized
from offline.evaluation.published_networks import NETWORKS

NETWORK_NAMES = [name for name, spec in NETWORKS.items() if spec.layers]
DISTANCE_NAMES = [name for name, spec in NETWORKS.items() if not spec.layers]


def skip_without_library(name, folder):
    """Skip where a library is not installed, or is a release that this torch cannot load."""
    line = missing_networks(folder).get(name, "")
    if "is not installed" in line or "cannot be imported" in line:
        pytest.skip(line)


def random_network(name):
    """The library's network with seeded random weights."""
    torch.manual_seed(7)
    if name == "clip":
        open_clip = importlib.import_module("open_clip")
        return open_clip.create_model("ViT-L-14-quickgelu", pretrained=None)
    models = importlib.import_module("torchvision.models")
    if name == "inception":
        return models.inception_v3(weights=None, init_weights=False)
    return getattr(models, {"lpips": "alexnet", "dists": "vgg16"}.get(name, name))(weights=None)


@pytest.fixture
def weights(tmp_path):
    """Return a function that writes a network's random weights and gives folder and network."""

    def write(name):
        skip_without_library(name, tmp_path)
        file = tmp_path / NETWORKS[name].weights
        model = random_network(name).eval()
        if name == "clip":
            importlib.import_module("safetensors.torch").save_file(model.state_dict(), file)
        else:
            state = model.state_dict()
            if name in ("vgg16", "alexnet"):
                # The published files have fully connected layers too; these are never read.
                state = {k: v for k, v in state.items() if k.startswith("features.")}
                state["classifier.0.weight"] = torch.zeros(2)
            torch.save(state, file)
        return tmp_path, model

    return write


@pytest.fixture
def pictures(rng):
    return rng.integers(0, 256, (3, 48, 48, 3)).astype(np.uint8)


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
        assert len(found) == 3
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
    assert near.shape == (3,)
    assert (0 < near).all()
    assert (near < far).all()
    # One by one they are what they are together.
    alone = distance.distances(little[1:2], pictures[1:2])
    np.testing.assert_allclose(alone, near[1:2], rtol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_missing_library_or_file_is_one_line_that_says_what_to_do(tmp_path, name):
    line = missing_networks(tmp_path)[name]
    assert "\n" not in line
    assert line.startswith(f"feature metric '{name}': ")
    to_do = ("pip install", "Install the one", str(tmp_path / NETWORKS[name].weights))
    assert any(text in line for text in to_do)
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
    skip_without_library(name, tmp_path)
    (tmp_path / NETWORKS[name].weights).write_bytes(content)
    opener = open_network if NETWORKS[name].layers else open_distance
    with pytest.raises(SetupError, match="expected") as error:
        opener(name, tmp_path)
    assert "\n" not in str(error.value)
    assert NETWORKS[name].weights in str(error.value)


def test_weights_of_another_network_are_refused(tmp_path):
    skip_without_library("alexnet", tmp_path)
    models = importlib.import_module("torchvision.models")
    state = models.squeezenet1_1(weights=None).state_dict()
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
