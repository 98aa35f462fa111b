"""Most tests take a small model of our own among open_clip's, with a tag that says what openai's says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch

from b2g_rt.errors import FeatureError, SetupError
from offline.features.torchvision_operators import import_torchvision

import_torchvision()

import open_clip  # noqa: E402
from PIL import Image  # noqa: E402

from offline.features.open_clip_models import open_clip_network, training_of  # noqa: E402
from tests.offline.features.open_clip_files import (  # noqa: E402
    in_cache,
    save_safetensors,
    save_torchscript,
    whole_model,
)

ROOT = Path(__file__).parents[3]
SMALL = "b2g-small-ViT"
REPOSITORY = "b2g/small_clip.openai"
VISION: dict[str, Any] = {"image_size": 32, "layers": 4, "width": 64, "patch_size": 8}
CONFIG = {
    "embed_dim": 24,
    "vision_cfg": VISION,
    "text_cfg": {"context_length": 8, "vocab_size": 16, "width": 32, "heads": 2, "layers": 1},
}
TAG: dict[str, Any] = {
    "hf_hub": f"{REPOSITORY}/",
    "mean": (0.5, 0.4, 0.3),
    "std": (0.2, 0.25, 0.3),
    "interpolation": "bilinear",
    "resize_mode": "squash",
    "quick_gelu": True,
}


@pytest.fixture(scope="module")
def _small_config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / f"{SMALL}.json"
    path.write_text(json.dumps(CONFIG))
    open_clip.add_model_config(path)


@pytest.fixture
def small(_small_config, monkeypatch):
    """A whole small model, whose tag open_clip knows."""
    from open_clip import pretrained

    monkeypatch.setitem(pretrained._PRETRAINED, SMALL, {"openai": TAG})
    return whole_model(SMALL)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, as HF_HOME sets it, and no network."""
    folder = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return folder


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (3, 6, 6, 3), dtype=np.uint8)
    sizes = [(60, 60), (40, 90), (300, 250)]
    return [
        np.asarray(Image.fromarray(c).resize(s, Image.Resampling.BICUBIC))
        for c, s in zip(coarse, sizes, strict=True)
    ]


def embedding(model, transform, pictures):
    """What open_clip's own calls give."""
    with torch.inference_mode():
        batch = torch.stack([transform(Image.fromarray(p)) for p in pictures])
        return model.encode_image(batch).float().numpy()


