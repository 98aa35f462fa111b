from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch

from b2g_rt.errors import ConfigError, GeneratorError
from offline.export.stylegan import directory
from offline.export.stylegan.directory import export_network
from offline.export.stylegan.parity import TOLERANCE, open_session, worst_element
from offline.stimuli.generators import procedural_faces
from offline.stimuli.stylegan.generator import Generator
from offline.stimuli.stylegan.specification import GeneratorSpec
from tests.offline.export.stylegan.golden_exports import picture_generator
from tests.offline.stimuli.golden_networks import NAMES, golden_generator


@pytest.mark.parametrize("name", NAMES)
def test_the_manifest_says_what_lies_there(name, tmp_path):
    network = golden_generator(name)
    out = tmp_path / "exported" / name
    told = export_network(picture_generator(network), out, name="mine", command="pytest")
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest == told
    assert (manifest["name"], manifest["command"]) == ("mine", "pytest")
    assert GeneratorSpec.from_dict(manifest["source"]["spec"], "manifest") == network.spec
    for file, entry in manifest["files"].items():
        data = (out / file).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (entry["n_bytes"], entry["sha256"])
    assert sorted(f.name for f in out.iterdir()) == [
        "manifest.json",
        "mapping.onnx",
        "synthesis.onnx",
    ]
    assert [f.name for f in out.parent.iterdir()] == [name]
    of = {(entry["what"], entry["of"]) for entry in manifest["parity"]["worst"]}
    assert of == {
        ("w", "psi 1"),
        ("w", "psi 0.7"),
        ("image", "psi 1"),
        ("image", "psi 0.7"),
        ("image", "w per layer"),
    }
    assert all(entry["error"] <= TOLERANCE for entry in manifest["parity"]["worst"])


def test_the_parity_told_is_what_anyone_finds_again(tmp_path):
    """With the seed that parity states: another implementation of the same comparison."""
    network = golden_generator("sg3r")
    told = export_network(picture_generator(network), tmp_path / "out")
    z = np.random.default_rng(0).standard_normal((2, 512)).astype(np.float32)
    with torch.no_grad():
        w = network.mapping(torch.from_numpy(z), None, 1.0)
        wanted = network.synthesis(w).numpy()
    session = open_session(tmp_path / "out" / "synthesis.onnx")
    found = session.run(None, {"w": w.numpy()})[0]
    off = np.abs(found.astype(np.float64) - wanted)
    entry = next(e for e in told["parity"]["worst"] if (e["what"], e["of"]) == ("image", "psi 1"))
    # Both programs draw the very same pictures again (same file, weights, threads): what is left is how the SD, a
    # float32 sum of 24 576 elements, is rounded.
    assert entry["sd"] == pytest.approx(wanted.std(dtype=np.float64), rel=1e-6)
    assert entry["error"] == pytest.approx(off.max() / wanted.std(dtype=np.float64), rel=1e-6)
    assert tuple(entry["index"]) == np.unravel_index(off.argmax(), off.shape)


@pytest.mark.parametrize(("half", "uint8"), [(True, False), (False, True), (True, True)])
def test_half_and_bytes_are_compared_too(half, uint8, tmp_path):
    told = export_network(
        picture_generator(golden_generator("sg3t")), tmp_path / "out", half=half, uint8=uint8
    )
    images = [e for e in told["parity"]["worst"] if e["what"] == "image"]
    assert told["half"] is half
    assert told["image"] == ("row_col_rgb_uint8" if uint8 else "rgb_row_col_float32")
    assert all((e["share"] is not None) is uint8 for e in images)
    assert all(0 <= e["error"] <= e["tolerance"] for e in images)


def test_an_earlier_export_is_replaced_and_nothing_else(tmp_path):
    generator = picture_generator(golden_generator("sg3r"))
    export_network(generator, tmp_path / "out")
    told = export_network(generator, tmp_path / "out", uint8=True)
    assert json.loads((tmp_path / "out" / "manifest.json").read_text()) == told
    (tmp_path / "out" / "thesis.docx").write_text("years")
    with pytest.raises(ConfigError, match=r"holds thesis\.docx, expected a new directory"):
        export_network(generator, tmp_path / "out")
    assert (tmp_path / "out" / "thesis.docx").read_text() == "years"


def test_an_interruption_leaves_nothing_behind(tmp_path):
    def interrupted(what, total):
        if what.startswith("compared"):
            raise KeyboardInterrupt
        return lambda done: None

    with pytest.raises(KeyboardInterrupt):
        export_network(
            picture_generator(golden_generator("sg3r")), tmp_path / "out", stage=interrupted
        )
    assert not list(tmp_path.iterdir())


def test_weights_beyond_one_file_lie_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr(directory, "MAX_FILE_BYTES", 100_000)
    told = export_network(picture_generator(golden_generator("sg3r")), tmp_path / "out")
    assert "synthesis.onnx.data" in told["files"]
    assert told["files"]["synthesis.onnx"]["n_bytes"] < 500_000
    # Compared from there, so it was found; a second export replaces all of it.
    export_network(picture_generator(golden_generator("sg3r")), tmp_path / "out")


def test_a_network_of_nans_is_not_exported(tmp_path):
    network = Generator(golden_generator("sg3r").spec)
    network.load_state_dict(golden_generator("sg3r").state_dict())
    network.eval().requires_grad_(False)
    network.synthesis.layers[3].bias.fill_(torch.nan)
    with pytest.raises(GeneratorError, match="expected at most") as caught:
        export_network(picture_generator(network), tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_the_worst_element_is_named():
    wanted = np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 4)
    found = wanted.copy()
    found[1, 0, 2] += 1e-5
    worst = worst_element(found, wanted, "w", "psi 1", 1, 1e-3)
    assert worst.index == (1, 0, 2)
    assert worst.error == pytest.approx(1e-5 / wanted.std(), rel=1e-2)
    found[0, 1, 1] = np.nan
    with pytest.raises(GeneratorError, match=r"at \(0, 1, 1\) by nan"):
        worst_element(found, wanted, "w", "psi 1", 1, 1e-3)
    with pytest.raises(GeneratorError, match="expected float32"):
        worst_element(found[:1], wanted, "w", "psi 1", 1, 1e-3)


def test_the_procedural_faces_have_no_half():
    with pytest.raises(ConfigError, match="is no network"):
        export_network(procedural_faces(), directory.Path("nowhere"), half=True)
