from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from b2g_rt.errors import B2GError, ConfigError, GeneratorError
from offline.commands.export_generator import export_generator
from offline.export.generator_onnx import fixed_shapes
from offline.export.stylegan.parity import open_session
from offline.stimuli.stylegan.directory import save_generator
from offline.stimuli.stylegan.generator import Generator
from offline.stimuli.stylegan.schedule import Widths, stylegan3

app = typer.Typer()
app.command()(export_generator)


def run(*args):
    """Run the command; what it raises on purpose is raised here."""
    result = CliRunner().invoke(app, [str(a) for a in args], terminal_width=100)
    if isinstance(result.exception, B2GError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def generator_folder(tmp_path):
    folder = tmp_path / "mine"
    torch.manual_seed(0)
    widths = Widths(16, 64, 8, n_layers=4, conv_kernel=1, radial=True)
    save_generator(Generator(stylegan3("tiny", widths, z_dim=8, n_classes=5, w_dim=16)), folder, {})
    return folder


def test_a_directory_becomes_two_onnx_files_and_a_manifest(generator_folder, tmp_path):
    out = tmp_path / "exported"
    told = run(generator_folder, "--out", out, "--uint8", "--name", "classes")
    assert "w per layer" in told
    assert f"written: {out}" in told
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["name"] == "classes"
    assert manifest["source"]["name"] == "mine"
    feed = {
        "z": np.ones((3, 8), np.float32),
        "class_id": np.array([1, 2, 4]),
        "psi": np.array(0.7, np.float32),
    }
    w = open_session(out / "mapping.onnx").run(None, feed)[0]
    image = open_session(out / "synthesis.onnx").run(None, {"w": w})[0]
    assert (image.shape, image.dtype) == ((3, 16, 16, 3), np.uint8)
    assert image.std(axis=(1, 2, 3)).min() > 1


def test_half_is_told_in_the_manifest(generator_folder, tmp_path):
    run(generator_folder, "--out", tmp_path / "exported", "--half")
    assert json.loads((tmp_path / "exported" / "manifest.json").read_text())["half"] is True


def test_what_cannot_be_is_one_line(generator_folder, tmp_path):
    with pytest.raises(GeneratorError, match="no such directory"):
        run(tmp_path / "nothing", "--out", tmp_path / "exported")
    with pytest.raises(ConfigError, match="expected one. Leave --half out"):
        run("procedural-faces", "--half", "--out", tmp_path / "exported")
    with pytest.raises(ConfigError, match="holds generator.json"):
        run(generator_folder, "--out", generator_folder)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_procedural_faces_are_exported_as_bytes(tmp_path):
    out = tmp_path / "faces"
    told = run("procedural-faces", "--out", out)
    assert "grey levels" in told
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["image"] == "row_col_rgb_uint8"
    assert manifest["source"]["spec"] is None
    fixed_shapes((out / "synthesis.onnx").read_bytes(), manifest["w_dim"])
