from __future__ import annotations

import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

from b2g_rt.errors import FeatureError
from offline.features.weight_files import (
    WeightFile,
    hugging_face_file,
    read_tensors,
    torch_hub_file,
)
from offline.whole_files import file_sha256


def network():
    torch.manual_seed(3)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))


def written(path, state, form="archive"):
    if form == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "archive")
    return WeightFile("net", path, "the weights of net")


@pytest.mark.parametrize(
    ("name", "form"),
    [("w.pth", "archive"), ("w.pth", "before torch 1.6"), ("w.safetensors", "safetensors")],
)
def test_every_form_of_file_gives_the_same_tensors(tmp_path, name, form):
    wanted = network().state_dict()
    file = written(tmp_path / name, wanted, form)
    found = file.state()
    assert list(found) == list(wanted) or form == "safetensors"
    for key, tensor in wanted.items():
        assert torch.equal(found[key], tensor)
    assert file.provenance() == {"file": name, "sha256": file_sha256(tmp_path / name)}


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_weights_inside_a_training_checkpoint_are_found(tmp_path, key):
    wanted = network().state_dict()
    torch.save({"epoch": 3, key: wanted}, tmp_path / "w.pth")
    assert list(read_tensors(tmp_path / "w.pth")) == list(wanted)


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("form", ["archive", "before torch 1.6", "pickle"])
def test_nothing_in_a_file_is_executed(tmp_path, form):
    bomb = Bomb(str(tmp_path / "exploded"))
    content = {"0.weight": bomb}
    if form == "pickle":
        (tmp_path / "w.pth").write_bytes(pickle.dumps(content, protocol=2))
    else:
        written(tmp_path / "w.pth", content, form)
    with pytest.raises(FeatureError, match="cannot be loaded") as error:
        WeightFile("net", tmp_path / "w.pth", "the weights of net").state()
    assert not (tmp_path / "exploded").exists()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors", "w.bin"])
@pytest.mark.parametrize(
    "content", [b"", b"<html>404</html>", b"PK\x03\x04", b"\x80\x02}."], ids=repr
)
def test_a_file_that_is_none_is_one_line_with_its_path(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FeatureError) as error:
        WeightFile("net", tmp_path / name, "the weights of net").state()
    line = str(error.value)
    assert line.startswith(f"network 'net': {tmp_path / name}: ")
    assert line.endswith("expected the weights of net. Give the file of this network.")
    assert "\n" not in line


def test_a_file_cut_short_is_one_line(tmp_path):
    for name, form in (("w.pth", "archive"), ("w.safetensors", "safetensors")):
        file = written(tmp_path / name, network().state_dict(), form)
        file.path.write_bytes(file.path.read_bytes()[:-200])
        with pytest.raises(FeatureError, match="network 'net': "):
            file.state()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda s: s.pop("0.bias"), r"1 of 7 tensors are missing \(0.bias first\)"),
        (lambda s: s.update(extra=torch.zeros(1)), r"1 tensors are none of .* \(extra first\)"),
        (
            lambda s: s.update({"0.bias": torch.zeros(5)}),
            r"0.bias has shape \(5,\), not \(4,\)",
        ),
    ],
    ids=["missing", "more", "shape"],
)
def test_another_networks_weights_are_refused_before_one_is_copied(tmp_path, change, line):
    state = network().state_dict()
    change(state)
    model = network()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(FeatureError, match=line):
        WeightFile("net", tmp_path / "w", "the weights of net").fill(model, state)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_half_precision_is_computed_in_single_and_old_files_need_no_count_of_batches(tmp_path):
    state = {k: v.half() if v.is_floating_point() else v for k, v in network().state_dict().items()}
    del state["1.num_batches_tracked"]
    model = network()
    WeightFile("net", tmp_path / "w", "the weights of net").fill(model, state)
    assert model[0].weight.dtype == torch.float32
    assert torch.equal(model[0].weight, state["0.weight"].float())


def test_a_file_whose_name_tells_another_digest_is_used_and_said(tmp_path, caplog):
    published = written(tmp_path / "w.pth", network().state_dict())
    digest = published.provenance()["sha256"]
    right, wrong = tmp_path / f"w-{digest[:8]}.pth", tmp_path / "w-0123abcd.pth"
    published.path.rename(right)
    assert WeightFile("net", right, "").provenance()["sha256"] == digest
    assert not caplog.records
    right.rename(wrong)
    assert WeightFile("net", wrong, "").provenance()["sha256"] == digest
    (record,) = caplog.records
    assert f"network 'net': {wrong}: SHA-256 {digest[:8]}..., its name says" in record.getMessage()


URL = "https://weights.example.org/models/net-1234.pth"


def test_a_missing_file_is_named_with_its_place_and_the_command_that_fetches_it(caches):
    folder, _ = caches
    with pytest.raises(FeatureError) as error:
        torch_hub_file(URL, "the weights of net").at_hand("net", None)
    path = folder / "net-1234.pth"
    assert str(error.value) == (
        f"network 'net': no file {path}, expected the weights of net. Nothing is downloaded by itself: run "
        f"curl -fL --create-dirs -o {path} {URL}, or give the file with --weights."
    )


def test_a_file_is_found_in_torchs_cache_in_a_given_folder_and_by_its_path(caches, tmp_path):
    folder, _ = caches
    published = torch_hub_file(URL, "the weights of net")
    (folder / "net-1234.pth").touch()
    assert published.at_hand("net", None).path == folder / "net-1234.pth"
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(FeatureError, match=f"no file {other / 'net-1234.pth'}, expected"):
        published.at_hand("net", other)
    (other / "net-1234.pth").touch()
    assert published.at_hand("net", other).path == other / "net-1234.pth"
    renamed = tmp_path / "mine.pth"
    renamed.touch()
    assert published.at_hand("net", renamed).path == renamed


def test_a_file_is_found_in_hugging_faces_cache_under_either_name(caches):
    _, cache = caches
    names = ["model.safetensors", "pytorch_model.bin"]
    with pytest.raises(FeatureError) as error:
        hugging_face_file("someone/net", names, "the weights of net").at_hand("net", None)
    assert (
        f"no file model.safetensors of someone/net in {cache}, expected the weights of net. Nothing is downloaded by "
        "itself: run hf download someone/net model.safetensors, or give the file with --weights."
    ) in str(error.value)
    for name in reversed(names):
        file = cached(cache, "someone/net", name)
        file.touch()
        found = hugging_face_file("someone/net", names, "the weights of net").at_hand("net", None)
        assert found.path == file


def cached(cache, repository, name):
    """Return where Hugging Face's cache keeps a file of a repository's main branch."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text("a" * 40)
    (folder / "snapshots" / ("a" * 40)).mkdir(parents=True, exist_ok=True)
    return folder / "snapshots" / ("a" * 40) / name
