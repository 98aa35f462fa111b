"""`b2g-offline import-checkpoint`: what it prints, what it writes, what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from offline.commands.import_checkpoint import import_checkpoint
from offline.stimuli.stylegan.directory import load_generator
from tests.offline.stimuli.checkpoints.official_layout import dumped
from tests.offline.stimuli.checkpoints.tiny_network import tiny, tiny_bytes, with_opcodes


@pytest.fixture
def run(runner_of):
    """Run the command; return (exit code, what it printed)."""
    return runner_of(import_checkpoint)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "tiny.pkl"
    path.write_bytes(tiny_bytes(tmp_path / "canary"))
    return path


def test_a_checkpoint_becomes_a_generator_and_what_was_found_is_printed(run, file, tmp_path):
    code, text = run(file, "--out", tmp_path / "g")
    assert code == 0
    for line in (
        "opcodes",
        "weights",
        "SHA-256",
        "network: Generator (class version 6)",
        "picture: 16 x 16, rgb",
        "z: 4, classes: none, w: 7 rows of 4",
        "million in 6 layers",
        "left alone: training_set_kwargs, G, D, augment_pipe",
        f"written: {tmp_path / 'g'}",
    ):
        assert line in text
    generator = load_generator(tmp_path / "g")
    spec, tensors = tiny()
    assert generator.spec.num_ws == spec.num_ws
    assert all(torch.equal(generator.state_dict()[k], v) for k, v in tensors.items())
    told = json.loads((tmp_path / "g" / "generator.json").read_text())["provenance"]
    assert told["file"] == "tiny.pkl"
    assert told["n_bytes"] == file.stat().st_size
    assert told["class"] == "Generator"
    assert told["class_versions"] == [6]
    assert told["keys_left"] == ["training_set_kwargs", "G", "D", "augment_pipe"]
    assert told["command"].startswith("b2g-offline")
    import hashlib

    assert told["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert told["sha256"] in text
    assert not (tmp_path / "canary").exists()


def test_names_that_were_left_alone_are_printed(run, tmp_path):
    path = tmp_path / "x.pkl"
    path.write_bytes(with_opcodes(b"cposix\nsystem\n", tmp_path / "canary", inside="D"))
    code, text = run(path, "--out", tmp_path / "g")
    assert code == 0
    assert "named there, never looked up: posix.system" in text


def test_a_generator_is_replaced_only_when_asked(run, file, tmp_path):
    out = tmp_path / "g"
    assert run(file, "--out", out)[0] == 0
    before = (out / "generator.json").read_bytes()
    code, text = run(file, "--out", out)
    assert code == 2
    assert "holds a generator, expected a directory without one. Add --overwrite" in text
    assert (out / "generator.json").read_bytes() == before
    assert run(file, "--out", out, "--overwrite")[0] == 0
    load_generator(out)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"<!doctype html><html>", "a web page"),
        (b"\x80\x04N", "The file is incomplete"),
        (dumped({"g": 1}), "no G_ema among its keys (g)"),
    ],
)
def test_a_file_that_is_no_checkpoint_leaves_nothing_behind(run, tmp_path, content, line):
    path = tmp_path / "net.pkl"
    path.write_bytes(content)
    code, text = run(path, "--out", tmp_path / "g")
    assert code == 2
    assert line in text
    assert "\n" not in text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.pkl"]


def test_a_place_that_cannot_be_written_to_is_told_before_the_work(run, file, tmp_path):
    (tmp_path / "f").write_text("")
    code, text = run(file, "--out", tmp_path / "f" / "g")
    assert code == 2
    assert "is no directory" in text
    assert "opcodes" not in text


def test_help_loads_no_torch():
    code = (
        "import sys, typer\n"
        "from typer.testing import CliRunner\n"
        "from offline.commands.import_checkpoint import import_checkpoint\n"
        "app = typer.Typer(); app.command()(import_checkpoint)\n"
        "print('Example' in CliRunner().invoke(app, ['--help']).output)\n"
        "print(sorted({'torch', 'safetensors', 'numpy'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines() == ["True", "[]"]
