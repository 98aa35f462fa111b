"""Networks of torchvision and timm by module names; files of the libraries' own forms, in their caches."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from b2g_rt.errors import FeatureError
from offline.features.opening import open_network
from offline.features.preprocessing import torchvision_transforms
from offline.features.random_weights import fill_randomly
from offline.features.torchvision_operators import import_torchvision
from offline.whole_files import file_sha256


def varied(model, seed=4):
    """Fill a network so that no two tensors are alike, statistics of normalisations too."""
    fill_randomly(model, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1, generator=generator)
                module.running_var.uniform_(0.5, 2.0, generator=generator)
    return model.eval()


# ------------------------------------------------------------ torchvision


def test_a_torchvision_network_by_name_is_torchvisions_own(photographs, caches):
    models = import_torchvision().models
    from torchvision.models.feature_extraction import create_feature_extractor

    entry = models.ShuffleNet_V2_X0_5_Weights.DEFAULT
    torch.save(
        varied(models.shufflenet_v2_x0_5(weights=None)).state_dict(),
        caches[0] / "shufflenetv2_x0.5-f707e7126e.pth",
    )
    layers = ["stage2.0.branch1", "stage3", "fc"]
    network = open_network("torchvision:shufflenet_v2_x0_5", device="cpu", layers=layers, side=96)
    assert network.layers == tuple(layers)
    seen = torchvision_transforms(entry.transforms, 96, "")
    library = create_feature_extractor(models.shufflenet_v2_x0_5(weights=entry).eval(), layers)
    with torch.inference_mode():
        wanted = library(seen.batch(photographs))
    found = network.features(photographs)
    for layer in layers:
        assert network.shape(layer) == wanted[layer].shape[1:]
        np.testing.assert_allclose(found[layer], wanted[layer].flatten(1), rtol=1e-4, atol=1e-5)
    assert network.provenance["weights"]["entry"] == "ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1"


def test_a_torchvision_file_by_its_path_gives_the_very_features(photographs, caches, tmp_path):
    models = import_torchvision().models
    state = varied(models.squeezenet1_1(weights=None)).state_dict()
    torch.save(state, caches[0] / "squeezenet1_1-b8a52dc0.pth")
    save_file(state, tmp_path / "mine.safetensors")
    name = "torchvision:squeezenet1_1/IMAGENET1K_V1"
    layers = ["features.4", "classifier.1"]
    by_name = open_network(name, device="cpu", layers=layers, side=64)
    named = by_name.features(photographs)
    mine = tmp_path / "mine.safetensors"
    by_path = open_network(name, weights=mine, device="cpu", layers=layers, side=64)
    for layer, values in by_path.features(photographs).items():
        assert cosine(values, named[layer]) > 0.9999
        np.testing.assert_array_equal(values, named[layer])
    told = by_path.provenance["weights"]
    assert told["sha256"] == file_sha256(mine)


def cosine(a, b):
    a, b = np.ravel(a).astype(np.float64), np.ravel(b).astype(np.float64)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_the_dotted_names_in_densenets_files_are_understood(caches):
    models = import_torchvision().models
    state = varied(models.densenet121(weights=None)).state_dict()
    old = {}
    for name, tensor in state.items():
        if name.endswith(".num_batches_tracked"):
            continue
        for part in ("norm1.", "norm2.", "conv1.", "conv2."):
            name = name.replace(f".{part}", f".{part[:-2]}.{part[-2:]}")
        old[name] = tensor
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, caches[0] / "densenet121-a639ec97.pth")
    network = open_network(
        "torchvision:densenet121", device="cpu", layers=["features.denseblock1"], side=32
    )
    assert network.shape("features.denseblock1") == (256, 8, 8)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("torchvision:inception_v3", ["Mixed_5b", "avgpool"]),
        ("torchvision:googlenet", None),
        ("torchvision:vit_b_32", ["encoder.layers.encoder_layer_3"]),
        ("torchvision:lraspp_mobilenet_v3_large", ["backbone.3"]),
        ("timm:vit_tiny_patch16_224", None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_networks_of_all_kinds_open_by_layer_name(photographs, name, layers):
    network = open_network(name, device="cpu", layers=layers, random_seed=0, side=96)
    found = network.features(photographs)
    assert list(found) == list(network.layers)
    assert layers is None or list(network.layers) == layers
    for layer, values in found.items():
        assert values.shape == (3, np.prod(network.shape(layer)))
        assert np.isfinite(values).all()
        assert not np.array_equal(values[0], values[1])


# ------------------------------------------------------------ layers


@pytest.fixture(scope="module")
def resnet():
    return open_network(
        "torchvision:resnet18",
        device="cpu",
        layers=["layer3", "bn1", "relu", "conv1"],
        random_seed=0,
        side=64,
    )


def test_a_layer_is_read_before_what_follows_changes_it_in_place(resnet, photographs):
    # The ReLU after it writes into the very tensor that the normalisation returned.
    found = resnet.features(photographs)
    assert found["bn1"].min() < 0
    np.testing.assert_allclose(found["bn1"], found["conv1"], rtol=1e-4)


def test_layers_are_in_the_order_of_processing_however_they_were_named(resnet, photographs):
    assert resnet.layers == ("conv1", "bn1", "relu", "layer3")
    assert list(resnet.features(photographs)) == list(resnet.layers)
    assert list(resnet.provenance["layers"]) == list(resnet.layers)


def test_the_same_batch_gives_the_same_bits_and_another_nearly_the_same(resnet, photographs):
    first, again = resnet.features(photographs), resnet.features(photographs)
    alone = resnet.features(photographs[1:2])
    for layer, values in first.items():
        np.testing.assert_array_equal(values, again[layer])
        np.testing.assert_allclose(alone[layer][0], values[1], rtol=1e-3, atol=1e-4)


def test_threads_that_share_a_network_do_not_mix_their_pictures(resnet, photographs):
    wanted = [resnet.features([picture]) for picture in photographs]
    found: list[list] = [[] for _ in photographs]
    start = threading.Barrier(len(photographs))

    def run(k):
        start.wait(30)
        for _ in range(5):
            found[k].append(resnet.features([photographs[k]]))

    threads = [threading.Thread(target=run, args=(k,)) for k in range(len(photographs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(50)
    for k, runs in enumerate(found):
        assert len(runs) == 5
        for values in runs:
            for layer in resnet.layers:
                np.testing.assert_allclose(values[layer], wanted[k][layer], rtol=1e-4, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use")
def test_cuda_computes_with_all_bits_of_float32(resnet, photographs):
    on_gpu = open_network(
        "torchvision:resnet18", device="cuda", layers=resnet.layers, random_seed=0, side=64
    )
    wanted = resnet.features(photographs)
    for layer, values in on_gpu.features(photographs).items():
        # TF32 would be off by 1e-3.
        np.testing.assert_allclose(values, wanted[layer], rtol=0, atol=1e-4 * wanted[layer].std())


def test_an_unknown_layer_lists_near_names():
    with pytest.raises(FeatureError) as error:
        open_network("torchvision:resnet18", random_seed=0, device="cpu", layers=["layer3.0.conv"])
    line = str(error.value)
    assert "no layer 'layer3.0.conv', expected one of its 67 modules. Did you mean" in line
    assert "layer3.0.conv1" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("name", "layers", "line"),
    [
        ("torchvision:googlenet", ["aux1"], "'aux1': it is not run when features are computed"),
        ("torchvision:lraspp_mobilenet_v3_large", ["backbone"], "'backbone': it returns a Ordered"),
        # Of its levels in timm's list one is no module, and the others return lists.
        ("timm:hrnet_w18_small", None, "'stage2': it returns a list"),
    ],
    ids=["not run", "no tensor", "no level"],
)
def test_a_layer_without_a_tensor_of_each_picture_is_one_line(name, layers, line):
    with pytest.raises(FeatureError, match=line) as error:
        open_network(name, random_seed=0, device="cpu", layers=layers, side=64)
    assert "\n" not in str(error.value)


# ------------------------------------------------------------ timm


@pytest.fixture(scope="module")
def timm_state():
    import_torchvision()
    import timm

    return varied(timm.create_model("test_resnet", pretrained=False)).state_dict()


def test_a_timm_network_by_name_is_timms_own_and_so_is_a_file_by_its_path(
    photographs, caches, tmp_path, timm_state
):
    import timm
    from PIL.Image import fromarray
    from timm.data.config import resolve_data_config
    from timm.data.transforms_factory import create_transform

    folder = caches[1] / "models--timm--test_resnet.r160_in1k"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("b" * 40)
    (folder / "snapshots" / ("b" * 40)).mkdir(parents=True)
    save_file(timm_state, folder / "snapshots" / ("b" * 40) / "model.safetensors")
    torch.save(timm_state, tmp_path / "mine.pth")

    named = open_network("timm:test_resnet", device="cpu")
    tagged = open_network("timm:test_resnet.r160_in1k", device="cpu")
    by_path = open_network("timm:test_resnet", weights=tmp_path / "mine.pth", device="cpu")
    library = timm.create_model("test_resnet", pretrained=True, features_only=True).eval()
    transform = create_transform(**resolve_data_config({}, model=library))
    with torch.inference_mode():
        levels = library(torch.stack([transform(fromarray(p)) for p in photographs]))
    wanted = dict(zip(named.layers, levels, strict=True))
    for network in (named, tagged, by_path):
        found = network.features(photographs)
        for layer, values in wanted.items():
            np.testing.assert_allclose(found[layer], values.flatten(1), rtol=1e-4, atol=1e-5)
            assert cosine(found[layer], values) > 0.9999
    assert named.provenance["weights"]["file"] == "model.safetensors"
    assert named.provenance["weights"]["entry"] == "test_resnet.r160_in1k"
    assert by_path.provenance["weights"]["sha256"] == file_sha256(tmp_path / "mine.pth")
    assert named.provenance["preprocessing"] == by_path.provenance["preprocessing"]


def test_another_timm_networks_file_is_one_line(caches, tmp_path, timm_state):
    torch.save(timm_state, tmp_path / "mine.pth")
    with pytest.raises(FeatureError) as error:
        open_network("timm:test_vit", weights=tmp_path / "mine.pth", device="cpu")
    line = str(error.value)
    assert line.startswith(f"network 'timm:test_vit': {tmp_path / 'mine.pth'}: cannot be loaded")
    assert "expected timm's weights test_vit" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("timm:test_resnet", "no file model.safetensors of timm/test_resnet.r160_in1k in"),
        ("torchvision:resnet18", "no file .*resnet18-f37072fd.pth, expected torchvision's weights"),
        ("timm:resnet_18", "timm has none of that name, expected one of its .*resnet18"),
        ("torchvision:resnet19", "torchvision has none of that name, .*Did you mean resnet18"),
        ("timm:resnet18.a9_in1k", "no weights 'a9_in1k', expected one of resnet18.a1_in1k"),
        (
            "torchvision:resnet50/V3",
            "no weights 'V3', expected one of IMAGENET1K_V1, IMAGENET1K_V2",
        ),
        ("torchvision:raft_small", "its input is no single picture"),
    ],
)
def test_what_is_not_there_is_one_line_at_once_and_nothing_is_downloaded(caches, name, line):
    # `caches` fails whatever would look for a host.
    with pytest.raises(FeatureError, match=line) as error:
        open_network(name, device="cpu")
    assert "\n" not in str(error.value)
