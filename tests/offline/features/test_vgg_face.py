from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file, save_file
from scipy.signal import convolve2d

from b2g_rt.errors import FeatureError, ProviderError
from offline.features.vgg_face import LAYERS, open_vgg_face, write_safetensors
from tests.offline.features.torch7_file import Module, Storage, Tensor, write_torch7
from tests.offline.features.vgg_face_file import as_torch, vgg_face

SIDE = 64


@pytest.fixture(scope="module")
def original():
    """What a file in the original's layout says."""
    return vgg_face()


@pytest.fixture(scope="module")
def file(original, tmp_path_factory):
    return write_torch7(tmp_path_factory.mktemp("vgg-face") / "VGG_FACE.t7", original)


@pytest.fixture(scope="module")
def converted(file):
    out = file.with_name("vgg-face.safetensors")
    write_safetensors(file, out)
    return out


@pytest.fixture(scope="module")
def pictures():
    """Two pictures whose colours differ strongly, so that exchanging them cannot pass unseen."""
    rng = np.random.default_rng(1)
    colours = np.array([[250, 120, 10], [20, 90, 230]], np.uint8)[:, None, None]
    noise = rng.integers(0, 25, (2, 90, 90, 3), dtype=np.uint8)
    return list((colours - colours // 10 + noise // 4).astype(np.uint8))


def by_hand(original, picture, mean, *, bgr):
    """Five layers of one picture by PIL, numpy, scipy and torch's own modules."""
    resized = Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    channels = np.asarray(resized, np.float64)[..., :: -1 if bgr else 1]
    x = torch.from_numpy((channels - mean).transpose(2, 0, 1)[None].copy()).float()
    layers = []
    with torch.inference_mode():
        for block in as_torch(original):
            x = block(x)
            layers.append(x[0].numpy().astype(np.float64))
    kernel = np.full((2, 2), math.exp(-1))
    for k in (0, 1):
        layers[k] = np.stack([convolve2d(m, kernel, "same")[::2, ::2] for m in layers[k]])
    return dict(zip(LAYERS, layers, strict=True))


MEAN_BGR = (93.5940, 104.7624, 129.1863)


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * expected.std())


def test_five_layers_are_those_of_torchs_own_modules_on_bgr_minus_its_mean(
    original, file, pictures
):
    network = open_vgg_face(file, "cpu", side=SIDE)
    found = network.features(pictures)
    assert tuple(found) == network.layers == LAYERS
    for row, picture in enumerate(pictures):
        expected = by_hand(original, picture, MEAN_BGR, bgr=True)
        for layer in LAYERS:
            assert expected[layer].shape == network.shape(layer)
            assert found[layer].dtype == np.float32
            assert_close(found[layer][row], expected[layer].ravel())


def test_the_notebooks_way_is_another_and_only_on_request(original, file, pictures):
    found = open_vgg_face(file, "cpu", side=SIDE, paper=True).features(pictures)
    for row, picture in enumerate(pictures):
        expected = by_hand(original, picture, MEAN_BGR, bgr=False)
        for layer in LAYERS:
            assert_close(found[layer][row], expected[layer].ravel())
    usual = open_vgg_face(file, "cpu", side=SIDE).features(pictures)
    for layer in LAYERS:
        assert np.abs(usual[layer] - found[layer]).mean() > 0.05 * usual[layer].std()
    swapped = [np.ascontiguousarray(p[..., ::-1]) for p in pictures]
    again = open_vgg_face(file, "cpu", side=SIDE, paper=True).features(swapped)
    for layer in LAYERS:
        np.testing.assert_array_equal(again[layer], usual[layer])


def test_the_published_sizes_are_the_papers():
    network = open_vgg_face(device="cpu", random_seed=0)
    assert [network.shape(layer) for layer in LAYERS] == [
        (64, 56, 56),
        (128, 28, 28),
        (256, 28, 28),
        (512, 14, 14),
        (512, 7, 7),
    ]
    found = network.features([np.zeros((10, 10, 3), np.uint8)])
    for layer in LAYERS:
        assert found[layer].shape == (1, math.prod(network.shape(layer)))


def test_the_safetensors_form_gives_the_very_same_features(file, converted, pictures):
    one, other = (open_vgg_face(path, "cpu", side=SIDE) for path in (file, converted))
    found, again = one.features(pictures), other.features(pictures)
    for layer in LAYERS:
        np.testing.assert_array_equal(found[layer], again[layer])
    told, told_again = one.provenance["weights"], other.provenance["weights"]
    assert told["convolutions_sha256"] == told_again["convolutions_sha256"]
    assert told["file"] == "VGG_FACE.t7"
    assert told["sha256"] != told_again["sha256"]


def test_weights_of_four_dimensions_are_read_as_those_of_two(tmp_path, file, converted):
    four = write_torch7(tmp_path / "four.t7", vgg_face(flat=False))
    write_safetensors(four, tmp_path / "four.safetensors")
    expected = load_file(converted)
    for key, values in load_file(tmp_path / "four.safetensors").items():
        np.testing.assert_array_equal(values, expected[key])


def test_sequences_within_sequences_are_read_in_their_place(tmp_path, original, converted):
    modules = original.fields["modules"]
    inner = [Module("nn.Sequential", {"modules": modules[k : k + 8]}) for k in range(0, 32, 8)]
    path = write_torch7(
        tmp_path / "nested.t7", Module("nn.Sequential", {"modules": [*inner, *modules[32:]]})
    )
    write_safetensors(path, tmp_path / "nested.safetensors")
    np.testing.assert_array_equal(
        load_file(tmp_path / "nested.safetensors")["conv5_3.weight"],
        load_file(converted)["conv5_3.weight"],
    )


def test_fully_connected_modules_stay_in_the_file(tmp_path, original):
    # As large as the original's first one: 411 MB, of which no byte is written or read.
    hole = Tensor(Storage(np.zeros(0, "f4")), (0, 25088), (25088, 1))
    linear = Module("nn.Linear", {"weight": hole})
    path = write_torch7(
        tmp_path / "large.t7",
        Module("nn.Sequential", {"modules": [*original.fields["modules"][:31], linear]}),
    )
    raw = path.read_bytes()
    with path.open("wb") as out:
        size = 4096 * 25088
        out.write(raw[:-8] + size.to_bytes(8, "little"))
        out.truncate(len(raw) + 4 * size)
    tracemalloc.start()
    try:
        open_vgg_face(path, "cpu", side=SIDE)
        assert tracemalloc.get_traced_memory()[1] < 200 << 20
    finally:
        tracemalloc.stop()


def test_a_seed_gives_the_same_numbers_again_and_says_so(pictures):
    one, again, other = (open_vgg_face(device="cpu", random_seed=s, side=32) for s in (5, 5, 6))
    found = one.features(pictures)
    for layer in LAYERS:
        np.testing.assert_array_equal(found[layer], again.features(pictures)[layer])
        assert 0.05 < found[layer].std() / found["VGG1"].std() < 20
    assert not np.array_equal(found["VGG5"], other.features(pictures)["VGG5"])
    assert one.provenance["weights"]["random_seed"] == 5
    assert one.provenance == again.provenance != other.provenance


def test_some_layers_are_the_same_as_of_all(pictures):
    everything = open_vgg_face(device="cpu", random_seed=1, side=32).features(pictures)
    network = open_vgg_face(device="cpu", random_seed=1, side=32, layers=["VGG3", "VGG1"])
    found = network.features(pictures)
    assert tuple(found) == network.layers == ("VGG1", "VGG3")
    for layer in found:
        np.testing.assert_array_equal(found[layer], everything[layer])


def test_a_folder_stands_for_the_original_in_it(file):
    told = open_vgg_face(file.parent, "cpu").provenance["weights"]
    assert told == open_vgg_face(file, "cpu").provenance["weights"]


def test_provenance_tells_the_order_of_colours(file):
    usual, paper = (open_vgg_face(file, "cpu", paper=p).provenance for p in (False, True))
    assert usual["preprocessing"]["order"] == "bgr"
    assert paper["preprocessing"]["order"] == "rgb"
    assert {k: v for k, v in usual.items() if k != "preprocessing"} == {
        k: v for k, v in paper.items() if k != "preprocessing"
    }


# ------------------------------------------------------------ refusals


def refused(call, told):
    with pytest.raises(FeatureError, match=told) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_missing_weights_are_named_with_where_to_get_them(tmp_path):
    refused(lambda: open_vgg_face(device="cpu"), r"no weights.*vgg_face_torch\.tar\.gz.*--weights")
    refused(lambda: open_vgg_face(tmp_path / "VGG_FACE.t7", "cpu"), r"VGG_FACE\.t7: no such file")
    refused(lambda: open_vgg_face(tmp_path, "cpu"), r"/VGG_FACE\.t7: no such file")


def test_what_it_does_not_have_is_refused(file):
    refused(lambda: open_vgg_face(device="cpu", random_seed=0, layers=["VGG6"]), "no layer 'VGG6'")
    refused(lambda: open_vgg_face(device="cpu", random_seed=0, layers=[]), "no layer is named")
    refused(lambda: open_vgg_face(device="cpu", random_seed=0, side=100), "multiple of 32")
    refused(lambda: open_vgg_face(file, "cpu", random_seed=0), "expected one of them")
    with pytest.raises(ProviderError):
        open_vgg_face(file, "tpu")


def changed(original, position, **fields):
    modules = list(original.fields["modules"])
    modules[position] = Module(modules[position].name, modules[position].fields | fields)
    return Module("nn.Sequential", {"modules": modules})


@pytest.mark.parametrize(
    ("position", "fields", "told"),
    [
        (0, {"kW": 5}, "conv1_1 has .*'kW': 5"),
        (2, {"dH": 2}, "conv1_2 has .*'dH': 2"),
        (2, {"padding": 0}, "conv1_2 has .*'padW': 0"),
        (0, {"weight": np.zeros((64, 28), "f4")}, r"conv1_1 has shape \(64, 28\) as weight"),
        (0, {"weight": np.zeros((64, 27), "i8")}, "conv1_1 has int64"),
        (0, {"bias": np.full(64, np.nan, "f4")}, "finite"),
        (0, {"bias": None}, "conv1_1 has no numbers as bias"),
        (1, {"threshold": 0.5}, "rectifier behind conv1_1"),
        (4, {"kW": 3}, "pooling of block 1 has"),
        (4, {"padH": 1}, "pooling of block 1 has"),
    ],
)
def test_other_settings_are_refused(tmp_path, original, position, fields, told):
    path = write_torch7(tmp_path / "other.t7", changed(original, position, **fields))
    refused(lambda: open_vgg_face(path, "cpu"), told)


def test_other_sequences_are_refused(tmp_path, original):
    modules = original.fields["modules"]
    for value, told in (
        ({"weights": 1}, "its value is another"),
        (Module("nn.Sequential", {"modules": modules[:20]}), "module 21 is its end"),
        (Module("nn.Sequential", {"modules": modules[1:]}), r"module 1 is nn\.ReLU"),
        (Module("nn.Sequential", {"modules": [modules[0], 3]}), "without its modules"),
        (Module("nn.Sequential", {}), "without its modules"),
        (Module("cudnn.SpatialConvolution"), r"class cudnn\.SpatialConvolution"),
    ):
        path = write_torch7(tmp_path / "other.t7", value)
        refused(lambda path=path: open_vgg_face(path, "cpu"), told)


def test_a_sequence_that_holds_itself_ends(tmp_path):
    ring = Module("nn.Sequential", {})
    ring.fields["modules"] = [ring]
    path = write_torch7(tmp_path / "ring.t7", ring)
    refused(lambda: open_vgg_face(path, "cpu"), "occurs twice")


def test_other_safetensors_are_refused(tmp_path, converted):
    numbers = load_file(converted)
    path = tmp_path / "other.safetensors"
    save_file(numbers, path)
    refused(lambda: open_vgg_face(path, "cpu"), "not marked as VGG-Face in the order blue")
    mark = {"network": "vgg-face", "input": "bgr, 0-255, minus the mean"}
    save_file({k: v for k, v in numbers.items() if k != "conv3_2.bias"}, path, mark)
    refused(lambda: open_vgg_face(path, "cpu"), r"conv3_2\.bias is missing")
    path.write_bytes(converted.read_bytes()[:-100])
    refused(lambda: open_vgg_face(path, "cpu"), "no safetensors file")


def test_the_safetensors_form_is_written_whole_or_not_at_all(tmp_path, file):
    refused(lambda: write_safetensors(file, tmp_path / "vgg.t7"), "ends in .safetensors")
    refused(lambda: write_safetensors(tmp_path / "no.t7", tmp_path / "a.safetensors"), "no such")
    assert not list(tmp_path.iterdir())
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    refused(lambda: write_safetensors(file, in_the_way / "a.safetensors"), "expected a place")
    write_safetensors(file, tmp_path / "new" / "a.safetensors")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.safetensors"]
