from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from b2g_rt.errors import ConfigError, GeneratorError, StimulusError
from offline.commands.synthesize import app
from offline.stimuli.stylegan.directory import save_generator
from offline.stimuli.stylegan.generator import Generator
from offline.stimuli.stylegan.schedule import Widths, stylegan3, superresolution
from offline.stimuli.stylegan.specification import MappingSpec
from offline.stimuli.synthesis.stimulus_file import read_stimuli


def _saved(spec, folder):
    torch.manual_seed(3)
    network = Generator(spec).eval()
    torch.nn.init.normal_(network.mapping.w_avg)
    save_generator(network, folder, {})
    return folder


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    spec = stylegan3("small", Widths(32, 512, 16, n_layers=6), z_dim=32, w_dim=48)
    return _saved(spec, tmp_path_factory.mktemp("network") / "small")


@pytest.fixture(scope="module")
def with_classes(tmp_path_factory):
    """As StyleGAN-XL: 1000 classes, a stem and a head."""
    widths = Widths(16, 512, 16, n_layers=6, conv_kernel=1, radial=True)
    mapping = MappingSpec(embedding="table", embedding_size=20)
    stem = stylegan3("stem", widths, z_dim=16, w_dim=48, n_classes=1000, mapping=mapping)
    head = Widths(32, 512, 16, conv_kernel=1, radial=True)
    spec = superresolution(stem, head, 4, "imagenet-small")
    return _saved(spec, tmp_path_factory.mktemp("network") / "imagenet-small")


@pytest.fixture(scope="module")
def one_mean(tmp_path_factory):
    """1000 classes, but one mean latent for all."""
    spec = stylegan3("one-mean", Widths(32, 512, 16, n_layers=6), z_dim=8, n_classes=1000)
    return _saved(spec, tmp_path_factory.mktemp("network") / "one-mean")


