from __future__ import annotations

import sys

import pytest

from b2g_rt.errors import FeatureError, ProviderError, SetupError
from offline.features.opening import LIBRARIES, NETWORKS, open_network


@pytest.mark.parametrize("name", ["", "vgg", "resnet18", "timm:", "keras:vgg16", "VGG16"])
def test_an_unknown_name_lists_the_known_ones(name):
    with pytest.raises(FeatureError) as error:
        open_network(name)
    line = str(error.value)
    assert line.startswith(f"network '{name}': unknown, expected one of vgg16, vgg-face, clip")
    for known in (*NETWORKS, *LIBRARIES.values()):
        assert known in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("name", "options", "line"),
    [
        ("vgg16", {"weights": "w.pth", "random_seed": 1}, "expected one of them"),
        ("vgg16", {"paper": True, "random_seed": 1}, "expected only with vgg-face"),
        ("vgg16", {"layers": [], "random_seed": 1}, "no layer is named"),
        ("vgg16", {"layers": ["VGG6"], "random_seed": 1}, "no layer 'VGG6', expected some of VGG1"),
        ("vgg16", {"side": 0, "random_seed": 1}, "a side of 0 px"),
        ("clip", {"side": 224, "random_seed": 1}, "Leave out --side"),
    ],
)
def test_options_that_contradict_the_network_are_one_line(name, options, line):
    with pytest.raises(FeatureError, match=line) as error:
        open_network(name, **options)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"network '{name}': ")


def test_a_device_that_is_not_there_is_an_error_and_no_fallback():
    with pytest.raises(ProviderError, match="--device cuda:99"):
        open_network("vgg16", random_seed=0, side=32, device="cuda:99")


@pytest.mark.parametrize(
    ("name", "library"),
    [("vgg16", "torchvision"), ("timm:resnet18", "timm"), ("efficientnet-lite0", "timm")],
)
def test_a_library_that_is_not_installed_is_named(monkeypatch, name, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(SetupError, match=f"{library} is not installed") as error:
        open_network(name, random_seed=0)
    assert "pip install 'b2g-rt[networks]'" in str(error.value)


def test_importing_the_door_imports_neither_torch_nor_a_library():
    import subprocess

    code = (
        "import sys, offline.features.opening\n"
        "print([m for m in ('torch', 'torchvision', 'timm', 'open_clip') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_vgg_face_is_opened_by_name_with_the_papers_order_of_colours_only_when_asked(photographs):
    published, notebook = (
        open_network("vgg-face", device="cpu", random_seed=0, side=32, layers=["VGG1"], paper=paper)
        for paper in (False, True)
    )
    assert published.layers == notebook.layers == ("VGG1",)
    a, b = (n.features(photographs[:1])["VGG1"] for n in (published, notebook))
    assert abs(a - b).max() > 1e-3 * abs(a).max()


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_any_model_of_open_clip_is_opened_by_name(photographs):
    network = open_network("open_clip:RN50/openai", device="cpu", random_seed=0)
    assert network.name == "open_clip:RN50/openai"
    assert network.features(photographs[:1])[network.layers[0]].shape == (1, 1024)
    with pytest.raises(FeatureError, match="expected CLIP"):
        open_network("open_clip:RN50/openai", device="cpu", random_seed=0, layers=["VGG1"])
