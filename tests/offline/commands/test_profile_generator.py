from __future__ import annotations

import json

import pytest
import torch
import typer
from typer.testing import CliRunner

from b2g_rt.errors import B2GError, ConfigError, GeneratorError
from offline.commands import console as printed
from offline.commands.profile_generator import profile_generator
from offline.stimuli.stylegan.directory import save_generator
from offline.stimuli.stylegan.generator import Generator
from offline.stimuli.stylegan.schedule import Widths, stylegan3

app = typer.Typer()
app.command()(profile_generator)


def run(*args):
    """Run the command; what it raises on purpose is raised here."""
    result = CliRunner().invoke(app, [str(a) for a in args])
    if isinstance(result.exception, B2GError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


TINY = stylegan3(
    "tiny", Widths(16, 64, 8, n_layers=4, conv_kernel=1, radial=True), z_dim=8, w_dim=16
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(printed.console, "_width", 200)
    torch.manual_seed(0)
    save_generator(Generator(TINY), tmp_path / "tiny", {})
    return tmp_path / "tiny"


def test_every_layer_has_a_row_with_costs_time_and_floor(folder, tmp_path):
    written = tmp_path / "figures.json"
    told = run(folder, "--seconds", 0, "--threads", 1, "--json", written)
    figures = json.loads(written.read_text())
    names = [row["name"] for row in figures["layers"]]
    assert names == ["input", *(layer.name for layer in TINY.layers)]
    assert all(name in told for name in names)
    assert "GFLOP/s (SGEMM)" in told
    for row in figures["layers"]:
        assert row["ms"] > 0
        assert 0 < row["floor_ms"] <= sum(r["floor_ms"] for r in figures["layers"])
        assert row["as_file"]["flop"] >= row["floor"]["flop"] * 0.99
    assert figures["wall_ms"] > 0


def test_the_floor_of_a_gpu_is_called_an_estimate(folder):
    told = run(folder, "--no-measure", "--gpu", "H100", "--gpu", "165,1008")
    assert "H100: an estimate, not a measurement" in told
    assert "Measured:" not in told


def test_json_alone_on_standard_output(folder):
    figures = json.loads(run(folder, "--no-measure", "--gpu", "rtx4090", "--json", "-"))
    assert figures["wall_ms"] is None
    assert figures["gpus_by_data_sheet"][0]["name"] == "RTX 4090"
    assert all(row["gpu_floor_estimate_ms"][0] > 0 for row in figures["layers"])


def test_a_published_network_is_counted_without_its_file():
    figures = json.loads(run("stylegan3-r-ffhq-1024x1024", "--no-measure", "--json", "-"))
    flop = sum(r["floor"]["flop"] for r in figures["layers"][1:-1])
    assert flop / 1e9 == pytest.approx(390, abs=2)  # facts/synthesis_speed.md


def test_what_is_inferred_of_a_published_network_is_said():
    told = " ".join(run("imagenet16", "--no-measure").split())
    assert "imagenet16: inferred, not compared with a file: kernel size, down filters" in told
    assert "inferred" not in run("stylegan3-t-ffhqu-256x256", "--no-measure")


def test_what_is_no_stylegan_is_refused():
    with pytest.raises(GeneratorError, match="procedural-faces: it has no layers"):
        run("procedural-faces", "--no-measure")


def test_a_wrong_gpu_is_refused_before_any_work(folder):
    with pytest.raises(ConfigError, match="--gpu H1"):
        run(folder, "--gpu", "H1")
