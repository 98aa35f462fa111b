"""A generator's directory: what is written is what is read, and nothing else is believed."""

from __future__ import annotations

import json
import os
import shutil

import pytest
import torch

from b2g_rt.errors import GeneratorError
from offline.stimuli.stylegan import directory
from offline.stimuli.stylegan.directory import (
    assembled,
    load_generator,
    read_provenance,
    save_generator,
    weights_sha256,
)
from offline.stimuli.stylegan.generator import Generator
from offline.stimuli.stylegan.schedule import Widths, stylegan3
from tests.offline.stimuli.golden_networks import NAMES, golden_generator


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(1)
    return Generator(stylegan3("small", Widths(16, 128, 8), z_dim=8, w_dim=8))


@pytest.fixture
def folder(small, tmp_path):
    save_generator(small, tmp_path / "g", {"from": "a test"})
    return tmp_path / "g"


@pytest.mark.parametrize("name", NAMES)
def test_a_generator_comes_back_bit_for_bit(name, tmp_path):
    generator = golden_generator(name)
    save_generator(generator, tmp_path / "deep" / "g", {"a": [1, None, "x"]})
    again = load_generator(tmp_path / "deep" / "g")
    assert again.spec == generator.spec
    assert list(again.state_dict()) == list(generator.state_dict())
    for key, tensor in generator.state_dict().items():
        assert torch.equal(again.state_dict()[key], tensor), key
    assert not again.training
    assert not any(p.requires_grad for p in again.parameters())
    assert read_provenance(tmp_path / "deep" / "g") == {"a": [1, None, "x"]}
    assert sorted(os.listdir(tmp_path / "deep" / "g")) == [
        "generator.json",
        "generator.safetensors",
    ]


def test_whoever_may_read_one_file_may_read_the_other(folder):
    modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert modes["generator.safetensors"] == modes["generator.json"]


def test_a_loaded_generator_draws_and_does_not_hold_on_to_its_file(folder, small):
    again = load_generator(folder)
    (folder / "generator.safetensors").write_bytes(b"")
    z = torch.randn(2, 8)
    with torch.no_grad():
        assert torch.equal(again(z), small(z))
    again.requires_grad_(True)
    again(z).sum().backward()


def test_weights_of_other_types_and_shared_ones_are_saved_as_plain_float32(tmp_path, small):
    copy = Generator(small.spec)
    copy.load_state_dict(small.state_dict())
    copy.mapping.fc1.weight = copy.mapping.fc0.weight  # one tensor under two names
    copy.double()
    save_generator(copy, tmp_path, {})
    again = load_generator(tmp_path)
    found = again.state_dict()["mapping.fc1.weight"]
    assert torch.equal(found, small.state_dict()["mapping.fc0.weight"])


def test_a_generator_is_replaced_by_the_next_one(folder, small):
    before = weights_sha256(folder)
    torch.manual_seed(2)
    save_generator(Generator(small.spec), folder, {"second": True})
    assert read_provenance(folder) == {"second": True}
    assert weights_sha256(folder) != before
    load_generator(folder)


def test_an_interrupted_writing_leaves_the_old_generator_or_one_that_is_refused(
    folder, small, monkeypatch
):
    replaced: list[str] = []
    real = os.replace

    def once(source, target):
        if replaced:
            raise KeyboardInterrupt
        replaced.append(target)
        real(source, target)

    torch.manual_seed(3)
    monkeypatch.setattr(directory.os, "replace", once)
    with pytest.raises(KeyboardInterrupt):
        save_generator(Generator(small.spec), folder, {})
    monkeypatch.undo()
    with pytest.raises(GeneratorError, match="writing was interrupted"):
        load_generator(folder)
    assert sorted(os.listdir(folder)) == ["generator.json", "generator.safetensors"]


def _edited(folder, change):
    path = folder / "generator.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda d: d.update(schema_version=2), "schema_version 2, expected 1"),
        (lambda d: d.pop("schema_version"), "schema_version None"),
        (lambda d: d["generator"].update(schema_version=9), "schema_version 9"),
        (lambda d: d["generator"].update(z_dim=9), "mapping.fc0.weight: (8, 8), expected (8, 9)"),
        (lambda d: d["generator"].update(z_dim=10**8), "z_dim: 100000000, expected"),
        (lambda d: d["generator"]["layers"][0].update(up_taps=10**9), "expected 36"),
        (lambda d: d["generator"]["layers"][0].update(name="forward"), "name of a layer"),
        (lambda d: d.pop("weights"), "expected file, n_bytes and sha256"),
        (lambda d: d["weights"].update(sha256="0" * 64), "expected 000000000000"),
        (lambda d: d["weights"].update(n_bytes=1), "bytes, expected 1"),
    ],
)
def test_numbers_that_do_not_fit_are_refused_in_one_line(folder, change, line):
    _edited(folder, change)
    with pytest.raises(GeneratorError) as caught:
        load_generator(folder)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_changed_weights_are_refused(folder):
    path = folder / "generator.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    with pytest.raises(GeneratorError, match="SHA-256"):
        load_generator(folder)


def test_missing_and_broken_files_are_refused(folder, tmp_path):
    with pytest.raises(GeneratorError, match=r"no generator\.json.*import-checkpoint"):
        load_generator(tmp_path / "nowhere")
    (folder / "generator.safetensors").unlink()
    with pytest.raises(GeneratorError, match="missing, expected the weights"):
        load_generator(folder)
    for text in ("", "{", "[" * 100_000, "3"):
        (folder / "generator.json").write_text(text)
        with pytest.raises(GeneratorError):
            load_generator(folder)
    (folder / "generator.json").write_bytes(b" " * (5 << 20))
    with pytest.raises(GeneratorError, match="expected at most"):
        load_generator(folder)


def test_weights_of_another_network_are_refused_by_the_first_name(folder, tmp_path, small):
    other = Generator(stylegan3("other", Widths(16, 256, 16), z_dim=8, w_dim=8))
    save_generator(other, tmp_path / "other", {})
    shutil.copy(tmp_path / "other" / "generator.safetensors", folder)
    told = json.loads((tmp_path / "other" / "generator.json").read_text())["weights"]
    _edited(folder, lambda d: d.update(weights=told))
    with pytest.raises(GeneratorError, match=r"synthesis\.input\.weight|bytes, expected"):
        load_generator(folder)
    tensors = dict(small.state_dict())
    tensors["extra"] = torch.zeros(1)
    with pytest.raises(GeneratorError, match="'extra': not expected"):
        assembled(small.spec, tensors, "x")
    del tensors["extra"], tensors["mapping.fc1.bias"]
    with pytest.raises(GeneratorError, match=r"mapping\.fc1\.bias is missing"):
        assembled(small.spec, tensors, "x")
    tensors["mapping.fc1.bias"] = torch.zeros(8, dtype=torch.float64)
    with pytest.raises(GeneratorError, match=r"mapping\.fc1\.bias: float64, expected float32"):
        assembled(small.spec, tensors, "x")


def test_a_place_that_cannot_be_written_to_is_one_line(small, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(GeneratorError, match="cannot be written to"):
        save_generator(small, tmp_path / "file" / "g", {})
