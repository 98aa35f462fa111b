"""`b2g-offline encode`, and `simulate` with an animal that features drive: files to files."""

from __future__ import annotations

import json

import numpy as np
import pytest

from b2g_rt.contracts.channels import ArraySlot, ChannelMap
from b2g_rt.contracts.encoder import FittedEncoder
from b2g_rt.simulation.from_record import faces_macaque
from offline.commands.encode import encode
from offline.commands.simulate import simulate
from offline.encoding.contents_file import read_contents
from offline.features.feature_space import ArrayFeatures
from offline.features.latent_spaces import write_feature_file
from offline.stimuli.synthesis.plans import StimulusPlan
from offline.stimuli.synthesis.stimulus_file import write_stimuli

N, N_TEST, REPEATS = 80, 24, 6
IDS = tuple(
    [f"training/{k:04d}" for k in range(1, N + 1)] + [f"test/{k:04d}" for k in range(1, N_TEST + 1)]
)
DEAD = tuple(range(4, 64))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A stimulus set without pictures, two feature spaces of it, and the map of twelve electrodes."""
    import yaml

    folder = tmp_path_factory.mktemp("encode")
    rng = np.random.default_rng(0)
    n = len(IDS)
    w = faces_macaque().latents.draw(rng, n)
    none = np.full(n, -1, np.int64)
    plan = StimulusPlan(
        "faces", 1.0, IDS, tuple(i.split("/")[0] for i in IDS), none, none, w, none,
        ("",) * n, ("",) * n,
    )  # fmt: skip
    (folder / "set").mkdir()
    generator = {"name": "procedural-faces", "sha256": ""}
    told = {"generator_given": "procedural-faces", "psi": 1.0, "generator": generator}
    write_stimuli(folder / "set", plan, w, dict.fromkeys(plan.files, "0" * 64), told)
    for name, width in (("A", 8), ("B", 8)):
        values = rng.standard_normal((n, width)).astype(np.float32)
        write_feature_file(
            folder / f"{name}.zarr",
            [ArrayFeatures(name, IDS, values)],
            provenance={"network": f"drawn {name}"},
            stage=lambda what, total: lambda done: None,
        )
    slots = tuple(
        ArraySlot(k, roi, 64 * k, False, DEAD) for k, roi in enumerate(("V1", "V4", "IT"))
    )
    (folder / "map.yaml").write_text(yaml.safe_dump(ChannelMap(192, slots).to_dict()))
    return folder


def _simulated(folder, runner_of, out, *options):
    return runner_of(simulate)(
        folder / out, "--trials", N, "--test-stimuli", N_TEST, "--repeats", REPEATS, "--channels",
        folder / "map.yaml", *options,
    )  # fmt: skip


def _tuning(folder):
    a, b = folder / "A.zarr", folder / "B.zarr"
    return f"V1={a}:A,V4={b}:B,IT={a}:A"


@pytest.mark.slow
def test_an_animal_that_features_drive_is_encoded_and_its_encoder_drives_another(
    folder, runner_of
) -> None:
    code, said = _simulated(
        folder, runner_of, "driven.h5", "--tuning", _tuning(folder), "--stimuli", folder / "set"
    )
    assert code == 0, said
    with np.load(folder / "driven-truth.npz") as truth:
        assert truth["space"].tolist() == ["A"] * 4 + ["B"] * 4 + ["A"] * 4
    features = ["--features", folder / "A.zarr", "--features", folder / "B.zarr"]
    code, said = runner_of(encode)(
        folder / "driven.h5", *features, "--out", folder / "encoded", "--time", "--joint", "--rsa"
    )
    assert code == 0, said
    contents = read_contents(folder / "encoded")
    assert contents["spaces"] == ["A", "B"]
    assert all(contents[part] for part in ("time", "joint", "rsa"))
    assert np.array(contents["r"]).shape == (2, 12)
    best = np.array(contents["assignment"]["best"])
    found = np.array(contents["assignment"]["significant"])
    assert found.sum() >= 8
    assert (best == np.repeat([0, 1, 0], 4))[found].all()
    assert "Simulated" in (folder / "encoded" / "report.html").read_text(encoding="utf-8")
    text = (folder / "encoded" / "encoding.json").read_text(encoding="utf-8")
    assert "NaN" not in text
    assert json.loads(text)["format"] == "b2g-encoding"
    encoder = FittedEncoder(folder / "encoded" / "encoder")
    assert set(encoder.stimuli.ids) == set(IDS)
    assert encoder.stimuli.in_training == {i for i in IDS if i.startswith("training/")}
    assert encoder.predicted.tolist() == found.tolist()
    code, said = _simulated(
        folder, runner_of, "again.h5", "--encoder", folder / "encoded" / "encoder", "--stimuli",
        folder / "set",
    )  # fmt: skip
    assert code == 0, said
    with np.load(folder / "again-truth.npz") as truth:
        assert (truth["space"] != "").tolist() == found.tolist()
        assert (truth["q"] > 0).tolist() == found.tolist()


@pytest.mark.parametrize(
    ("tuning", "said"),
    [
        ("V1", "expected ROI=FILE:SPACE"),
        ("V1=A", "no feature file"),
        ("V9=A.zarr:A", "no such ROI"),
        ("V1=w,V4=w", "no feature space for IT"),
    ],
)
def test_a_tuning_that_is_none_is_told_in_a_line(folder, runner_of, tuning, said) -> None:
    code, found = _simulated(
        folder, runner_of, "no.h5", "--tuning", tuning, "--stimuli", folder / "set"
    )
    assert code == 2
    assert said in found


def test_a_tuning_without_its_stimuli_is_told_in_a_line(folder, runner_of) -> None:
    code, said = _simulated(folder, runner_of, "no.h5", "--tuning", "V1=w,V4=w,IT=w")
    assert code == 2
    assert "no --stimuli" in said


def test_more_trials_than_stimuli_are_told_in_a_line(folder, runner_of) -> None:
    code, said = runner_of(simulate)(
        folder / "no.h5", "--trials", N + 1, "--test-stimuli", 2, "--tuning", "V1=w,V4=w,IT=w",
        "--stimuli", folder / "set",
    )  # fmt: skip
    assert code == 2
    assert f"{N} training stimuli, expected {N + 1}" in said


def test_stimuli_without_features_are_named(folder, runner_of) -> None:
    code, said = runner_of(simulate)(
        folder / "usual.h5", "--trials", N + 5, "--test-stimuli", 4, "--repeats", 2, "--channels",
        folder / "map.yaml",
    )  # fmt: skip
    assert code == 0, said
    code, said = runner_of(encode)(
        folder / "usual.h5", "--features", folder / "A.zarr", "--out", folder / "none"
    )
    assert code == 2
    assert "training/008" in said
    assert not (folder / "none").exists()


def test_a_space_that_is_in_no_file_is_told_with_those_that_are(folder, runner_of) -> None:
    code, said = runner_of(encode)(
        folder / "usual.h5", "--features", folder / "A.zarr", "--space", "VGG1", "--out",
        folder / "none",
    )  # fmt: skip
    assert code == 2
    assert "expected some of A" in said