def _run(*args):
    """Run a command; return what it printed. What it raises is raised here."""
    done = CliRunner().invoke(app, [str(a) for a in args], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def faces(network, tmp_path_factory):
    out = tmp_path_factory.mktemp("sets") / "faces"
    _run("faces", "--generator", network, "--out", out, "--limit", 3)
    return out


def _contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_faces_writes_pictures_latents_and_where_they_come_from(faces, network):
    stimuli = read_stimuli(faces)
    assert len(stimuli.ids) == 6
    assert set(_contents(faces)) == {
        *stimuli.files,
        "SHA256SUMS",
        "latents.npz",
        "settings.json",
        "stimuli.h5",
    }
    with Image.open(faces / "training/0002.png") as picture:
        assert (picture.size, picture.mode) == ((32, 32), "RGB")
    told = stimuli.provenance
    assert (told["psi"], told["noise_mode"]) == (0.7, "const")
    assert told["seeds"] == {"test": 7, "training": 6}
    assert told["generator"]["num_ws"] == 8
    assert told["generator_given"] == str(network)
    assert {"torch", "pillow", "numpy"} <= set(told["versions"])
    assert np.isfinite(stimuli.z).all()


def test_a_try_goes_on_to_more_and_draws_nothing_twice(faces, network, tmp_path):
    out = tmp_path / "faces"
    made = _run("faces", "--generator", network, "--out", out, "--limit", 2)
    assert "small: 4 pictures to draw" in made
    made = _run("faces", "--generator", network, "--out", out, "--limit", 3)
    assert "small: 2 pictures to draw, 4 are there" in made
    pictures = {name: data for name, data in _contents(out).items() if name.endswith(".png")}
    assert pictures.items() <= _contents(faces).items()
    assert np.array_equal(read_stimuli(out).w, read_stimuli(faces).w)


def test_the_same_command_gives_the_same_bytes_and_does_nothing_more(faces, network):
    before = _contents(faces)
    made = _run("faces", "--generator", network, "--out", faces, "--limit", 3)
    assert "0 pictures to draw, 6 are there" in made
    assert _contents(faces) == before


def test_other_settings_are_refused_by_name(faces, network, one_mean):
    for args, told in (
        (("--psi", 0.5, "--limit", 3), "made with psi 0.7, asked for 0.5"),
        (("--batch", 4, "--limit", 3), "made with batch 1, asked for 4"),
        (("--limit", 2), "made with limit 3, asked for 2"),
    ):
        with pytest.raises(StimulusError, match=told):
            _run("faces", "--generator", network, "--out", faces, *args)


def test_the_procedural_faces_are_drawn_without_any_network(tmp_path):
    _run("faces", "--out", tmp_path / "faces", "--limit", 1)
    stimuli = read_stimuli(tmp_path / "faces")
    assert stimuli.provenance["generator"]["name"] == "procedural-faces"
    with Image.open(tmp_path / "faces" / "test/0001.png") as picture:
        assert np.asarray(picture).std() > 20


_COMMAND = "import sys; from offline.commands.synthesize import app; app(sys.argv[1:])"


def _process(*args):
    return subprocess.Popen(
        [sys.executable, "-c", _COMMAND, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _n_noted(folder):
    try:
        return (folder / "SHA256SUMS").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_goes_on_to_the_very_same_set(network, tmp_path, by):
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    options = ("--generator", network, "--limit", 12)
    running = _process("faces", "--out", broken, *options)
    deadline = time.monotonic() + 120
    while _n_noted(broken) < 3 and running.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    running.send_signal(by)
    said, _ = running.communicate(timeout=60)
    assert running.returncode not in (0, None)
    assert not (broken / "stimuli.h5").exists()
    for path in broken.rglob("*.png"):
        with Image.open(path) as picture:
            picture.load()
    if by is signal.SIGINT:
        assert "the same command goes on" in said
        assert list(broken.rglob("*.part")) == []
    made = _run("faces", "--out", broken, *options)
    n_kept = int(made.split(" are there")[0].split()[-1])
    assert 3 <= n_kept < 24
    _run("faces", "--out", whole, *options)
    assert read_stimuli(broken).sha256 == read_stimuli(whole).sha256
    names = [name for name in _contents(whole) if name != "stimuli.h5"]
    assert {n: _contents(broken)[n] for n in names} == {n: _contents(whole)[n] for n in names}


@pytest.fixture(scope="module")
def images(with_classes, tmp_path_factory):
    """Bee, goldfish and Egyptian cat, the first two pictures and the first two means, as in the paper."""
    folder = tmp_path_factory.mktemp("sets")
    classes = folder / "classes.txt"
    classes.write_text("n02206856\nn01443537\nn02124075\n")
    options = ("--classes", classes, "--lookup", "paper", "--limit", 2)
    made = _run("images", "--generator", with_classes, "--out", folder / "images", *options)
    assert "as in the paper, 1 classes are drawn as others" in made
    return folder / "images"


def test_images_are_drawn_by_class_with_the_means_for_the_test(images, with_classes):
    stimuli = read_stimuli(images)
    assert stimuli.files == tuple(
        f"{name}.png" for name in ("test/0001", "test/0002", "training/0004", "training/0005")
    )
    assert stimuli.wnid == ("n02206856", "n01443537", "n02206856", "n02206856")
    assert stimuli.label == ("bee eater", "goldfish", "bee eater", "bee eater")
    assert np.isnan(stimuli.z[:2]).all()
    assert np.isfinite(stimuli.z[2:]).all()
    assert stimuli.seed.tolist() == [-1, -1, 92, 92]
    assert (stimuli.provenance["lookup"], stimuli.provenance["class_list"]) == (
        "paper",
        "classes.txt",
    )
    pictures = [(images / file).read_bytes() for file in stimuli.files]
    assert len(set(pictures)) == 4


def test_without_a_class_list_it_is_the_papers(with_classes, tmp_path):
    options = ("--generator", with_classes, "--limit", 1)
    _run("images", "--out", tmp_path / "images", *options)
    stimuli = read_stimuli(tmp_path / "images")
    assert stimuli.ids == ("test/0001", "training/0201")
    assert stimuli.label == ("Egyptian cat", "Egyptian cat")


def test_interpolation_starts_and_ends_with_the_sets_own_pictures(faces, tmp_path):
    out = tmp_path / "between"
    stops = ("test/0001", "test/0002", "training/0001")
    _run("interpolate", *stops, "--from", faces, "--steps", 3, "--out", out)
    frames = read_stimuli(out)
    assert frames.ids == tuple(f"frames/{i:04d}" for i in range(1, 6))
    for frame, stop in zip((0, 2, 4), stops, strict=True):
        assert (out / frames.files[frame]).read_bytes() == (faces / f"{stop}.png").read_bytes()
    with Image.open(out / "strip.png") as strip:
        assert strip.size == (5 * 32, 32)
        first = np.asarray(strip)[:, :32]
    with Image.open(out / frames.files[0]) as picture:
        assert np.array_equal(first, np.asarray(picture))
    assert frames.provenance["stops"] == list(stops)


def test_interpolation_in_z_goes_between_seeds(network, faces, tmp_path):
    out = tmp_path / "between"
    _run("interpolate", 7, 6, "--generator", network, "--space", "z", "--steps", 2, "--out", out)
    frames = read_stimuli(out)
    stimuli = read_stimuli(faces)
    assert np.array_equal(frames.w, stimuli.w[[0, 3]])
    assert (frames.provenance["way"], frames.provenance["space"]) == ("spherical", "z")


def test_arithmetic_adds_the_difference_of_two_stimuli_to_a_third(faces, tmp_path):
    out = tmp_path / "sum"
    terms = ("--start", "test/0001", "--add", "test/0002", "--subtract", "test/0003")
    _run("arithmetic", "--from", faces, *terms, "--factor", -1, "--factor", 0, "--out", out)
    frames, stimuli = read_stimuli(out), read_stimuli(faces)
    expected = stimuli.w[0].astype(float) - (stimuli.w[1].astype(float) - stimuli.w[2])
    assert np.allclose(frames.w[0], expected, atol=1e-6)
    assert (out / frames.files[1]).read_bytes() == (faces / "test/0001.png").read_bytes()


def test_images_go_in_w_from_class_to_class(images, with_classes, tmp_path):
    out = tmp_path / "between"
    made = ("test/0001", "test/0002", "--from", images, "--steps", 3, "--out", out)
    _run("interpolate", *made)
    assert read_stimuli(out).class_id.tolist() == [-1, -1, -1]
    moved = tmp_path / "moved"
    with pytest.raises(GeneratorError, match="no such directory"):
        _run("interpolate", *made[:-1], moved, "--generator", tmp_path / "moved-away")


def test_what_does_not_fit_is_refused_in_one_line(faces, network, with_classes, one_mean, tmp_path):
    out = ("--out", tmp_path / "out")
    typo = tmp_path / "typo.txt"
    typo.write_text("n99999999\n")
    for args, error, told in (
        (("faces", "--generator", with_classes), GeneratorError, "1000 classes, expected none"),
        (("faces", "--generator", tmp_path / "no"), GeneratorError, "no such directory"),
        (("images", "--generator", network), GeneratorError, "0 classes, expected the 1000"),
        (("images", "--generator", one_mean), GeneratorError, "one mean latent for all classes"),
        (
            ("images", "--generator", with_classes, "--classes", typo),
            StimulusError,
            "line 1: 'n99999999'",
        ),
        (("interpolate", "test/0001", "--from", faces), ConfigError, "alone, expected two stops"),
        (
            ("interpolate", "test/0001", "test/0002", "--from", faces, "--psi", 0.5),
            ConfigError,
            "are truncated already",
        ),
        (
            ("interpolate", "test/0001", "test/0002", "--from", tmp_path),
            StimulusError,
            "expected a finished set",
        ),
        (
            ("interpolate", "1", "2", "--generator", one_mean),
            StimulusError,
            "expected SEED:WNID",
        ),
        (
            ("arithmetic", "--from", faces, "--start", "test/0001"),
            StimulusError,
            "nothing to add or subtract",
        ),
    ):
        with pytest.raises(error, match=told) as refused:
            _run(*args, *out)
        assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_settings_are_readable(faces):
    settings = json.loads((faces / "settings.json").read_text())
    assert {"kind": "faces", "psi": 0.7, "batch": 1, "limit": 3}.items() <= settings.items()
