from __future__ import annotations

import pickle
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from offline.features.store import open_features
from offline.stimuli.synthesis.plans import images_plan
from offline.stimuli.synthesis.stimulus_file import read_stimuli, write_stimuli
from offline.whole_files import file_sha256
from tests.offline.features.torch7_file import write_torch7
from tests.offline.features.vgg_face_file import vgg_face

VGG16 = ("--network", "vgg16", "--random-weights", "3", "--side", "32")


@pytest.fixture(scope="module")
def stimuli(tmp_path_factory):
    """Twelve pictures: two test pictures and ten for training."""
    chance = np.random.default_rng(3)
    folder = tmp_path_factory.mktemp("stimuli")
    for split, n in (("test", 2), ("training", 10)):
        (folder / split).mkdir()
        for i in range(n):
            # Smooth, as photographs are.
            small = Image.fromarray(chance.integers(0, 256, (6, 6, 3), dtype=np.uint8))
            picture = small.resize((48, 48), Image.Resampling.BICUBIC)
            picture.save(folder / split / f"{i + 1:04d}.png")
    return folder


def test_the_levels_of_vgg16_are_written_told_and_drawn(run, stimuli, tmp_path):
    out = tmp_path / "vgg16.zarr"
    code, said, _ = run("features", stimuli, *VGG16, "--out", out)
    assert code == 0
    assert "VGG1: 64 x 8 x 8 = 4096 features of 12 stimuli" in said
    file = open_features(out)
    assert file.spaces == ("VGG1", "VGG2", "VGG3", "VGG4", "VGG5")
    assert file.ids[:3] == ("test/0001", "test/0002", "training/0001")
    assert file.attributes["provenance"]["network"] == "vgg16"
    assert file.attributes["provenance"]["device"] == "cpu"
    assert file.attributes["run"]["command"].startswith("b2g-offline features ")
    assert f"content {file.attributes['content_hash'][:12]}" in said
    assert file.content_hash() == file.attributes["content_hash"]
    with Image.open(tmp_path / "vgg16.png") as sheet:
        pixels = np.asarray(sheet.convert("RGB"))
    # Six pictures and their maps: not a white sheet.
    assert pixels.shape[0] > pixels.shape[1] > 600
    assert (pixels.std(axis=2) > 10).mean() > 0.3


def test_some_layers_without_a_sheet_and_again(run, stimuli, tmp_path):
    out = tmp_path / "some.zarr"
    arguments = ("features", stimuli, *VGG16, "--layers", "VGG5, VGG1", "--sheet", 0, "--out", out)
    code, said, _ = run(*arguments)
    assert (code, open_features(out).spaces) == (0, ("VGG1", "VGG5"))
    assert [path.name for path in tmp_path.iterdir()] == ["some.zarr"]
    code, again, _ = run(*arguments)
    assert code == 0
    assert "pictures to do" in said
    assert "pictures to do" not in again


def test_the_latents_of_brain2gans_pickle_have_the_ids_of_its_responses(run, tmp_path, rng):
    parts = {
        k: rng.standard_normal((n, 7)).astype(np.float32) for k, n in (("train", 6), ("test", 3))
    }
    source = tmp_path / "GANs_StyleGAN3_w.pickle"
    source.write_bytes(pickle.dumps(parts))
    out = tmp_path / "w.zarr"
    code, said, _ = run("features", source, "--latents", "w", "--out", out)
    assert code == 0
    assert "w: 7 features of 9 stimuli" in said
    file = open_features(out)
    assert (file.ids[0], file.ids[6]) == ("training/0001", "test/0001")
    found = file.space("w").block(np.arange(9), slice(None))
    np.testing.assert_array_equal(found, np.concatenate([parts["train"], parts["test"]]))


def test_latents_of_an_npz_file(run, tmp_path, rng):
    values = rng.standard_normal((4, 5)).astype(np.float32)
    np.savez(tmp_path / "latents.npz", id=np.array(["a", "b", "c", "d"]), latent=values)
    out = tmp_path / "w.zarr"
    assert run("features", tmp_path / "latents.npz", "--latents", "w", "--out", out)[0] == 0
    assert open_features(out).ids == ("a", "b", "c", "d")


def test_weights_are_saved_as_safetensors_and_give_the_same_features(run, stimuli, tmp_path):
    t7, saved = tmp_path / "VGG_FACE.t7", tmp_path / "new" / "vgg-face.safetensors"
    write_torch7(t7, vgg_face(3))
    face = ("--network", "vgg-face", "--weights")
    code, said, _ = run("features", *face, t7, "--save-weights", saved)
    assert code == 0
    assert re.fullmatch(rf"written: {re.escape(str(saved))} \(\d+\.\d MB\)\n", said)
    found = []
    for weights in (t7, saved):
        out = tmp_path / f"{weights.suffix[1:]}.zarr"
        arguments = ("--side", 32, "--layers", "VGG2,VGG5", "--sheet", 0, "--out", out)
        assert run("features", stimuli, *face, weights, *arguments)[0] == 0
        space = open_features(out).space("VGG5")
        found.append(space.block(np.arange(12), slice(None)))
    np.testing.assert_array_equal(found[0], found[1])
    assert found[0].std() > 0