def least_cosine(a, b):
    return ((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min()


def features(pictures, model=SMALL, **options):
    network = open_clip_network(model, "openai", device="cpu", **options)
    found = network.features(pictures)
    assert tuple(found) == network.layers == ("CLIP",)
    assert found["CLIP"].shape == (len(pictures), *network.shape("CLIP"))
    assert found["CLIP"].dtype == np.float32
    return found["CLIP"]


def test_by_path_and_by_name_a_tags_own_settings_apply(small, cache, tmp_path, pictures):
    path = save_safetensors(small, tmp_path / "model.safetensors")
    save_safetensors(small, in_cache(cache, REPOSITORY, "open_clip_model.safetensors"))
    transform = open_clip.image_transform(
        32, False, TAG["mean"], TAG["std"], TAG["resize_mode"], TAG["interpolation"]
    )
    expected = embedding(small, transform, pictures)
    by_path, by_name = features(pictures, weights=path), features(pictures)
    np.testing.assert_array_equal(by_path, by_name)
    np.testing.assert_allclose(by_path, expected, rtol=1e-5, atol=1e-5 * expected.std())


def test_the_plain_way_from_a_path_gives_other_features(small, tmp_path, pictures):
    path = save_safetensors(small, tmp_path / "model.safetensors")
    plain, _, transform = open_clip.create_model_and_transforms(SMALL, str(path))
    found = features(pictures, weights=path)
    assert least_cosine(found, embedding(plain.eval(), transform, pictures)) < 0.9999
    # Each of its two faults alone already does it.
    own = open_clip.image_transform(
        32, False, TAG["mean"], TAG["std"], TAG["resize_mode"], TAG["interpolation"]
    )
    assert least_cosine(found, embedding(plain.eval(), own, pictures)) < 0.9999
    assert least_cosine(found, embedding(small, transform, pictures)) < 0.9999
    assert least_cosine(found, embedding(small, own, pictures)) > 0.999999


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_openais_weights_by_name_by_path_and_by_open_clip_itself_are_the_same(
    cache, tmp_path, pictures
):
    """ViT-B-32, the smallest that openai trained, in half precision as published."""
    model = whole_model("ViT-B-32").half()
    path = in_cache(cache, "timm/vit_base_patch32_clip_224.openai", "open_clip_model.safetensors")
    save_safetensors(model, path)
    del model
    by_name = features(pictures, "ViT-B-32")
    state = tmp_path / "ViT-B-32.pt"
    torch.save({"state_dict": open_clip.factory.load_state_dict(str(path))}, state)
    by_path = features(pictures, "ViT-B-32", weights=state)
    reference, transform = open_clip.create_model_from_pretrained("ViT-B-32-quickgelu", "openai")
    expected = embedding(reference.eval(), transform, pictures)
    assert least_cosine(by_name, expected) > 0.9999
    assert least_cosine(by_path, expected) > 0.9999
    plain, transform = open_clip.create_model_from_pretrained("ViT-B-32", str(path))
    assert least_cosine(embedding(plain.eval(), transform, pictures), expected) < 0.9999


OF_ITS_OWN = """
import json
import numpy as np
from offline.features.open_clip_models import open_clip_network
from tests.own_memory import own_memory

network = open_clip_network("ViT-L-14-336", "openai", device="cpu", random_seed=1)
found = network.features([np.random.default_rng(0).integers(0, 256, (250, 300, 3), np.uint8)])["CLIP"]
print(json.dumps({
    "name": network.name,
    "shape": found.shape,
    "finite": bool(np.isfinite(found).all()),
    "input": network.provenance["preprocessing"]["input"],
    "numbers": sum(p.numel() for p in network._model.parameters()),
    "peak_bytes": own_memory(),
}))
"""


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_papers_clip_gives_768_numbers_from_its_image_tower_alone():
    # In a process of its own: a peak is of all that a process ever did, other tests too.
    command = [sys.executable, "-c", OF_ITS_OWN]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=230, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["name"] == "clip"
    assert found["shape"] == [1, 768]
    assert found["finite"]
    assert found["input"] == [336, 336]
    # 304 million numbers of four bytes; 428 with the text tower.
    assert found["numbers"] < 310e6
    # The weights once, and libraries; twice would be 2.4 GB alone.
    assert found["peak_bytes"] < 2.4 * 1024**3


def test_the_papers_training_is_openais():
    training = training_of("ViT-L-14-336", "openai")
    assert training.quick_gelu
    assert training.config["embed_dim"] == 768
    assert training.mean == (0.48145466, 0.4578275, 0.40821073)
    assert training.sd == (0.26862954, 0.26130258, 0.27577711)
    assert (training.interpolation, training.resize_mode) == ("bicubic", "shortest")
    assert training_of("ViT-B-32-quickgelu", "openai").quick_gelu
    assert not training_of("ViT-B-32", "laion2b_s34b_b79k").quick_gelu


@pytest.mark.parametrize(
    "form", ["module.", "state_dict", "half", "bin", "image tower alone", "program"]
)
def test_the_same_weights_in_other_files_give_the_same_features(small, tmp_path, pictures, form):
    state = small.state_dict()
    if form == "half":
        small.half().float()
    expected = features(pictures, weights=save_safetensors(small, tmp_path / "m.safetensors"))
    path = tmp_path / "other.pt"
    if form == "module.":
        torch.save({"module." + k: v for k, v in state.items()}, path)
    elif form == "state_dict":
        torch.save({"epoch": 3, "state_dict": state}, path)
    elif form == "half":
        torch.save({k: v.half() for k, v in state.items()}, path)
    elif form == "bin":
        path = path.with_suffix(".bin")
        torch.save(state, path)
    elif form == "program":
        save_torchscript(small, path, 32)
    else:
        torch.save({k: v for k, v in state.items() if k.startswith("visual.")}, path)
    np.testing.assert_array_equal(features(pictures, weights=path), expected)


def test_a_folder_stands_for_the_file_in_it(small, tmp_path, pictures):
    path = save_safetensors(small, tmp_path / "open_clip_model.safetensors")
    np.testing.assert_array_equal(
        features(pictures, weights=tmp_path), features(pictures, weights=path)
    )


def test_openais_own_downloads_are_found_too(small, cache, tmp_path, pictures, monkeypatch):
    monkeypatch.setitem(TAG, "url", "https://example.org/models/abc/small.pt")
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / ".cache" / "clip"
    folder.mkdir(parents=True)
    expected = features(pictures, weights=save_torchscript(small, folder / "small.pt", 32))
    np.testing.assert_array_equal(features(pictures), expected)
    save_safetensors(
        whole_model(SMALL, seed=1), in_cache(cache, REPOSITORY, "open_clip_model.safetensors")
    )
    assert np.abs(features(pictures) - expected).mean() > 0.1 * expected.std()


def test_the_embedding_is_not_normalised_and_that_is_told(small, tmp_path, pictures):
    path = save_safetensors(small, tmp_path / "model.safetensors")
    norms = np.linalg.norm(features(pictures, weights=path), axis=1)
    assert np.ptp(norms) > 1e-3
    told = open_clip_network(SMALL, "openai", path, "cpu").provenance
    assert told["weights"]["file"] == "model.safetensors"
    assert len(told["weights"]["sha256"]) == 64
    assert told["weights"]["entry"] == f"{SMALL}/openai"
    assert told["weights"]["quick_gelu"] is True
    assert told["preprocessing"]["mean"] == list(TAG["mean"])
    assert told["preprocessing"]["resize"] == "squash"
    json.dumps(told)


@pytest.mark.slow
def test_a_seed_gives_the_same_numbers_again_and_leaves_torchs_own_chance_alone(pictures):
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    one, again, other = (features(pictures[:2], "RN50", random_seed=s) for s in (4, 4, 5))
    torch.testing.assert_close(torch.rand(3), expected)
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).mean() > 0.1 * one.std()
    assert np.abs(one[0] - one[1]).mean() > 0.01 * one.std()


def test_towers_of_timm_and_of_captioning_models_give_one_embedding(monkeypatch):
    from open_clip import factory, pretrained

    timm = {"image_size": 32, "timm_model_name": "resnet10t", "timm_pool": "avg"}
    timm |= {"timm_proj": "linear", "timm_model_pretrained": True}
    caption = VISION | {"output_tokens": True, "attentional_pool": True}
    for name, tower in (("b2g-timm", timm), ("b2g-captions", caption)):
        config = CONFIG | {"vision_cfg": tower}
        monkeypatch.setitem(factory._MODEL_CONFIGS, name, config)
        monkeypatch.setitem(pretrained._PRETRAINED, name, {"openai": TAG})
        network = open_clip_network(name, "openai", device="cpu", random_seed=0)
        assert network.shape("CLIP") == (24,)
        assert ("timm" in network.provenance["versions"]) == (name == "b2g-timm")


# ------------------------------------------------------------ refusals


def refused(told, model, tag, weights=None):
    with pytest.raises(FeatureError, match=told) as caught:
        open_clip_network(model, tag, weights, "cpu")
    assert "\n" not in str(caught.value)


def test_missing_weights_are_named_with_place_and_command(cache, tmp_path):
    refused(
        rf"open_clip_model\.safetensors of timm/vit_large_patch14_clip_336\.openai in {cache}.*"
        r"Nothing is downloaded.*hf download timm/vit_large_patch14_clip_336\.openai "
        r"open_clip_model\.safetensors",
        "ViT-L-14-336",
        "openai",
    )
    refused(r"no file .*none\.pt", "ViT-L-14-336", "openai", weights=tmp_path / "none.pt")
    refused("no file .*open_clip_model", "ViT-L-14-336", "openai", weights=tmp_path)


def test_unknown_models_and_tags_are_answered_with_known_ones():
    refused("no model ViT-B-23.*ViT-B-32", "ViT-B-23", "openai")
    refused("no tag opanai of ViT-L-14-336, expected one of openai", "ViT-L-14-336", "opanai")


def test_files_of_something_else_are_refused_in_one_line(small, tmp_path):
    path = tmp_path / "other.safetensors"
    state = small.state_dict()

    def save(tensors):
        from safetensors.torch import save_file

        save_file({k: v.contiguous() for k, v in tensors.items()}, path)

    path.write_bytes(b"no weights at all")
    refused("safetensors", SMALL, "openai", weights=path)
    save({"conv1.weight": torch.zeros(3)})
    refused("no tensor of an image tower", SMALL, "openai", weights=path)
    save({k: v for k, v in state.items() if k != "visual.proj"})
    refused(r"missing \(proj", SMALL, "openai", weights=path)
    save(state | {"visual.proj": torch.zeros(5, 5)})
    refused(r"proj has shape \(5, 5\)", SMALL, "openai", weights=path)
    save(state | {"visual.more": torch.zeros(5)})
    refused(r"more first", SMALL, "openai", weights=path)
    pickled = tmp_path / "module.pt"
    torch.save(small, pickled)
    refused("cannot be loaded", SMALL, "openai", weights=pickled)
    with pytest.raises(FeatureError) as caught:
        open_clip_network(SMALL, "openai", pickled, "cpu")
    assert "weights_only" not in str(caught.value)


def test_a_missing_open_clip_is_said_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(SetupError, match=r"pip install 'b2g-rt\[networks\]'"):
        training_of("ViT-L-14-336", "openai")
