"""The encoder's directory: read as written, refused by name in every other case."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from b2g_rt.contracts.encoder import (
    FILES,
    SCHEMA_VERSION,
    FittedEncoder,
    static_windows_ms,
    write_encoder_folder,
)
from b2g_rt.contracts.verified_folder import npz_bytes
from b2g_rt.errors import BundleError
from tests.tiny_bundle import N_STIMULI
from tests.tiny_encoder import N_UNPREDICTED, tiny_responses, write_tiny_encoder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_tiny_encoder(tmp_path / "tiny")
    return tmp_path / "tiny"


def index_of(path: Path) -> dict:
    return json.loads((path / "encoder.json").read_text())


def edit_index(path: Path, **changes: object) -> None:
    (path / "encoder.json").write_text(json.dumps({**index_of(path), **changes}))


def put(path: Path, name: str, data: bytes) -> None:
    """Write a file with its hash, as somebody would who makes a wrong encoder."""
    (path / name).write_bytes(data)
    edit_index(path, files=index_of(path)["files"] | {name: hashlib.sha256(data).hexdigest()})


def test_an_encoder_is_read_as_it_was_written(path):
    encoder = FittedEncoder(path)
    manifest = encoder.manifest
    assert (manifest.n_inputs, encoder.channels.n_channels) == (56, 192)
    assert [(s.name, s.kind, s.n_inputs) for s in manifest.spaces] == [
        ("w", "features", 16),
        ("VGG1", "kernel", 40),
    ]
    assert manifest.electrode_space[:3] == ("w", "VGG1", "w")
    assert manifest.electrode_space[-1] is None
    assert encoder.predicted.sum() == 192 - N_UNPREDICTED
    assert manifest.held_out_r[-1] == pytest.approx(0.8)
    assert manifest.noise_ceiling[:2] == (None, 0.7)
    inputs = encoder.stimuli.of("face-0003")
    assert inputs is not None
    assert inputs.dtype == np.float32
    assert inputs.shape == (56,)
    assert encoder.stimuli.of("nobody") is None


def test_without_further_ado_the_windows_are_the_papers(path):
    assert static_windows_ms() == {"V1": (25, 125), "V4": (50, 150), "IT": (75, 175)}
    windows = FittedEncoder(path).manifest.windows
    assert {r: (w.start_ms, w.stop_ms) for r, w in windows.items()} == static_windows_ms()


def test_the_same_contents_have_the_same_hash(tmp_path):
    first = write_tiny_encoder(tmp_path / "a").hash
    assert write_tiny_encoder(tmp_path / "b").hash == first
    assert write_tiny_encoder(tmp_path / "c", seed=6).hash != first


def test_the_next_schema_version_is_refused(path):
    edit_index(path, schema_version=SCHEMA_VERSION + 1)
    line = f"schema version {SCHEMA_VERSION + 1}, this program reads {SCHEMA_VERSION}"
    with pytest.raises(BundleError, match=line):
        FittedEncoder(path)


@pytest.mark.parametrize("name", ["encoder.json", *FILES])
def test_a_missing_file_is_named(path, name):
    (path / name).unlink()
    with pytest.raises(BundleError, match=f"encoder .*: {name} is missing"):
        FittedEncoder(path)


@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_is_found(path, name):
    data = bytearray((path / name).read_bytes())
    data[len(data) // 2] ^= 1
    (path / name).write_bytes(data)
    with pytest.raises(BundleError, match=rf"{name} has SHA-256 .* encoder.json says"):
        FittedEncoder(path)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"colour": "red"}, "colour: extra inputs"),
        ({"unit": "uV"}, "unit: input should be 'z'"),
        ({"channel_map": {"arrays": 5}}, "channel_map: "),
        ({"electrode_space": ["w"] * 5}, "electrode_space: 5 entries, expected 192"),
        ({"electrode_space": ["VGG9"] * 192}, "electrode_space: 'VGG9', expected one of w, VGG1"),
        ({"held_out_r": []}, "held_out_r: 0 entries"),
        ({"spaces": []}, "spaces: none"),
        ({"n_inputs": 57}, "n_inputs: 57, expected the 56 of its spaces"),
        ({"windows": {}}, "windows: none for IT"),
        ({"windows": {r: {"start_ms": 9, "stop_ms": 9} for r in ("V1", "V4", "IT")}}, "9 to 9 ms"),
    ],
)
def test_an_index_that_contradicts_itself_is_one_line(path, changes, line):
    edit_index(path, **changes)
    with pytest.raises(BundleError, match=line) as caught:
        FittedEncoder(path)
    assert str(caught.value).startswith(f"encoder {path}: encoder.json: ")
    assert "\n" not in str(caught.value)


def test_a_contradiction_is_found_before_anything_is_written(path, tmp_path):
    index = {k: v for k, v in index_of(path).items() if k not in ("schema_version", "files")}
    files = {name: (path / name).read_bytes() for name in FILES}
    with pytest.raises(BundleError, match="n_inputs: 3"):
        write_encoder_folder(tmp_path / "new", index | {"n_inputs": 3}, files)
    assert not (tmp_path / "new").exists()


def test_rows_without_an_id_are_refused(path):
    inputs, fitted = np.zeros((2, 56), np.float32), np.ones(2, bool)
    stimuli = {"id": np.array(["a"]), "inputs": inputs, "in_training": fitted}
    put(path, "stimuli.npz", npz_bytes(**stimuli))
    with pytest.raises(BundleError, match="1 ids, 2 rows of inputs and 2 of in_training"):
        FittedEncoder(path)


def test_a_pickle_inside_an_array_file_is_not_read(path, tmp_path):
    np.savez(tmp_path / "bad.npz", id=np.array([object()], dtype=object), inputs=np.zeros((1, 56)))
    put(path, "stimuli.npz", (tmp_path / "bad.npz").read_bytes())
    with pytest.raises(BundleError, match=r"stimuli.npz: .*allow_pickle"):
        FittedEncoder(path)


def test_other_weights_of_the_same_shape_are_caught_by_the_reference(path):
    encoder = FittedEncoder(path)
    wanted = np.nan_to_num(tiny_responses(192)).astype(np.float32)
    rows = {encoder.stimuli.inputs[i].tobytes(): wanted[i] for i in range(N_STIMULI)}
    assert encoder.check(lambda x: rows[x.tobytes()], "CPU") < 1e-5
    with pytest.raises(BundleError, match=r"encoder.onnx on CPU differs from the reference"):
        encoder.check(lambda x: rows[x.tobytes()] + np.float32(0.01), "CPU")
    with pytest.raises(BundleError, match="by nan SD"):
        encoder.check(lambda x: rows[x.tobytes()] * np.float32(np.nan), "CPU")


def test_a_reference_without_rows_is_refused(path):
    nothing = np.zeros((0, 56), np.float32), np.zeros((0, 192), np.float32)
    put(path, "reference.npz", npz_bytes(inputs=nothing[0], response=nothing[1]))
    with pytest.raises(BundleError, match="0 inputs and 0 responses"):
        FittedEncoder(path).check(lambda x: x, "CPU")
