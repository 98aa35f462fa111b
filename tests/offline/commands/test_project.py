from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from b2g_rt.errors import B2GError, ConfigError, GeneratorError, StimulusError
from offline.commands.project import project
from offline.stimuli.stylegan.directory import load_generator, save_generator
from offline.stimuli.stylegan.generator import Generator, to_uint8
from offline.stimuli.stylegan.schedule import Widths, stylegan3

QUICK = ("--steps", "40", "--starts", "1", "--polish", "2")
N_PICTURES = 3

# Searches of half a minute on two quiet cores.
pytestmark = pytest.mark.timeout(240)

app = typer.Typer()
app.command()(project)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    torch.manual_seed(3)
    spec = stylegan3("small", Widths(16, 256, 8, n_layers=4), z_dim=8, w_dim=12)
    network = Generator(spec).eval().requires_grad_(False)
    network.mapping.w_avg.copy_(network.mapping.untruncated(torch.randn(2000, 8)).mean(dim=0))
    folder = tmp_path_factory.mktemp("network") / "small"
    save_generator(network, folder, {})
    return folder


@pytest.fixture(scope="module")
def photographs(network, tmp_path_factory):
    """The network's own, at psi 0.7."""
    folder = tmp_path_factory.mktemp("photographs")
    torch.manual_seed(5)
    drawn = to_uint8(load_generator(network)(torch.randn(N_PICTURES, 8), None, 0.7))
    for i, picture in enumerate(drawn.numpy()):
        Image.fromarray(picture).save(folder / f"face-{i}.png")
    return folder


def _run(*args):
    done = CliRunner().invoke(app, [str(a) for a in args], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_photographs_become_latents_that_a_fit_reads(network, photographs, tmp_path):
    out = tmp_path / "out"
    said = _run(photographs, "--generator", network, "--out", out, *QUICK)
    assert "PSNR: median" in said
    with np.load(out / "latents.npz") as latents:
        assert latents["id"].tolist() == ["face-0", "face-1", "face-2"]
        assert latents["latent"].shape == (N_PICTURES, 12)
        assert latents["latent"].dtype == np.float32
    with h5py.File(out / "projection.h5") as file:
        assert file["w"].shape == (N_PICTURES, 1, 12)
        assert file["loss"].shape == (N_PICTURES, 42)
        assert file["psnr_db"][:].min() > 25
        assert json.loads(file.attrs["provenance"])["device"] == "cpu"
    assert "0 pictures to project, 3 are there" in _run(
        photographs, "--generator", network, "--out", out, *QUICK
    )


def test_a_latent_per_layer_is_stored_for_every_layer(network, photographs, tmp_path):
    out = tmp_path / "out"
    _run(photographs / "face-1.png", "--generator", network, "--out", out, "--per-layer", *QUICK)
    with h5py.File(out / "projection.h5") as file, np.load(out / "latents.npz") as latents:
        assert file["w"].shape == (1, 6, 12)
        np.testing.assert_allclose(latents["latent"], file["w"][:].mean(axis=1), atol=1e-5)


def test_a_process_stopped_by_ctrl_c_keeps_what_is_finished(network, photographs, tmp_path):
    out = tmp_path / "out"
    # So many steps that only Ctrl-C ends it, after the first picture.
    code = "from offline.commands.project import project; import typer; typer.run(project)"
    arguments = [photographs, "--generator", network, "--out", out, "--batch", 1, *QUICK[2:]]
    command = [sys.executable, "-c", code, *map(str, arguments), "--steps", "60"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 40
    while not (out / "parts" / "000000.npz").exists():
        assert time.monotonic() < deadline
        assert running.poll() is None, running.stdout.read()
        time.sleep(0.005)
    running.send_signal(signal.SIGINT)
    said, _ = running.communicate(timeout=20)
    assert running.returncode != 0
    assert "the same command goes on" in said
    with np.load(out / "latents.npz") as latents:
        assert 1 <= len(latents["id"]) < N_PICTURES


@pytest.mark.parametrize(
    ("arguments", "error", "line"),
    [
        (["none.png"], StimulusError, "no such file or folder"),
        (["."], StimulusError, "holds no pictures"),
        (["text.png"], StimulusError, "cannot be read as a picture"),
        (["{photographs}", "--class-id", "3"], GeneratorError, "class 3: generator small has none"),
        (["{photographs}", "--generator", "nowhere"], GeneratorError, "no such directory"),
        (["{photographs}", "--classes", "t.csv", "--class-id", "3"], ConfigError, "one of them"),
        (["{photographs}", "--classes", "t.csv"], ConfigError, "no class for 3 pictures"),
        (["{photographs}", "--out", "text.png/out"], ConfigError, "--out"),
        (["{photographs}", "--device", "tpu"], B2GError, "--device tpu"),
    ],
)
def test_mistakes_are_one_line(network, photographs, tmp_path, monkeypatch, arguments, error, line):
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    if "." not in arguments:
        (work / "text.png").write_text("no picture")
    (work / "t.csv").write_text("id,class_id\nother,1\n")
    filled = [a.format(photographs=photographs) for a in arguments]
    defaults = [] if "--generator" in filled else ["--generator", str(network)]
    defaults += [] if "--out" in filled else ["--out", str(tmp_path / "out")]
    with pytest.raises(error, match=line) as failed:
        CliRunner().invoke(app, [*filled, *defaults, *QUICK], catch_exceptions=False)
    assert "\n" not in str(failed.value)


def test_a_folder_made_with_other_settings_is_refused(network, photographs, tmp_path):
    out = tmp_path / "out"
    picture = photographs / "face-0.png"
    _run(picture, "--generator", network, "--out", out, *QUICK)
    with pytest.raises(StimulusError, match="made with projection.per_layer False"):
        _run(picture, "--generator", network, "--out", out, *QUICK, "--per-layer")