@pytest.fixture
def natural_images(stimuli, tmp_path, rng):
    """A set of two classes, numbered as the paper's: test/0001, 0002 and training/0003 to 0012."""
    plan = images_plan(6, ("n01443537", "n01629819")).limited(10)
    folder = tmp_path / "images"
    (folder / "test").mkdir(parents=True)
    (folder / "training").mkdir()
    sources = sorted(stimuli.glob("*/*.png"))
    for file, source in zip(plan.files, sources, strict=True):
        shutil.copy(source, folder / file)
    w = rng.standard_normal((12, 9), np.float32)
    provenance = {"psi": 0.7, "generator_given": "x", "generator": {"name": "x", "sha256": "0"}}
    digests = {file: file_sha256(folder / file) for file in plan.files}
    write_stimuli(folder, plan, w, digests, provenance)
    return folder


@pytest.mark.parametrize(
    "what", [("--latents", "w"), (*VGG16, "--layers", "VGG5")], ids=["w", "vgg16"]
)
def test_natural_images_can_be_counted_as_responses_count(run, natural_images, tmp_path, what):
    sources = ("features", natural_images, *what)
    assert run(*sources, "--out", tmp_path / "as-named.zarr")[0] == 0
    assert run(*sources, "--counted", "--out", tmp_path / "counted.zarr")[0] == 0
    named, counted = (open_features(tmp_path / f"{k}.zarr") for k in ("as-named", "counted"))
    assert (named.ids[0], named.ids[2], named.ids[11]) == (
        "test/0001",
        "training/0003",
        "training/0012",
    )
    assert (counted.ids[0], counted.ids[2], counted.ids[11]) == (
        "test/0001",
        "training/0001",
        "training/0010",
    )
    rows = np.arange(12)
    (space,) = named.spaces
    np.testing.assert_array_equal(
        named.space(space).block(rows, slice(None)), counted.space(space).block(rows, slice(None))
    )
    if space == "w":
        np.testing.assert_array_equal(
            named.space("w").block(rows, slice(None)), read_stimuli(natural_images).w
        )


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_a_command_stopped_by_ctrl_c_says_so_and_goes_on(run, stimuli, tmp_path):
    """Identical bits are test_extraction's: this one is about what the command says and does."""
    out, many = tmp_path / "f.zarr", tmp_path / "many"
    for k in range(19):
        (many / f"{k:02d}").mkdir(parents=True)
        for path in (stimuli / "training").glob("*.png"):
            shutil.copy(path, many / f"{k:02d}" / path.name)
    # Six pieces: when the first is there, a second of work is left.
    arguments = ("features", many, *VGG16, "--sheet", 0, "--out", out)
    command = [sys.executable, "-m", "offline.cli", *map(str, arguments)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        deadline = time.monotonic() + 50
        while not any(out.glob("VGG5/c/*/0")):
            assert time.monotonic() < deadline
            assert running.poll() is None, running.stderr.read()
            time.sleep(0.005)
        running.send_signal(signal.SIGINT)
        said, errors = running.communicate(timeout=50)
    assert running.returncode == 130, errors
    assert f"what is finished is kept in {out}: the same command goes on" in said
    assert "interrupted" in errors
    code, said, _ = run(*arguments)
    assert code == 0
    assert re.search(r"\d+ pictures to do, \d+ are there", said)
    assert open_features(out).content_hash() == open_features(out).attributes["content_hash"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["{stimuli}", "--out", "f.zarr"], "expected --network NAME, or --latents w"),
        (
            ["{stimuli}", "--network", "vgg16", "--latents", "w", "--out", "f.zarr"],
            "expected --network",
        ),
        (["{stimuli}", *VGG16], "expected PICTURES and --out FILE"),
        ([*VGG16, "--out", "f.zarr"], "expected PICTURES and --out FILE"),
        (["none", *VGG16, "--out", "f.zarr"], "no such file or folder"),
        (["text.png", *VGG16, "--out", "f.zarr"], "text.png: cannot be read as a picture"),
        (["{stimuli}", *VGG16, "--out", "text.png/f.zarr"], "--out"),
        (["{stimuli}", *VGG16, "--out", "other"], "other: no feature file"),
        (["{stimuli}", "--network", "vgg17", "--out", "f.zarr"], "Did you mean vgg16?"),
        (["{stimuli}", *VGG16, "--layers", "VGG9", "--out", "f.zarr"], "no layer 'VGG9'"),
        (["{stimuli}", *VGG16, "--memory", "100MB", "--out", "f.zarr"], "--memory gives 95 MiB"),
        (["{stimuli}", *VGG16, "--memory", "much", "--out", "f.zarr"], "--memory much"),
        (["{stimuli}", "--latents", "w", "--out", "f.zarr"], "no stimuli.h5"),
        (["text.png", "--latents", "z", "--out", "f.zarr"], "has one kind of latents"),
        (["text.png", "--latents", "w", "--out", "f.zarr"], "text.png"),
        (["text.png", "text.png", "--latents", "w", "--out", "f.zarr"], "one stimulus set or file"),
        (["text.png", "--latents", "w", "--side", "9", "--out", "f.zarr"], "option of networks"),
        (["text.png", *VGG16, "--counted", "--out", "f.zarr"], "'text': of neither test nor"),
        (["--save-weights", "w.safetensors", *VGG16], "expected --network vgg-face and --weights"),
    ],
)
def test_mistakes_are_one_line(run, stimuli, tmp_path, monkeypatch, arguments, line):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    code, _, errors = run("features", *(a.format(stimuli=stimuli) for a in arguments))
    assert code == 2
    assert line in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "f.zarr").exists()
